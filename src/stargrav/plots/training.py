"""Figures of a training: its curves over the epochs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from stargrav.plots.style import MUTED


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
