"""Figures of R2 against what was varied: noise, stars, components, magnitude, receptive field."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stargrav.experiments.results import Result
from stargrav.plots.scores import against, costs
from stargrav.plots.style import MUTED, axis_label

INTERVAL = re.compile(r"rmse_(\w+)_(\d+)_(\d+)")
R2 = ("r2", "r2_low", "r2_high")
R2_LABEL = r"$R^2$ on the test stars"
LOWEST = -0.5  # of R2 in curves
STARS_LABEL = "labelled stars"


def noise(result: Result) -> Figure:
    """R2 against the noise of the test spectra, trained at that noise and at one in the middle."""
    table = result.table.astype({"trained": float, "tested": float})
    levels = np.array(sorted(table["tested"].unique()))
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    middle = levels[len(levels) // 2]
    for ax, matched in zip(figure.subplots(1, 2, sharey=True), (True, False), strict=True):
        trained = table["tested"] if matched else middle
        part = table[table["trained"] == trained].sort_values("tested")
        curves = {
            f"{source}, {probe}": _cut(rows)
            for (source, probe), rows in part.groupby(["input", "probe"], sort=False)
        }
        against(levels, curves, "noise level of the test spectra", _cut_label(part), ax)
        ax.set_title("trained at the same noise" if matched else f"trained at noise {middle:g}")
        ax.label_outer()
    return figure


def dimension(result: Result) -> Figure:
    """R2 against the number of principal components, the whole latent as a line."""
    table = result.table
    some, full = table[table["dimensions"] != "full"], table[table["dimensions"] == "full"]
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.subplots()
    curves = {"components": tuple(some[name].to_numpy(float) for name in R2)}
    against(some["dimensions"].to_numpy(float), curves, "components", R2_LABEL, ax)
    ax.axhline(float(full["r2"].iloc[0]), color=MUTED, linestyle="--", label="whole latent")
    ax.set_xscale("log", base=2)
    ax.legend()
    return figure


def shift(result: Result) -> Figure:
    """R2 of each input against the noise of the test spectra."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    _curves(result, "noise", "noise level of the test spectra", figure.subplots())
    return figure


def sizes(result: Result) -> Figure:
    """R2 of each input, or each model, against the number of labelled stars; where it is known how
    many are enough, a ring stands there."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    _sizes(result, figure.subplots())
    return figure


def times(result: Result) -> Figure:
    """`sizes` beside the seconds that each case took, as one run took them."""
    axes = result.summary["axes"]
    cases = result.table[axes].agg(",".join, axis=1)
    table = result.table.assign(seconds=[result.seconds[case] for case in cases])
    groups = table.astype({"n_train": float}).groupby(axes[0], sort=False)
    took = {name: rows["seconds"].to_numpy(float) for name, rows in groups}
    figure = Figure(figsize=(10.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _sizes(result, left)
    stars = next(iter(groups))[1]["n_train"].to_numpy()
    costs(stars, took, STARS_LABEL, "seconds", right)
    return figure


def receptive_field(result: Result) -> Figure:
    """R2 against the pixels that a network sees at once: further by dilation, by more taps."""
    ways = {"by dilation, 15 taps": ("d1", "d2", "d4"), "by taps": ("k7", "d1", "k31", "k63")}
    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    axes = figure.subplots(1, len(ways), sharey=True)
    for (way, filters), ax in zip(ways.items(), axes, strict=True):
        table = result.table[result.table["filters"].isin(filters)]
        table = table.astype({"receptive_field": float}).sort_values("receptive_field")
        curves = {
            f"noise {level}": _cut(rows) for level, rows in table.groupby("noise", sort=False)
        }
        seen = next(rows for _, rows in table.groupby("noise"))["receptive_field"].to_numpy()
        against(seen, curves, "receptive field (pixels)", _cut_label(table), ax)
        ax.set_title(way)
        ax.label_outer()
    return figure


def groups(result: Result) -> Figure:
    """R2 of each model by magnitude and by fifths of SNR, below the bound of the median star."""
    panels = {"mag": "magnitude (HSC i, AB)", "snr": "fifth of the stars by SNR"}
    found = {name: result.table["stars"].str.startswith(f"{name}_") for name in panels}
    found = {name: rows for name, rows in found.items() if rows.any()} or {"all": slice(None)}
    figure = Figure(figsize=(4.6 * len(found), 3.8), layout="constrained")
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for (name, rows), ax in zip(found.items(), axes, strict=True):
        table = result.table[rows]
        places = [
            np.mean([float(x) for x in star.split("_")[1:] or [0]]) for star in table["stars"]
        ]
        curves = {model: _cut(own) for model, own in table.groupby("model", sort=False)}
        x = np.array(places)[(table["model"] == table["model"].iloc[0]).to_numpy()]
        if "r2_max" in table:
            own = table[table["model"] == table["model"].iloc[0]]
            bound = [own[f"r2_max{end}"].to_numpy(float) for end in ("", "_low", "_high")]
            curves["bound of the median star"] = tuple(bound)
        against(x, curves, panels.get(name, name), _cut_label(table), ax)
        ax.label_outer()
    return figure


def intervals(result: Result) -> Figure:
    """RMSE of each input within intervals of log g and of T_eff."""
    columns = [name for name in result.table if INTERVAL.fullmatch(name)]
    parts = [INTERVAL.fullmatch(name).groups() for name in columns]
    found = list(dict.fromkeys(part[0] for part in parts))
    figure = Figure(figsize=(4.2 * len(found), 3.6), layout="constrained")
    for label, ax in zip(found, figure.subplots(1, len(found), squeeze=False)[0], strict=True):
        own = [name for name, part in zip(columns, parts, strict=True) if part[0] == label]
        middle = np.mean([[float(x) for x in part[1:]] for part in parts if part[0] == label], 1)
        curves = {
            row[result.summary["axes"][0]]: tuple(
                np.array([row[f"{name}{end}"] for name in own], dtype=float)
                for end in ("", "_low", "_high")
            )
            for row in result.table.to_dict("records")
        }
        against(middle, curves, axis_label(label), "RMSE of " + axis_label("log_g"), ax)
        ax.label_outer()
    return figure


OF_CURVES = {
    "noise": noise,
    "dimension": dimension,
    "shift": shift,
    "sizes": sizes,
    "times": times,
    "receptive_field": receptive_field,
    "groups": groups,
    "intervals": intervals,
}


def _sizes(result: Result, ax: Axes) -> None:
    first, table = result.summary["axes"][0], result.table
    enough = table.groupby(first)["enough"].first().astype(float) if "enough" in table else {}
    _curves(result, "n_train", STARS_LABEL, ax, dict(enough))
    ax.set_xscale("log")
    if len(enough):
        ax.set_title("rings: enough, within .01 of the largest")


def _curves(
    result: Result,
    column: str,
    xlabel: str,
    ax: Axes,
    marked: Mapping[str, float] | None = None,
) -> None:
    """R2 against a column, a line for each value of the first axis."""
    first = result.summary["axes"][0]
    groups = result.table.astype({column: float}).groupby(first, sort=False)
    curves = {name: _cut(rows) for name, rows in groups}
    against(
        next(iter(groups))[1][column].to_numpy(),
        curves,
        xlabel,
        _cut_label(result.table),
        ax,
        marked,
    )


def _cut(rows: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """R2 and the ends of its interval as a curve; what is below `LOWEST` stands there."""
    return tuple(rows[name].clip(lower=LOWEST).to_numpy(float) for name in R2)


def _cut_label(rows: pd.DataFrame) -> str:
    """The axis of such curves, which says so."""
    return f"{R2_LABEL} (cut at {LOWEST:g})" if (rows["r2"] < LOWEST).any() else R2_LABEL
