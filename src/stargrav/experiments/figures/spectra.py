"""Figures of spectra that were drawn or denoised, and of what became of their lines and labels.

Each is drawn from a stored result alone, as those of `experiments.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from stargrav.experiments.results import Result
from stargrav.plots.scores import score_map, side_by_side
from stargrav.plots.spectra import depths, overlaid, stacked
from stargrav.plots.style import COLORS, axis_label

MISSED = {
    "mse": "mean square error (noise's variance)",
    "mse_once": "mean square error, asked once",
    **{f"bias_{label}": axis_label(label, "bias of") for label in ("T_eff", "log_g", "M_H")},
}

LINE_BIASES = {  # and to where its axis is linear
    "width_bias": ("bias of the width (relative)", 0.03),
    "depth_bias": ("bias of the depth\n(of the continuum)", 0.01),
    "velocity_bias": ("bias of the velocity [km/s]", 0.3),
}


def samples(result: Result) -> Figure:
    """Some spectra of each set, side by side."""
    groups = list(result.spectra.groupby("case", sort=False))
    figure = Figure(figsize=(4.2 * len(groups), 4.2), layout="constrained")
    axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for number, ((case, rows), ax) in enumerate(zip(groups, axes, strict=True)):
        flux = rows.drop(columns=["case", "wave"]).to_numpy(float).T
        stacked(rows["wave"].to_numpy(float), flux, COLORS[number], ax)
        ax.set_title(case.split(",")[0])
        ax.label_outer()
    return figure


def line_depths(result: Result) -> Figure:
    """Depths of lines in each set of spectra."""
    rows = result.table[result.table["of"] != "all"].astype({"depth": float, "scatter": float})
    found = {
        name: (own["depth"].to_numpy(), own["scatter"].to_numpy())
        for name, own in rows.groupby("set", sort=False)
    }
    lines = [line.replace("_", " ") for line in dict.fromkeys(rows["of"])]
    figure = Figure(figsize=(3.0 + 0.8 * len(lines), 3.8), layout="constrained")
    depths(lines, found, figure.subplots())
    return figure


def denoised(result: Result) -> Figure:
    """One star as each denoiser gives it back, over the noisy and below the clean spectrum."""
    groups = list(result.spectra.groupby("case", sort=False))
    figure = Figure(figsize=(9.0, 1.8 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for (case, rows), ax in zip(groups, axes, strict=True):
        flux = {name: rows[name].to_numpy(float) for name in ("noisy", "denoised", "clean")}
        overlaid(rows["wave"].to_numpy(float), flux, ax)
        low, high = flux["clean"].min(), flux["clean"].max()
        ax.set_ylim(2 * low - high, 2 * high - low)  # noise reaches farther and hides the lines
        ax.set_title(case.split(",")[0])
        ax.label_outer()
    return figure


def snr_thirds(result: Result) -> Figure:
    """What is missed of spectra and of labels, in each third of the stars by SNR."""
    table = result.table[result.table["stars"] != "all"]
    groups = list(table.groupby(result.summary["axes"][0], sort=False))
    places = [f"{row.stars}\n(SNR {row.snr:.1f})" for row in groups[0][1].itertuples()]
    names = [name for name in MISSED if name in table]
    figure = Figure(figsize=(1.2 + 3.6 * len(names), 3.8), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for name, ax in zip(names, axes, strict=True):
        scores = {
            key: tuple(rows[f"{name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
            for key, rows in groups
        }
        side_by_side(places, scores, MISSED[name], ax)
        if name.startswith("mse"):
            ax.set_yscale("log")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def kept(result: Result) -> Figure:
    """What each denoiser leaves of an edited line, a map for each noise and edit."""
    groups = list(result.table.groupby(["noise", "edit"], sort=False))
    edits, lines = (result.table[name].nunique() for name in ("edit", "line"))
    shape = len(groups) // edits, edits
    models = result.table["model"].nunique()
    size = (2.2 + 0.64 * models) * shape[1], (1.4 + 0.36 * lines) * shape[0]
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(*shape, squeeze=False).flat
    for ((noise, edit), rows), ax in zip(groups, axes, strict=True):
        table = rows.pivot(index="line", columns="model", values="kept")
        table = table.loc[rows["line"].unique(), rows["model"].unique()]
        names = [line.replace("_", " ") for line in table.index]
        label = "kept (1 follows the data, 0 what was learnt)"
        score_map(table.to_numpy(float), names, list(table.columns), label, ax, (0.0, 1.0))
        ax.set_title(f"{edit}, noise {noise}")
    return figure


def widths(result: Result) -> Figure:
    """What became of the strengths of lines: their means, and their differences."""
    shown = {
        "width_bias": "bias of the mean width (relative)",
        "kept": "kept of differences of width",
    }
    return _by_line(result, "spectra", shown)


def line_biases(result: Result) -> Figure:
    """How far off lines of denoised spectra are in width, depth and velocity, by denoiser.

    Linear as far as the middle of an axis shows, logarithmic outside: what noise and a network
    taught by squared errors leave is many times what the others do.
    """
    shown = {name: label for name, (label, _) in LINE_BIASES.items()}
    figure = _by_line(result, "model", shown)
    for (_, linear), ax in zip(LINE_BIASES.values(), figure.axes, strict=True):
        ax.set_yscale("symlog", linthresh=linear)
    return figure


def _by_line(result: Result, axis: str, shown: Mapping[str, str]) -> Figure:
    """Metrics of lines, one below the other, for each label of an axis."""
    table, figure = result.table, Figure(layout="constrained")
    lines = [line.replace("_", " ") for line in table["line"].unique()]
    figure.set_size_inches(2.0 + 1.1 * len(lines), 3.0 * len(shown))
    axes = figure.subplots(len(shown), 1, sharex=True)
    for (name, label), ax in zip(shown.items(), axes, strict=True):
        scores = {
            key: tuple(
                pd.to_numeric(rows[f"{name}{end}"], errors="coerce").to_numpy(float)
                for end in ("", "_low", "_high")
            )
            for key, rows in table.groupby(axis, sort=False)
        }
        side_by_side(lines, scores, label, ax)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
    return figure


OF_SPECTRA = {
    "denoised": denoised,
    "depths": line_depths,
    "kept": kept,
    "line_biases": line_biases,
    "samples": samples,
    "snr_thirds": snr_thirds,
    "widths": widths,
}
