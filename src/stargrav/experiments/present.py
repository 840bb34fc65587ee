"""A stored result as text: what a run prints at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from stargrav.experiments.results import Result

BUILT_IN = "data/library.h5"  # the source of results that published ones can stand beside
NARROW = 0.002  # of an interval whose ends three decimals would hardly tell apart


def text(result: Result) -> str:
    """The table of a result, its criteria and its verdict."""
    summary = result.summary
    lines = [
        "",
        f"{summary['experiment']} ({summary['plan']}): {summary['claim']}",
        conditions_text(result),
        "",
        *_columns(rows(result)),
        "",
    ]
    lines += [f"  {criterion_text(criterion)}" for criterion in summary["criteria"]]
    lines += [f"verdict: {summary['verdict']}"]
    return "\n".join(lines)


def conditions_text(result: Result) -> str:
    """How it was run: profile, seed, data and parameters."""
    conditions = result.summary["conditions"]
    given = {k: v for k, v in conditions.items() if k != "parameters"} | conditions["parameters"]
    return ", ".join(f"{name} {_plain(value)}" for name, value in given.items())


def criterion_text(criterion: Mapping[str, Any]) -> str:
    """One line: the criterion, what was found, what that means."""
    return f"{criterion['criterion']}: {interval(criterion)}, {criterion['verdict']}"


def interval(found: Mapping[str, float]) -> str:
    """A value with its 95 % interval: ``0.532 [0.480, 0.580]``, to more digits if it is narrow."""
    digits = 3 if abs(found["value"]) < 10 else 1
    if 0 < found["high"] - found["low"] < NARROW:
        digits = 5
    value, low, high = (f"{found[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def metric_names(table: pd.DataFrame) -> list[str]:
    """The columns of a stored table that have intervals."""
    return [name for name in table if f"{name}_low" in table]


def rows(result: Result) -> list[dict[str, str]]:
    """The cases as text by column: scores with intervals, published values beside them.

    Those are of the whole label ranges at full size: they do not stand beside other people's
    spectra, nor beside runs that are not judged.
    """
    table, summary = result.table, result.summary
    names, conditions = metric_names(table), summary["conditions"]
    published = dict(summary["published"])
    if conditions["profile"] == "quick" or conditions.get("source", BUILT_IN) != BUILT_IN:
        published = {}
    ends = {f"{name}_{end}" for name in names for end in ("low", "high")}
    shown = []
    for record in table.to_dict("records"):
        case = ",".join(record[axis] for axis in summary["axes"])
        row = {}
        for column, value in record.items():
            if column in names:
                ends_of = (record[f"{column}_{end}"] for end in ("low", "high"))
                row[column] = _measured(value, *ends_of)
                key = f"{column}[{case}]" if summary["axes"] else column
                if any(name.startswith(f"{column}[") for name in published):
                    row[f"{column} published"] = _plain(published.get(key, ""))
            elif column not in ends:
                row[column] = value if column in summary["axes"] else _plain(value)
        if result.seconds:
            took = result.seconds[case]  # 0: what a stage has made is only read
            row["seconds"] = _plain(took) if took else ""
        shown.append(row)
    return shown


def _measured(value: float | str, low: float | str, high: float | str) -> str:
    """An interval as text; empty where the case has no such metric."""
    if value == "":
        return ""
    return interval({"value": float(value), "low": float(low), "high": float(high)})


def _plain(value: object) -> str:
    if isinstance(value, str) and value.isdigit():  # in a column that is empty elsewhere
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else f"{value:g}"


def _columns(rows: list[dict[str, str]]) -> list[str]:
    header = {name: name for name in rows[0]}
    widths = {name: max(len(row[name]) for row in (header, *rows)) for name in header}
    rule = {name: "-" * width for name, width in widths.items()}
    return [
        "  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip()
        for row in (header, rule, *rows)
    ]
