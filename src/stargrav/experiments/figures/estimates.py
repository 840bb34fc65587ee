"""Figures of what was told of stars and how well, of trainings and of searches."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stargrav.experiments.figures.curves import R2_LABEL
from stargrav.experiments.results import Result
from stargrav.plots.regression import error_map, predicted_true, residuals
from stargrav.plots.scores import bars, score_map
from stargrav.plots.training import curves, search

RESIDUAL_COLUMNS = ("T_eff", "M_H", "snr")
MOST_PANELS = 4


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
    found = result.served
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


OF_ESTIMATES = {
    "predicted": predicted,
    "residual": residual,
    "bias_map": bias_map,
    "scores": scores,
    "layers": layers,
    "match": match,
    "losses": losses,
    "trials": trials,
}


def _on_all_stars(result: Result) -> dict[str, pd.DataFrame]:
    """Predictions of log g (or else of the first label) by case, without those of some stars."""
    found = result.served if result.summary["serves"] else result.predictions
    target = "log_g" if (found["target"] == "log_g").any() else found["target"].iloc[0]
    rows = found[found["target"] == target]
    groups = {str(case): own for case, own in rows.groupby("case", sort=False, observed=True)}
    whole = {case: own for case, own in groups.items() if "all" in case.split(",")}
    return dict(list((whole or groups).items())[:MOST_PANELS])


def _pair(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return predictions["truth"].to_numpy(float), predictions["prediction"].to_numpy(float)


def _caption(result: Result, case: str) -> str:
    metric = result.summary["metrics"][f"r2[{case}]"]
    return f"{case}: $R^2$ = {metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
