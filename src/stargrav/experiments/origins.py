"""Where log g comes from: what error, flux and latent tell of it, over several experiments."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from stargrav.experiments.decisions import ORIGINS
from stargrav.experiments.evidence import Evidence
from stargrav.plots.scores import bars
from stargrav.plots.style import STYLE


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
