"""Figures of an experiment, each drawn from its stored result alone.

`FIGURES` names them; an experiment lists those it wants. The curves, bars and points themselves
are drawn by `plots`, which knows arrays only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stargrav.experiments.results import Result
from stargrav.experiments.spectra_figures import OF_SPECTRA
from stargrav.plots.limits import against_magnitude, ranks, sigmas
from stargrav.plots.regression import error_map, predicted_true, residuals
from stargrav.plots.scores import against, bars, costs, score_map
from stargrav.plots.style import MUTED, STYLE, axis_label, save
from stargrav.plots.training import curves, search

RESIDUAL_COLUMNS = ("T_eff", "M_H", "snr")
RANK_BINS = 20
INTERVAL = re.compile(r"rmse_(\w+)_(\d+)_(\d+)")
R2 = ("r2", "r2_low", "r2_high")
LOWEST = -0.5  # of R2 in curves
MOST_PANELS = 4
STARS_LABEL = "labelled stars"
R2_LABEL = r"$R^2$ on the test stars"


def draw(result: Result, names: tuple[str, ...], folder: Path) -> list[Path]:
    """Draw figures of a result.

    Args:
        result: as stored.
        names: keys of `FIGURES`.
        folder: where `<name>.png` are written.
    """
    folder.mkdir(exist_ok=True)
    paths = []
    for name in names:
        with mpl.rc_context(STYLE):
            figure = FIGURES[name](result)
            figure.suptitle(_title(result), x=0.01, ha="left")
        paths.append(folder / f"{name}.png")
        save(figure, paths[-1])
    return paths


def predicted(result: Result) -> Figure:
    """Predicted against true label, of the served case, or of all that are about all stars."""
    groups = _on_all_stars(result)
    figure = Figure(figsize=(0.4 + 5.2 * len(groups), 4.9), layout="compressed")
    axes = figure.subplots(1, len(groups), squeeze=False, sharex=True, sharey=True)[0]
    for (case, found), ax in zip(groups.items(), axes, strict=True):
        predicted_true(*_pair(found), found["target"].iloc[0], ax)
        ax.set_title(_caption(result, case))
        ax.label_outer()
    axes[0].legend(loc="upper left")
    return figure


def residual(result: Result) -> Figure:
    """Residuals of the served case against T_eff, M_H and SNR."""
    found = _served(result)
    truth, prediction = _pair(found)
    columns = [column for column in RESIDUAL_COLUMNS if column in found]
    figure = Figure(figsize=(3.4 * len(columns), 3.3), layout="constrained")
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for column, ax in zip(columns, axes, strict=True):
        values = found[column].to_numpy()
        residuals(values, prediction - truth, column, found["target"].iloc[0], ax)
        ax.label_outer()
    axes[0].legend(loc="upper left", ncols=2)
    axes[0].set_title(found["case"].iloc[0])
    return figure


def losses(result: Result) -> Figure:
    """Loss and R2 over the epochs, one row per trained case."""
    cases = list(dict.fromkeys(result.history["case"]))
    figure = Figure(figsize=(8.2, 3.2 * len(cases)), layout="constrained")
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        history = result.history[result.history["case"] == case]
        epoch = history["epoch"].to_numpy()
        best = epoch[history["valid_r2"].to_numpy().argmax()]
        loss = {split: history[f"{split}_loss"] for split in ("train", "valid")}
        curves(epoch, loss, "loss (standardised label)", row[0], best)
        curves(epoch, {"valid": history["valid_r2"]}, r"$R^2$ of the valid stars", row[1], best)
        row[0].set_title(case)
    return figure


def scores(result: Result) -> Figure:
    """R2 of every case that has one with its interval, beside the published values."""
    table, axes = result.table[result.table["r2"] != ""], result.summary["axes"]
    published = result.summary["published"]
    cases = table[axes].agg(",".join, axis=1)
    marks = np.array([published.get(f"r2[{case}]", np.nan) for case in cases], dtype=float)
    outer, inner = (axes[:1], axes[1:]) if len(axes) > 1 else ([], axes)
    groups = list(table[outer[0]]) if outer else [""] * len(table)
    figure = Figure(figsize=(6.2, 1.5 + 0.24 * len(table) + 0.2 * len(set(groups))))
    figure.set_layout_engine("constrained")
    value, low, high = (table[name].to_numpy(float) for name in ("r2", "r2_low", "r2_high"))
    labels = list(table[inner].agg(", ".join, axis=1))
    bars(labels, groups, value, low, high, marks, R2_LABEL, figure.subplots())
    return figure


def limit_magnitude(result: Result) -> Figure:
    """Largest R2 that the bounds leave against magnitude, beside the published values."""
    table, published = result.table, result.summary["published"]
    rows = table[table["stars"].str.startswith("mag_")]
    columns = (rows[name].to_numpy(float) for name in ("r2_max_q25", "r2_max", "r2_max_q75"))
    marks = [published.get(f"r2_max[{name}]", np.nan) for name in rows["stars"]]
    mag = rows["stars"].str.removeprefix("mag_").to_numpy(float)
    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    against_magnitude(mag, *columns, np.array(marks, dtype=float), figure.subplots())
    return figure


def rank_histogram(result: Result) -> Figure:
    """Where the true label lies in the posterior of the first case."""
    found = _served(result)
    counts = np.histogram(found["rank"], bins=RANK_BINS, range=(0, 1))[0]
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    ranks(counts, len(found), figure.subplots())
    return figure


def pit(result: Result) -> Figure:
    """Where the true log g lies in each posterior."""
    found = result.predictions[result.predictions["target"] == "log_g"]
    groups = list(found.groupby("case", sort=False))
    figure = Figure(figsize=(4.4 * len(groups), 3.6), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    for (case, rows), ax in zip(groups, axes, strict=True):
        counts = np.histogram(rows["rank"], bins=RANK_BINS, range=(0, 1))[0]
        ranks(counts, len(rows), ax)
        ax.set_title(case.split(",")[0])
    return figure


def coverages(result: Result) -> Figure:
    """Share of the stars whose log g lies in its interval, by third of the SNR."""
    rows = result.table[(result.table["label"] == "log_g") & (result.table["snr"] != "all")]
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    for percent, ax in zip((68, 95), figure.subplots(1, 2), strict=True):
        name = f"coverage_{percent}"
        ends = [name, f"{name}_low", f"{name}_high"]
        curves = {
            posterior: tuple(own[end].to_numpy(float) for end in ends)
            for posterior, own in rows.groupby("posterior", sort=False)
        }
        thirds = list(dict.fromkeys(rows["snr"]))
        label = f"share within the {percent} % interval"
        against(np.arange(len(thirds)), curves, "SNR", label, ax)
        ax.axhspan(0.9 * percent / 100, min(1, 1.1 * percent / 100), color=MUTED, alpha=0.15)
        ax.set_xticks(range(len(thirds)), thirds)
        ax.set_ylim(min(0.5, rows[ends[1]].astype(float).min()), 1.01)
    return figure


def sigma_snr(result: Result) -> Figure:
    """Standard deviation of the posterior and Cramer-Rao bound against SNR, every case."""
    found = result.predictions
    cases = list(dict.fromkeys(found["case"]))
    figure = Figure(figsize=(3.6 * len(cases), 3.6), layout="constrained")
    axes = figure.subplots(1, len(cases), sharey=True, squeeze=False)[0]
    for case, ax in zip(cases, axes, strict=True):
        part = found[found["case"] == case]
        prior = np.ptp(part["truth"]) / np.sqrt(12)
        sigmas(*(part[name].to_numpy(float) for name in ("snr", "sd", "bound")), prior, ax)
        ax.set_title(f"noise level {case}")
        ax.label_outer()
    return figure


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


def layers(result: Result) -> Figure:
    """R2 as a map of layer and pooling."""
    table = result.table.pivot(index="layer", columns="pooling", values="r2")
    table = table.loc[result.table["layer"].unique(), result.table["pooling"].unique()]
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = figure.subplots()
    score_map(table.to_numpy(float), list(table.index), list(table.columns), R2_LABEL, ax)
    return figure


def match(result: Result) -> Figure:
    """Cosine between told and true latents, raw and with mean and scale of each number removed."""
    table, names = result.table, {"cosine": "cosine", "standardised": "cosine_standardised"}
    labels = list(table[result.summary["axes"][0]])
    groups = [group for group in names for _ in labels]
    columns = (
        np.concatenate([table[f"{name}{end}"].to_numpy(float) for name in names.values()])
        for end in ("", "_low", "_high")
    )
    figure = Figure(figsize=(6.2, 1.7 + 0.5 * len(labels)), layout="constrained")
    nothing = np.full(len(groups), np.nan)
    bars(labels * len(names), groups, *columns, nothing, "valid stars", figure.subplots())
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


def draw_times(result: Result, path: Path) -> None:
    """Draw `sizes` beside the seconds that each case took.

    No part of a stored result, whose figures are the same in each run.

    Args:
        result: as stored, with numbers of training stars and seconds.
        path: PNG to be written.
    """
    axes = result.summary["axes"]
    cases = result.table[axes].agg(",".join, axis=1)
    table = result.table.assign(seconds=[result.seconds[case] for case in cases])
    groups = table.astype({"n_train": float}).groupby(axes[0], sort=False)
    took = {name: rows["seconds"].to_numpy(float) for name, rows in groups}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _sizes(result, left)
        stars = next(iter(groups))[1]["n_train"].to_numpy()
        costs(stars, took, STARS_LABEL, "seconds", right)
        figure.suptitle(_title(result), x=0.01, ha="left")
    save(figure, path)


def trials(result: Result) -> Figure:
    """What the trials of each search reached on valid stars."""
    groups = list(result.trials.groupby("case", sort=False))
    figure = Figure(figsize=(4.4 * len(groups), 3.6), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    for (case, rows), ax in zip(groups, axes, strict=True):
        score = rows["valid_r2"].to_numpy(float)
        search(score, (rows["state"] == "pruned").to_numpy(), "$R^2$ on the valid stars", ax)
        ax.set_title(case)
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


def bias_map(result: Result) -> Figure:
    """Mean error of each model over T_eff and M_H, of all test stars."""
    told = result.predictions
    cases = [case for case in dict.fromkeys(told["case"]) if case.endswith("all")]
    figure = Figure(figsize=(4.4 * len(cases), 3.6), layout="constrained")
    names = ("T_eff", "M_H")
    for case, ax in zip(cases, figure.subplots(1, len(cases), squeeze=False)[0], strict=True):
        own = told[told["case"] == case]
        truth, prediction = _pair(own)
        x, y = (own[name].to_numpy(float) for name in names)
        error_map(x, y, prediction - truth, names, own["target"].iloc[0], ax)
        ax.set_title(case)
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


FIGURES = {
    **OF_SPECTRA,
    "groups": groups,
    "bias_map": bias_map,
    "match": match,
    "shift": shift,
    "sizes": sizes,
    "intervals": intervals,
    "noise": noise,
    "dimension": dimension,
    "layers": layers,
    "predicted": predicted,
    "limit_magnitude": limit_magnitude,
    "ranks": rank_histogram,
    "pit": pit,
    "coverages": coverages,
    "sigma_snr": sigma_snr,
    "receptive_field": receptive_field,
    "residual": residual,
    "losses": losses,
    "scores": scores,
    "trials": trials,
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


def _served(result: Result) -> pd.DataFrame:
    predictions = result.predictions
    case = result.summary["serves"] or predictions["case"].iloc[0]
    return predictions[predictions["case"] == case]


def _on_all_stars(result: Result) -> dict[str, pd.DataFrame]:
    """Predictions of log g (or else of the first label) by case, without those of some stars."""
    found = _served(result) if result.summary["serves"] else result.predictions
    target = "log_g" if (found["target"] == "log_g").any() else found["target"].iloc[0]
    rows = found[found["target"] == target]
    groups = {str(case): own for case, own in rows.groupby("case", sort=False, observed=True)}
    whole = {case: own for case, own in groups.items() if "all" in case.split(",")}
    return dict(list((whole or groups).items())[:MOST_PANELS])


def _pair(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return predictions["truth"].to_numpy(float), predictions["prediction"].to_numpy(float)


def _title(result: Result) -> str:
    conditions = result.summary["conditions"]
    return f"{result.summary['experiment']} · {conditions['profile']}"


def _caption(result: Result, case: str) -> str:
    metric = result.summary["metrics"][f"r2[{case}]"]
    return f"{case}: $R^2$ = {metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
