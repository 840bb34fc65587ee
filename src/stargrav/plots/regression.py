"""Figures of a label that is predicted: against the truth, and what is left over where.

Each takes arrays and axes and returns the axes; none computes a score.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy.ndimage import gaussian_filter, map_coordinates

from stargrav.plots.style import COLORS, MUTED, axis_label

WINDOWS = 12

CELLS = 5  # of a map, along each label


def predicted_true(truth: np.ndarray, prediction: np.ndarray, target: str, ax: Axes) -> Axes:
    """Predicted against true label: the stars, coloured by how dense they lie.

    Args:
        truth: (n,) true label.
        prediction: (n,) predicted label, same unit.
        target: name of the label.
        ax: drawn into.
    """
    low, high = _limits(np.concatenate([truth, prediction]))
    crowd = density(truth, prediction)
    order = np.argsort(crowd, kind="stable")  # the densest on top
    size = np.clip(9000 / len(truth), 3, 22)
    points = ax.scatter(
        truth[order], prediction[order], s=size, c=crowd[order], cmap="viridis", linewidths=0
    )
    bar = ax.figure.colorbar(points, ax=ax, pad=0.02, shrink=0.75, aspect=30)
    bar.set_label("density of stars, of its maximum")
    bar.outline.set_visible(False)
    ax.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle="--", zorder=3)
    centre, low_16, middle, high_84 = running(truth, prediction)
    ax.plot(centre, middle, color=COLORS[1], label="running median")
    ax.plot(centre, low_16, color=COLORS[1], linewidth=0.9, linestyle=(0, (4, 2)), label="16–84 %")
    ax.plot(centre, high_84, color=COLORS[1], linewidth=0.9, linestyle=(0, (4, 2)))
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set(xlabel=axis_label(target, "true"), ylabel=axis_label(target, "predicted"))
    return ax


def residuals(column: np.ndarray, residual: np.ndarray, name: str, target: str, ax: Axes) -> Axes:
    """Residuals against a property of the star, with their running median and 16-84 % range.

    Args:
        column: (n,) the property.
        residual: (n,) predicted minus true label.
        name: of the property.
        target: name of the label.
        ax: drawn into.
    """
    size = np.clip(4000 / len(column), 2, 14)
    ax.scatter(column, residual, s=size, color=MUTED, alpha=0.25, linewidths=0, rasterized=True)
    _draw_running(ax, column, residual, COLORS[0])
    ax.axhline(0, color="black", linewidth=0.8)
    reach = 1.15 * np.percentile(np.abs(residual), 99)
    ax.set(xlim=_limits(column), ylim=(-reach, reach))
    ax.set(xlabel=axis_label(name), ylabel=axis_label(target, "predicted − true"))
    return ax


def error_map(
    x: np.ndarray,
    y: np.ndarray,
    residual: np.ndarray,
    names: tuple[str, str],
    target: str,
    ax: Axes,
    reach: float = 0.5,
) -> Axes:
    """Mean error in cells of a map of two labels, each number written in its field.

    Args:
        x: (n,) label along the abscissa.
        y: (n,) label along the ordinate.
        residual: (n,) predicted - true.
        names: of the two labels.
        target: name of the predicted label.
        ax: drawn into.
        reach: of the colours, in the unit of the predicted label.
    """
    sums, *edges = np.histogram2d(x, y, bins=CELLS, weights=residual)
    mean = sums / np.maximum(np.histogram2d(x, y, bins=edges)[0], 1)
    image = ax.pcolormesh(*edges, mean.T, cmap="RdBu_r", vmin=-reach, vmax=reach)
    middle = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    for (column, row), value in np.ndenumerate(mean):
        color = "white" if abs(value) > 0.7 * reach else "black"
        place = middle[0][column], middle[1][row]
        ax.text(*place, f"{value:+.2f}", ha="center", va="center", color=color, fontsize=8)
    ax.grid(visible=False)
    ax.set(xlabel=axis_label(names[0]), ylabel=axis_label(names[1]))
    label = axis_label(target, "mean error of")
    ax.figure.colorbar(image, ax=ax, pad=0.02, label=label).outline.set_visible(False)
    return ax


def running(x: np.ndarray, y: np.ndarray, windows: int = WINDOWS) -> np.ndarray:
    """Percentiles of y in windows of x that hold equally many stars.

    Args:
        x: (n,).
        y: (n,).
        windows: at most this many, fewer where stars are few.

    Returns:
        (4, windows): median x; 16, 50 and 84 percentile of y.
    """
    groups = np.array_split(np.argsort(x, kind="stable"), max(1, min(windows, len(x) // 8)))
    return np.array([[np.median(x[g]), *np.percentile(y[g], [16, 50, 84])] for g in groups]).T


def density(x: np.ndarray, y: np.ndarray, bins: int = 64, width: float = 3.0) -> np.ndarray:
    """How dense points lie: their histogram, smoothed, at each of them.

    Args:
        x: (n,).
        y: (n,).
        bins: of the histogram along each axis.
        width: standard deviation of the smoothing, bins.

    Returns:
        (n,) density, 1 at the densest point.
    """
    counts, *edges = np.histogram2d(x, y, bins=bins, range=[_limits(x), _limits(y)])
    places = [
        (values - edge[0]) / (edge[1] - edge[0]) - 0.5
        for values, edge in zip((x, y), edges, strict=True)
    ]
    smooth = gaussian_filter(counts, width, mode="constant")
    found = map_coordinates(smooth, places, order=1, mode="nearest")
    return found / found.max()


def _draw_running(ax: Axes, x: np.ndarray, y: np.ndarray, color: str) -> None:
    centre, low, middle, high = running(x, y)
    ax.fill_between(centre, low, high, color=color, alpha=0.22, linewidth=0, label="16–84 %")
    ax.plot(centre, middle, color=color, label="running median")


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin
