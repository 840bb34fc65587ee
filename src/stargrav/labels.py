"""The five stellar labels: their order, units, ranges and scaling to the unit cube.

Every array of labels in Stargrav has its last axis in the order of `LABELS`.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

LABELS = ("T_eff", "log_g", "M_H", "a_M", "C_M")
UNITS = {"T_eff": "K", "log_g": "dex (cgs)", "M_H": "dex", "a_M": "dex", "C_M": "dex"}
RANGES = {
    "T_eff": (3750.0, 6000.0),
    "log_g": (1.0, 5.0),
    "M_H": (-2.5, 0.75),
    "a_M": (-0.25, 0.5),
    "C_M": (-0.75, 0.5),
}
LOG_G = LABELS.index("log_g")

_LOW, _HIGH = np.array([RANGES[name] for name in LABELS]).T

Array = TypeVar("Array")


def to_unit(labels: Array) -> Array:
    """Labels scaled to the unit cube of `RANGES`.

    Args:
        labels: (..., 5) array or tensor, order `LABELS`, units `UNITS`.

    Returns:
        (..., 5), 0 at the lower and 1 at the upper end of each range.
    """
    return (labels - _LOW) / (_HIGH - _LOW)


def from_unit(unit: Array) -> Array:
    """Labels in their units from the unit cube; the inverse of `to_unit`.

    Args:
        unit: (..., 5) array or tensor in 0..1.

    Returns:
        (..., 5), order `LABELS`, units `UNITS`.
    """
    return unit * (_HIGH - _LOW) + _LOW
