"""Where log g comes from: what error, flux and latent tell of it, over several experiments."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from stargrav.experiments.evidence import Evidence
from stargrav.experiments.rules import Origin
from stargrav.plots.scores import bars
from stargrav.plots.style import STYLE

_BEYOND = "log g beyond what a ridge reads of the error"
_LATENT = "log g from the latent"
ORIGINS = (  # by a ridge, all of them
    Origin("log g", "error array alone, noiseless", "error_only", "r2[noiseless,ridge]"),
    Origin("log g", "error array alone, observed", "error_only", "r2[observed,ridge]"),
    Origin("log g", "noisy flux", "latent_vs_flux", "r2_ridge[flux]"),
    Origin(
        _LATENT, "teacher told the noiseless error", "teacher_no_error", "r2[with_error,ridge]"
    ),
    Origin(_LATENT, "the observed error", "teacher_no_error", "r2[observed_error,ridge]"),
    Origin(_LATENT, "no error", "teacher_no_error", "r2[without_error,ridge]"),
    Origin(_LATENT, "another star's, noiseless", "shuffled_error", "r2[noiseless,retrained]"),
    Origin(_LATENT, "another star's, observed", "shuffled_error", "r2[observed,retrained]"),
    Origin(_LATENT, "labels permuted", "label_shuffle", "r2[noiseless,shuffled,ridge]"),
    Origin(_BEYOND, "flux, after noiseless error", "flux_residual", "r2[noiseless]"),
    Origin(_BEYOND, "latent, after noiseless error", "latent_residual", "r2[noiseless,latent]"),
    Origin(_BEYOND, "flux, after observed error", "flux_residual", "r2[observed]"),
    Origin(_BEYOND, "latent, after observed error", "latent_residual", "r2[observed,latent]"),
    Origin(
        _BEYOND,
        "latent of a teacher without error",
        "latent_residual",
        "r2[observed,latent_no_error]",
    ),
)


def origins(evidence: Evidence) -> tuple[Figure | None, list[str]]:
    """R2 of log g from each source, with its interval.

    Args:
        evidence: the stored results; sources without one are left out.

    Returns:
        the figure, none if no source was measured; and the experiments that it shows.
    """
    found = [
        (origin, evidence.results[origin.experiment].summary["metrics"][origin.metric])
        for origin in ORIGINS
        if origin.experiment in evidence.results
        and origin.metric in evidence.results[origin.experiment].summary["metrics"]
    ]
    if not found:
        return None, []
    value, low, high = (np.array([m[k] for _, m in found]) for k in ("value", "low", "high"))
    labels = [origin.label for origin, _ in found]
    groups = [origin.group for origin, _ in found]
    with mpl.rc_context(STYLE):
        tall = 1.3 + 0.26 * len(found) + 0.2 * len(set(groups))
        figure = Figure(figsize=(7.0, tall), layout="constrained")
        nothing = np.full(len(found), np.nan)
        xlabel = r"$R^2$ on the test stars"
        bars(labels, groups, value, low, high, nothing, xlabel, figure.subplots())
    return figure, list(dict.fromkeys(origin.experiment for origin, _ in found))
