"""Figures of spectra and of their lines.

Each takes arrays and axes and returns the axes; none computes a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from stargrav.plots.style import COLORS

WAVELENGTH = "vacuum wavelength (Å)"


def stacked(wave: np.ndarray, spectra: np.ndarray, color: str, ax: Axes) -> Axes:
    """Spectra one above the other.

    Args:
        wave: (p,) [A].
        spectra: (n, p) flux; each has a step of its own.
        color: of the lines.
        ax: drawn into.
    """
    step = 1.1 * np.quantile(np.ptp(spectra, axis=1), 0.75)
    for number, flux in enumerate(spectra):
        ax.plot(wave, flux - flux.mean() + number * step, color=color, linewidth=0.8)
    ax.set(xlabel=WAVELENGTH, ylabel="flux, each a step higher")
    ax.set_yticks([])
    return ax


def overlaid(wave: np.ndarray, spectra: Mapping[str, np.ndarray], ax: Axes) -> Axes:
    """Spectra of one star over each other.

    Args:
        wave: (p,) [A].
        spectra: name -> (p,) flux, drawn in this order.
        ax: drawn into.
    """
    for number, (name, flux) in enumerate(spectra.items()):
        ax.plot(wave, flux, color=COLORS[number % len(COLORS)], linewidth=0.9, label=name)
    ax.set(xlabel=WAVELENGTH, ylabel="flux over its median")
    ax.legend(ncols=len(spectra), loc="upper left")
    return ax


def depths(
    lines: Sequence[str], found: Mapping[str, tuple[np.ndarray, np.ndarray]], ax: Axes
) -> Axes:
    """Depths of lines in several sets of spectra: their mean, and their scatter from star to star.

    Args:
        lines: (n,) names.
        found: set -> mean (n,), standard deviation (n,).
        ax: drawn into.
    """
    place = np.arange(len(lines))
    for number, (name, (mean, scatter)) in enumerate(found.items()):
        aside = 0.2 * (number - (len(found) - 1) / 2)
        ax.errorbar(
            place + aside, mean, yerr=scatter, fmt="o", markersize=4, capsize=2.5,
            color=COLORS[number % len(COLORS)], label=name,
        )  # fmt: skip
    ax.set_xticks(place, lines, rotation=45, ha="right")
    ax.set(ylabel="depth (mean and scatter of the stars)")
    ax.legend()
    return ax
