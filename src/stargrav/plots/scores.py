"""Figures of scores: each case with its interval, beside what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def against(
    x: np.ndarray,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    xlabel: str,
    ylabel: str,
    ax: Axes,
    marked: Mapping[str, float] | None = None,
) -> Axes:
    """A score against a setting, a line with its interval for each curve.

    Args:
        x: (n,) setting, evenly spaced in the figure where it spans decades.
        curves: name -> score (n,), lower and upper end of its interval (n,).
        xlabel: name of the setting.
        ylabel: name of the score.
        ax: drawn into.
        marked: curve -> one of the settings, which a ring is drawn around.
    """
    marked = marked or {}
    for number, (name, (value, low, high)) in enumerate(curves.items()):
        color, style = _line(number)
        ax.plot(x, value, color=color, linestyle=style, marker="o", markersize=4, label=name)
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        if name in marked:
            at = np.flatnonzero(x == marked[name])
            ax.scatter(x[at], value[at], s=110, facecolor="none", edgecolor=color, zorder=4)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return ax


def side_by_side(
    places: Sequence[str],
    scores: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    ylabel: str,
    ax: Axes,
) -> Axes:
    """Scores with their intervals, the points of a place beside each other.

    Args:
        places: (n,) names, from left to right.
        scores: name -> score (n,), lower and upper end of its interval (n,).
        ylabel: name of the score.
        ax: drawn into.
    """
    place = np.arange(len(places))
    for number, (name, (value, low, high)) in enumerate(scores.items()):
        aside = 0.7 * (number - (len(scores) - 1) / 2) / len(scores)
        ax.errorbar(
            place + aside, value, yerr=np.clip([value - low, high - value], 0, None), fmt="o",
            markersize=4, capsize=2.5, color=COLORS[number % len(COLORS)], label=name,
        )  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.set_xticks(place, places)
    ax.set(ylabel=ylabel)
    return ax


def costs(
    x: np.ndarray, curves: Mapping[str, np.ndarray], xlabel: str, ylabel: str, ax: Axes
) -> Axes:
    """What something costs against a setting, both on logarithmic axes.

    Args:
        x: (n,) setting.
        curves: name -> (n,) cost, positive, in the colours that `against` gives to as many curves.
        xlabel: name of the setting.
        ylabel: name of the cost.
        ax: drawn into.
    """
    for number, (name, values) in enumerate(curves.items()):
        color, style = _line(number)
        ax.loglog(x, values, color=color, linestyle=style, marker="o", markersize=4, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def _line(number: int) -> tuple[str, str]:
    """Colour and style of a curve."""
    return COLORS[number % len(COLORS)], "-" if number < len(COLORS) else "--"


def score_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    ax: Axes,
    span: tuple[float, float] | None = None,
) -> Axes:
    """Scores as a map of two settings, each number written in its field.

    Args:
        values: (rows, columns) scores.
        rows: names, from top to bottom.
        columns: names, from left to right.
        label: name of the score.
        ax: drawn into.
        span: scores of the first and the last colour; the lowest and the highest if None.
    """
    low, high = span or (values.min(), values.max())
    image = ax.imshow(values, cmap="viridis", aspect="auto", vmin=low, vmax=high)
    middle = (low + high) / 2
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value < middle else "black"
        ax.text(column, row, f"{value:.3f}", ha="center", va="center", color=color)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, pad=0.02, label=label).outline.set_visible(False)
    return ax
