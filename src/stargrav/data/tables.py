"""Tables of labels that a user hands in as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from stargrav.errors import InputError
from stargrav.labels import LABELS


def read_labels(path: Path, ranges: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Labels of stars, one per row.

    Args:
        path: CSV with the columns `LABELS`, in any order, beside others.
        ranges: label -> (low, high) that is accepted.

    Returns:
        (n, 5), order `LABELS`.

    Raises:
        InputError: no such file, no rows, a column missing, a value no number or out of range.
    """
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(path, "file", "nothing", "a CSV of labels") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        text = str(error).splitlines()[0]
        raise InputError(path, "file", text, "a CSV of labels") from error
    for name in LABELS:
        if name not in table:
            found = ", ".join(map(str, table.columns))
            raise InputError(path, f"column {name}", f"only {found}", ", ".join(LABELS))
    if table.empty:
        raise InputError(path, "rows", "none", "at least one star")
    for name in LABELS:
        values = pd.to_numeric(table[name], errors="coerce")
        low, high = ranges[name]
        wrong = np.flatnonzero(~values.between(low, high))
        if len(wrong):
            found = table[name].iloc[wrong[0]]
            raise InputError(path, f"{name}, row {wrong[0] + 1}", found, f"{low:g} to {high:g}")
    return table[list(LABELS)].to_numpy(dtype=float)
