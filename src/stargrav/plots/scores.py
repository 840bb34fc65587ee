"""Figures of scores: each case with its interval, beside what was published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from stargrav.plots.style import COLORS, MUTED

GAP = 0.7


def bars(
    labels: Sequence[str],
    groups: Sequence[str],
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
        groups: (n,) what each case belongs to; a change opens a gap and a heading.
        value: (n,) score.
        low: (n,) lower end of its interval.
        high: (n,) upper end.
        published: (n,) published score, NaN where there is none.
        xlabel: name of the score.
        ax: drawn into.
    """
    starts = [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
    place = np.arange(len(labels)) + GAP * np.searchsorted(starts, np.arange(len(labels)), "right")
    ax.barh(place, value, height=0.66, color=COLORS[0], alpha=0.85, label="this run (95 %)")
    ax.errorbar(
        value, place, xerr=np.clip([value - low, high - value], 0, None),
        fmt="none", ecolor="black", elinewidth=1.1, capsize=2.5,
    )  # fmt: skip
    if np.isfinite(published).any():
        ax.scatter(
            published, place, marker="D", s=32, color=COLORS[1], edgecolor="white",
            linewidth=0.8, zorder=4, label="published",
        )  # fmt: skip
    for start in starts:
        if groups[start]:
            ax.text(
                -0.01, place[start] - 0.75, groups[start], transform=ax.get_yaxis_transform(),
                ha="right", va="center", fontweight="bold",
            )  # fmt: skip
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.set_yticks(place, labels)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=xlabel, ylim=(place[-1] + 0.6, place[0] - 0.6 - GAP * bool(groups[0])))
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax
