"""Figures of scores: each case with its interval, beside what was published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from stargrav.plots.style import COLORS, MUTED


def bars(
    labels: Sequence[str],
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    published: np.ndarray,
    xlabel: str,
    ax: Axes,
) -> Axes:
    """One horizontal bar per case, with its interval and the published value where there is one.

    Args:
        labels: (n,) names of the cases, drawn from top to bottom.
        value: (n,) score.
        low: (n,) lower end of its interval.
        high: (n,) upper end.
        published: (n,) published score, NaN where there is none.
        xlabel: name of the score.
        ax: drawn into.
    """
    place = np.arange(len(labels))
    ax.barh(place, value, height=0.62, color=COLORS[0], alpha=0.85, label="this run (95 %)")
    ax.errorbar(
        value, place, xerr=np.clip([value - low, high - value], 0, None),
        fmt="none", ecolor="black", elinewidth=1.1, capsize=2.5,
    )  # fmt: skip
    if np.isfinite(published).any():
        ax.scatter(
            published, place, marker="D", s=30, color=COLORS[1], edgecolor="white",
            linewidth=0.8, zorder=4, label="published",
        )  # fmt: skip
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.set_yticks(place, labels)
    ax.set(xlabel=xlabel, ylim=(len(labels) - 0.4, -0.6))
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax
