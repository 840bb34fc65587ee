"""Figures of posteriors and of the limits: widths, coverage, ranks, the bound."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from stargrav.experiments.results import Result
from stargrav.plots.limits import against_magnitude, ranks, sigmas
from stargrav.plots.scores import against
from stargrav.plots.style import MUTED

RANK_BINS = 20


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
    found = result.served
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
        ax.set_title(f"noise level {case}" if case[0].isdigit() else case)
        ax.label_outer()
    return figure


OF_POSTERIORS = {
    "limit_magnitude": limit_magnitude,
    "ranks": rank_histogram,
    "pit": pit,
    "coverages": coverages,
    "sigma_snr": sigma_snr,
}
