"""Figures of what a flux can tell at most: bounds against magnitude and SNR, ranks of the truth.

Each takes arrays and axes and returns the axes; none computes a score.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import binom

from stargrav.plots.style import COLORS, MUTED, axis_label


def against_magnitude(
    mag: np.ndarray,
    low: np.ndarray,
    middle: np.ndarray,
    high: np.ndarray,
    published: np.ndarray,
    ax: Axes,
) -> Axes:
    """R2_max against magnitude: median and quartiles of the stars, and the published medians.

    Args:
        mag: (n,) magnitudes.
        low: (n,) lower quartile.
        middle: (n,) median.
        high: (n,) upper quartile.
        published: (n,), NaN where there is none.
        ax: drawn into.
    """
    ax.fill_between(mag, low, high, color=COLORS[0], alpha=0.22, linewidth=0, label="quartiles")
    ax.plot(mag, middle, color=COLORS[0], marker="o", markersize=4, label="median of the stars")
    ax.scatter(
        mag, published, marker="D", s=32, color=COLORS[1], edgecolor="white", zorder=4,
        label="published",
    )  # fmt: skip
    ax.set(xlabel=axis_label("mag"), ylabel=r"largest $R^2$ of $\log\,g$", ylim=(-0.03, 1.03))
    ax.legend(loc="lower left")
    return ax


def ranks(counts: np.ndarray, stars: int, ax: Axes) -> Axes:
    """Histogram of the truth's ranks, with the range that 95 % of uniform ones keep.

    Args:
        counts: (bins,) number of stars in each of equal parts of 0..1.
        stars: in all.
        ax: drawn into.
    """
    bins = len(counts)
    edges = np.linspace(0, 1, bins + 1)
    low, high = binom.ppf([0.025, 0.975], stars, 1 / bins)
    ax.axhspan(low, high, color=MUTED, alpha=0.2, linewidth=0, label="95 % of uniform ranks")
    ax.axhline(stars / bins, color=MUTED, linewidth=1)
    ax.stairs(counts, edges, color=COLORS[0], linewidth=1.6, label=f"{stars:,} stars")
    ax.set(xlim=(0, 1), ylim=(0, 1.35 * max(counts.max(), high)))
    ax.set(xlabel=r"posterior probability below the true $\log\,g$", ylabel="stars")
    ax.legend(loc="upper right", ncols=2)
    return ax


def sigmas(snr: np.ndarray, sd: np.ndarray, bound: np.ndarray, prior: float, ax: Axes) -> Axes:
    """Posterior standard deviation and Cramer-Rao bound against SNR.

    Args:
        snr: (n,) median per pixel.
        sd: (n,) posterior standard deviation [dex].
        bound: (n,) Cramer-Rao bound [dex].
        prior: standard deviation of the prior [dex].
        ax: drawn into.
    """
    size = np.clip(4000 / len(snr), 3, 14)
    for values, color, name in ((bound, COLORS[1], "Cramér–Rao"), (sd, COLORS[0], "posterior")):
        ax.scatter(snr, values, s=size, color=color, alpha=0.5, linewidths=0, label=name)
    ax.axhline(prior, color=MUTED, linewidth=1, linestyle="--", label="prior")
    ax.set(xscale="log", yscale="log", xlabel=axis_label("snr"))
    ax.set(ylabel=r"$\sigma(\log\,g)$ (dex)")
    ax.legend(loc="lower left")
    return ax
