"""The stored result of an experiment: a folder of tables that says all that was measured.

    metrics.json         claim, criteria, verdict, metrics with 95 % intervals, sizes
    table.csv            one row per case
    history.csv          training curves, one row per case and epoch (where a network was trained)
    predictions.parquet  what was predicted, one row per case and star, to 1e-4 of its value
    stars.parquet        the stars of these rows: labels, magnitude, SNR
    spectra.parquet      a few spectra, one row per case and pixel (where there are any to show)
    trials.csv           settings that were tried, one row per case and trial (where they were)
    best.yaml            the best of them, as an overlay for params.yaml
    seconds.csv          what each case took where it was measured
    figures/             PNG, drawn from the tables whenever it is shown; DVC leaves them out
    model/               the served model

The same inputs and seed give the same bytes of all but seconds.csv: no dates or run numbers stand
here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from stargrav.errors import InputError
from stargrav.experiments.spec import (
    INCONCLUSIVE,
    NOT_JUDGED,
    PASS,
    Experiment,
    Judgement,
    evaluate,
    verdict,
)
from stargrav.experiments.table import Case, Table
from stargrav.labels import LABELS
from stargrav.metrics.estimate import Estimate

DIGITS = 6
SECONDS = "seconds.csv"
PREDICTIONS, STARS = "predictions.parquet", "stars.parquet"
OF_STARS = (*LABELS, "mag", "snr")  # columns; others are of a case, too
DROPPED = 11  # bits of the 23 of a float's fraction
FIGURES = "figures"


@dataclass(frozen=True, eq=False)
class Result:
    """A stored result, read when asked for.

    Args:
        folder: as `write` left it.
    """

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """metrics.json.

        Raises:
            InputError: the folder holds none, or not one of an experiment.
        """
        path = self.folder / "metrics.json"
        try:
            summary = json.loads(path.read_text())
            summary["experiment"], summary["verdict"], summary["metrics"]
        except FileNotFoundError:
            raise InputError(self.folder, "metrics.json", "nothing", "a stored result") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(path, "content", repr(error), "metrics of a result") from error
        return summary

    @cached_property
    def table(self) -> pd.DataFrame:
        """table.csv: the cases; axes are text."""
        axes = dict.fromkeys(self.summary["axes"], str)
        return pd.read_csv(self.folder / "table.csv", dtype=axes, keep_default_na=False)

    @cached_property
    def history(self) -> pd.DataFrame:
        """history.csv: case, epoch and what the training told; empty if nothing was trained."""
        path = self.folder / "history.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame({"case": []})

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.parquet: case, target, truth, prediction and columns of the star, from
        stars.parquet; empty if nothing was predicted."""
        if not (self.folder / PREDICTIONS).is_file():
            return pd.DataFrame({"case": []})
        frame, stars = (pd.read_parquet(self.folder / name) for name in (PREDICTIONS, STARS))
        rows = frame.pop("star").to_numpy()
        if "truth" not in frame:
            frame.insert(2, "truth", _labels(stars.iloc[rows], frame["target"]))
        for place, name in enumerate(stars, start=4):
            frame.insert(place, name, stars[name].to_numpy()[rows])
        return frame

    @cached_property
    def served(self) -> pd.DataFrame:
        """Predictions of the served case, or else of the first."""
        case = self.summary["serves"] or self.predictions["case"].iloc[0]
        return self.predictions[self.predictions["case"] == case]

    @cached_property
    def spectra(self) -> pd.DataFrame:
        """spectra.parquet: case, wave [A] and flux by name; empty if there are none."""
        path = self.folder / "spectra.parquet"
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame({"case": []})

    @cached_property
    def trials(self) -> pd.DataFrame:
        """trials.csv: case, trial, state, valid_r2, settings; empty if nothing was searched."""
        path = self.folder / "trials.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame({"case": []})

    @cached_property
    def best(self) -> dict[str, dict[str, Any]]:
        """best.yaml: experiment -> settings found for it.

        Raises:
            InputError: the folder holds none.
        """
        path = self.folder / "best.yaml"
        if not path.is_file():
            raise InputError(self.folder, "best.yaml", "nothing", "settings to adopt")
        return yaml.safe_load(path.read_text())["experiments"]

    @cached_property
    def seconds(self) -> dict[str, float]:
        """seconds.csv: case -> time that it took when it was measured; empty if not noted."""
        path = self.folder / SECONDS
        if not path.is_file():
            return {}
        noted = pd.read_csv(path, dtype={"case": str}, keep_default_na=False)
        return dict(zip(noted["case"], noted["seconds"].astype(float), strict=True))

    @property
    def figures(self) -> list[Path]:
        """The figures, by name."""
        return sorted(self.folder.glob(f"{FIGURES}/*.png"))


def write(
    folder: Path,
    experiment: Experiment,
    table: Table,
    conditions: Mapping[str, Any],
) -> Result:
    """Store what an experiment measured, judged unless the profile is `quick`.

    Args:
        folder: an empty folder.
        experiment: whose criteria decide.
        table: what it returned, every case recorded.
        conditions: how it was run: profile, seed, parameters, data.
    """
    metrics = table.metrics()
    for key, estimate in metrics.items():
        if not np.isfinite(estimate.value):
            raise FloatingPointError(f"{experiment.name}: {key} is not finite")
    judgements = [c.judge(metrics) for c in experiment.accept if c.measured(metrics)]
    judged = conditions["profile"] != "quick"
    decided = verdict(judgements)
    if decided == PASS and len(judgements) < len(experiment.accept):
        decided = INCONCLUSIVE  # this data set has not measured all that is asked
    summary = {
        "experiment": experiment.name,
        "programme": experiment.programme,
        "plan": experiment.plan,
        "claim": experiment.claim,
        "serves": experiment.serves,
        "verdict": decided if judged else NOT_JUDGED,
        "criteria": [_criterion(j, experiment.published, judged) for j in judgements],
        "axes": list(table.axes),
        "metrics": {key: _interval(estimate) for key, estimate in metrics.items()},
        "published": dict(experiment.published),
        "conditions": dict(conditions),
    }
    text = json.dumps(summary, indent=1, sort_keys=True, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n")
    rows = pd.DataFrame([_row(case) for case in table.cases])
    rows.to_csv(folder / "table.csv", index=False, float_format=f"%.{DIGITS}g")
    _write_history(folder / "history.csv", table)
    frames = [_predicted(case) for case in table.cases if case.score.prediction is not None]
    if frames:
        write_predictions(folder, pd.concat(frames, ignore_index=True))
    _write_spectra(folder / "spectra.parquet", table)
    _write_search(folder, table)
    noted = pd.DataFrame([{"case": case.key, "seconds": case.seconds} for case in table.cases])
    noted.to_csv(folder / SECONDS, index=False, float_format="%.3g")
    return Result(folder)


def _criterion(
    judgement: Judgement, published: Mapping[str, float], judged: bool
) -> dict[str, Any]:
    marks = {key: Estimate.exact(value) for key, value in published.items()}
    try:
        mark = _short(evaluate(judgement.criterion.expression, marks).value)
    except KeyError:  # not all of its metrics were published
        mark = None
    return {
        "criterion": str(judgement.criterion),
        "verdict": judgement.verdict if judged else NOT_JUDGED,
        "published": mark,
        **_interval(judgement.estimate),
    }


def _interval(estimate: Estimate) -> dict[str, float]:
    low, high = estimate.interval()
    return {"value": _short(estimate.value), "low": _short(low), "high": _short(high)}


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _row(case: Case) -> dict[str, Any]:
    row: dict[str, Any] = dict(case.labels)
    row |= case.score.columns
    for name, estimate in case.score.metrics.items():
        row[name], (row[f"{name}_low"], row[f"{name}_high"]) = estimate.value, estimate.interval()
    return row


def _write_history(path: Path, table: Table) -> None:
    frames = [
        pd.DataFrame(case.score.history).assign(case=case.key)
        for case in table.cases
        if case.score.history
    ]
    if frames:
        history = pd.concat(frames)
        history.insert(0, "case", history.pop("case"))
        history.to_csv(path, index=False, float_format=f"%.{DIGITS}g")


def write_predictions(folder: Path, frame: pd.DataFrame) -> None:
    """Store predictions of stars, and the stars once, in the order in which they first come.

    Experiments about the same stars have the same stars.parquet, which DVC keeps once.

    Args:
        folder: of the result.
        frame: as `Result.predictions`; numbers are float32.
    """
    names = [name for name in OF_STARS if name in frame]
    stars, rows = _first_come(frame[names].to_numpy(np.float32))
    stars = pd.DataFrame(stars, columns=names)
    told = frame.drop(columns=names).astype({"case": "category", "target": "category"})
    told.insert(2, "star", rows.astype(np.int32))
    if np.array_equal(_labels(frame[names], frame["target"]), frame["truth"]):
        told = told.drop(columns="truth")
    numbers = told.select_dtypes(np.float32).columns.difference(["truth"])
    told[numbers] = told[numbers].apply(_rounded)
    _write_parquet(folder / PREDICTIONS, told)
    _write_parquet(folder / STARS, stars)


def _first_come(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (k, c) of values (n, c) as they first come, and which of them each row is."""
    distinct, first, place = np.unique(values, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return distinct[order], np.argsort(order)[place.ravel()]


def _predicted(case: Case) -> pd.DataFrame:
    """One row per star: case, target, truth, prediction and what is known of the star."""
    found = case.score.prediction
    columns = {"truth": found.truth, "prediction": found.value, **found.stars}
    frame = pd.DataFrame({name: np.float32(values) for name, values in columns.items()})
    frame.insert(0, "case", case.key)
    frame.insert(1, "target", found.target)
    return frame


def _labels(stars: pd.DataFrame, targets: pd.Series) -> np.ndarray:
    """The label (n,) of each star that its target names; NaN where stars do not tell it."""
    wanted, found = targets.to_numpy(), np.full(len(stars), np.nan, dtype=np.float32)
    for name in set(wanted) & set(stars):
        rows = wanted == name
        found[rows] = stars[name].to_numpy()[rows]
    return found


def _rounded(values: pd.Series) -> np.ndarray:
    """The nearest float32 whose last `DROPPED` bits are zero: to 1.3e-4 of its value."""
    bits = values.to_numpy(np.float32).view(np.int32)
    return ((bits + (1 << (DROPPED - 1))) & -(1 << DROPPED)).view(np.float32)


def _write_spectra(path: Path, table: Table) -> None:
    frames = [
        pd.DataFrame({name: np.float32(x) for name, x in case.score.spectra.items()})
        for case in table.cases
        if case.score.spectra
    ]
    if frames:
        keys = [case.key for case in table.cases if case.score.spectra]
        shown = pd.concat(dict(zip(keys, frames, strict=True)), names=["case"]).reset_index("case")
        _write_parquet(path, shown)


def _write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """A table as small as it gets: what repeats by a dictionary, other floats byte by byte,
    numbers of stars by their steps."""
    floats = frame.select_dtypes(np.float32)
    own = [name for name in floats if floats[name].nunique() > len(frame) / 2]
    encoding = dict.fromkeys(own, "BYTE_STREAM_SPLIT")
    encoding |= dict.fromkeys(frame.select_dtypes(np.int32), "DELTA_BINARY_PACKED")
    frame.to_parquet(
        path,
        index=False,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in frame if name not in encoding],
        column_encoding=encoding,
    )


def _write_search(folder: Path, table: Table) -> None:
    rows = [{"case": case.key, **row} for case in table.cases for row in case.score.trials]
    if rows:
        frame = pd.DataFrame(rows)
        frame.to_csv(folder / "trials.csv", index=False, float_format=f"%.{DIGITS}g")
    adopt = {
        name: {key: _short(x) if isinstance(x, float) else x for key, x in found.items()}
        for case in table.cases
        for name, found in case.score.adopt.items()
    }
    if adopt:
        text = yaml.safe_dump({"experiments": adopt}, default_flow_style=None, sort_keys=False)
        (folder / "best.yaml").write_text(text)
