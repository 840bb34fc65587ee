"""Figures of a training, over its epochs, and of a search, over its trials."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from stargrav.plots.style import COLORS, MUTED


def curves(
    epoch: np.ndarray,
    values: Mapping[str, np.ndarray],
    ylabel: str,
    ax: Axes,
    best: float | None = None,
) -> Axes:
    """Quantities that are followed over the epochs.

    Args:
        epoch: (n,) epochs, counted from 1.
        values: name -> (n,) what was measured at the end of each.
        ylabel: of the axis that they share.
        ax: drawn into.
        best: the epoch whose weights were kept.
    """
    for name, value in values.items():
        ax.plot(epoch, value, label=name)
    if best is not None:
        ax.axvline(best, color=MUTED, linewidth=1, linestyle=":", label=f"kept (epoch {best:g})")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.legend()
    return ax


def search(score: np.ndarray, given_up: np.ndarray, ylabel: str, ax: Axes) -> Axes:
    """What the trials of a search reached, and the best so far; the first one is the untuned.

    Args:
        score: (n,) of each trial in its order; NaN where nothing was reported.
        given_up: (n,) whether it was pruned.
        ylabel: name of the score.
        ax: drawn into.
    """
    trial = np.arange(1, len(score) + 1)
    finished = np.where(given_up, np.nan, score)
    ax.plot(trial, finished, "o", markersize=4, color=COLORS[0], label="trial")
    pruned = np.where(given_up, score, np.nan)
    ax.plot(trial, pruned, "x", markersize=4, color=MUTED, label="given up")
    ax.step(
        trial, np.fmax.accumulate(finished), where="post", color=COLORS[1], label="best so far"
    )
    ax.axhline(score[0], color=MUTED, linewidth=1, linestyle=":", label="untuned")
    lowest, highest = np.nanmin(finished), np.nanmax(finished)
    ax.set_ylim(lowest - 0.5 * (highest - lowest) - 0.01, highest + 0.02)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="trial", ylabel=ylabel)
    ax.legend()
    return ax
