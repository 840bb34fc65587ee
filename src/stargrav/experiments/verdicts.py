"""The verdict table: what each experiment was to show, what it found, what that decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stargrav.experiments.evidence import MISSING
from stargrav.experiments.present import interval
from stargrav.experiments.results import Result
from stargrav.experiments.spec import MEASURED, Criterion, Experiment


@dataclass(frozen=True)
class Row:
    """One line of the verdict table, as text."""

    criterion: str
    ours: str
    published: str
    efficiency: str
    verdict: str


def verdict_rows(experiment: Experiment, result: Result | None) -> list[Row]:
    """The lines of an experiment in the verdict table: one per criterion, or what was measured."""
    if result is None:
        wanted = [str(criterion) for criterion in experiment.accept] or [""]
        return [Row(criterion, "", "", "", MISSING) for criterion in wanted]
    declared = {str(criterion): criterion for criterion in experiment.accept}
    metrics = result.summary["metrics"]
    lines = [
        Row(
            found["criterion"],
            interval(found),
            _number(found["published"]),
            _efficiency(declared.get(found["criterion"]), metrics),
            found["verdict"],
        )
        for found in result.summary["criteria"]
    ]
    if lines:
        judged = {line.criterion for line in lines}
        left = [text for text in declared if text not in judged]
        return lines + [Row(text, "", "", "", MISSING) for text in left]
    shown = [key for key in result.summary["published"] if key in metrics] or list(metrics)[:1]
    return [
        Row(
            key,
            interval(metrics[key]),
            _number(result.summary["published"].get(key)),
            _efficiency(Criterion(key), metrics),
            MEASURED,
        )
        for key in shown
    ]


def _efficiency(criterion: Criterion | None, metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The efficiency of the first case that a criterion is about, where it was measured.

    Where it is about several, the case is named.
    """
    about = criterion.metrics() if criterion is not None else ()
    for metric in about:
        name, bracket, case = metric.partition("[")
        key = f"efficiency{bracket}{case}"
        if name == "r2" and key in metrics:
            which = f" ({case.removesuffix(']')})" if len(set(about)) > 1 else ""
            return interval(metrics[key]) + which
    return ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
