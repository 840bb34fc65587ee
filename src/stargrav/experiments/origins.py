"""Where log g comes from, and how much of it models read: over several experiments."""

from __future__ import annotations

from collections.abc import Sequence

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
_TEACHER = "the teacher's latent"
_STUDENT = "a student of flux alone"
_SPECTRUM = "the noisy spectrum"
LADDER = (  # at noise level 1, up to the most that the flux can tell
    Origin(_TEACHER, "ridge", "encoder_mlp", "r2[ridge]"),
    Origin(_TEACHER, "MLP", "encoder_mlp", "r2[mlp]"),
    Origin(_TEACHER, "MLP, beside 126 features", "latent_tower", "r2[both]"),
    Origin(_STUDENT, "taught the latent", "student_joint", "r2[0]"),
    Origin(_STUDENT, "taught latent and log g", "student_joint", "r2[chosen]"),
    Origin(_SPECTRUM, "ridge", "flux_baselines", "r2[1,ridge]"),
    Origin(_SPECTRUM, "LightGBM on 4,096 pixels", "flux_baselines", "r2[1,lightgbm]"),
    Origin(_SPECTRUM, "residual MLP on pixels", "flux_baselines", "r2[1,residual_mlp]"),
    Origin(_SPECTRUM, "LightGBM, components", "flux_baselines", "r2[1,whitened_lightgbm]"),
    Origin(_SPECTRUM, "MLP, components", "flux_baselines", "r2[1,whitened_mlp]"),
    Origin(_SPECTRUM, "MLP, 126 features", "global_tower", "r2[1,all]"),
    Origin("the limit", "exact posterior mean", "bayes_limit", "r2[1]"),
)


def origins(
    evidence: Evidence, wanted: Sequence[Origin] = ORIGINS
) -> tuple[Figure | None, list[str]]:
    """R2 of log g from each source, with its interval, and the published value where there is one.

    Args:
        evidence: the stored results; sources without one are left out.
        wanted: the sources, from top to bottom.

    Returns:
        the figure, none if no source was measured; and the experiments that it shows.
    """
    found = [
        (origin, evidence.results[origin.experiment].summary["metrics"][origin.metric])
        for origin in wanted
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
        marks = (
            evidence.results[o.experiment].summary["published"].get(o.metric) for o, _ in found
        )
        published = np.array(list(marks), dtype=float)
        xlabel = r"$R^2$ on the test stars"
        bars(labels, groups, value, low, high, published, xlabel, figure.subplots())
    return figure, list(dict.fromkeys(origin.experiment for origin, _ in found))
