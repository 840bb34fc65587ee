"""Tables that a user hands in: labels as CSV, stars as pandas stores them in HDF5.

`pandas.read_hdf` goes through PyTables, which unpickles attributes and columns of objects, and so
may run what a file's author put there. Numbers and the names of their columns are read here
without it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from pathlib import Path

import h5py
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


def read_frame(group: h5py.Group) -> pd.DataFrame:
    """The columns of numbers of a data frame, in the order in which they are stored.

    Args:
        group: of an HDF5 file, as `DataFrame.to_hdf` leaves it in format `fixed` or `table`. Its
            index and columns of text and of objects are left out.

    Raises:
        ValueError: it is no such group.
    """
    columns: dict[str, np.ndarray] = {}
    if isinstance(group.get("table"), h5py.Dataset):
        rows = group["table"][()]
        for field in rows.dtype.names or ():
            kind = group["table"].attrs.get(f"{field}_kind", b"")
            if field != "index" and rows.dtype[field].base.kind in "iufb":
                columns |= _columns(_names(kind), rows[field], field)
    elif "axis0" in group:
        for number in range(int(group.attrs.get("nblocks", 0))):
            items, values = (group[f"block{number}_{part}"] for part in ("items", "values"))
            if values.dtype.kind in "iufb":
                names = [name.decode() for name in items[()].tolist()]
                columns |= _columns(names, values[()], values.name)
    else:
        raise ValueError(f"{', '.join(group) or 'nothing'} in the group")
    return pd.DataFrame(columns)


def _columns(names: list[str], values: np.ndarray, field: str) -> dict[str, np.ndarray]:
    values = values.reshape(len(values), -1)
    if len(names) != values.shape[1]:
        raise ValueError(f"{field}: {values.shape[1]} columns, {len(names)} names")
    return dict(zip(names, values.T, strict=True))


def _names(pickled: bytes) -> list[str]:
    """The texts in a pickled list of them, taken apart and never run."""
    found = pickletools.genops(bytes(pickled))
    return [text for code, text, _ in found if "UNICODE" in code.name]
