"""The table of an experiment: its cases, and what was recorded of each.

`over` spans the cases as the product of named axes. A case is named by its place on each axis, in
the order of the axes, and so are its metrics: ``r2[ridge,32k]`` is the R2 of the case
model=ridge, size=32k.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stargrav.metrics.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model predicts for stars whose label is known.

    Args:
        target: the name of the label.
        truth: (n,) true label.
        value: (n,) predicted label, same unit.
        stars: column -> (n,) what else is known of the stars (labels, mag, snr), for residuals.
    """

    target: str
    truth: np.ndarray
    value: np.ndarray
    stars: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Score:
    """Metrics of one case, with what they were computed from where a figure needs it."""

    metrics: Mapping[str, Estimate]
    prediction: Prediction | None = None
    model: Any = None


@dataclass(eq=False)
class Case:
    """One case of a table; its axes are its attributes (case.model, case.size)."""

    labels: Mapping[str, str]
    values: Mapping[str, Any]
    score: Score | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def __getattr__(self, axis: str) -> Any:
        try:
            return self.__dict__["values"][axis]
        except KeyError:
            raise AttributeError(f"{axis} is no axis of the table") from None

    @property
    def key(self) -> str:
        """The labels of its axes, such as ``ridge,32k``; empty for a table of one case."""
        return ",".join(self.labels.values())

    def record(self, score: Score | Mapping[str, Estimate], **columns: float | int | str) -> None:
        """Keep what was measured of this case.

        Args:
            score: what `steps.score` returns, or metrics by name.
            columns: further columns of its row, such as counts.
        """
        self.score = score if isinstance(score, Score) else Score(score)
        self.columns = columns
        self.seconds = time.perf_counter() - self._started


class Table:
    """The cases of an experiment, in order; iterate to run them one by one."""

    def __init__(self, axes: Mapping[str, Mapping[str, Any]]) -> None:
        self.axes = tuple(axes)
        self.cases = [
            Case(dict(zip(axes, labels, strict=True)), {a: axes[a][b] for a, b in zip(axes, labels)})
            for labels in itertools.product(*axes.values())
        ]

    def __iter__(self) -> Iterator[Case]:
        for case in self.cases:
            case._started = time.perf_counter()
            yield case
            if case.score is None:
                raise RuntimeError(f"nothing was recorded of case {case.key or 'one'}")

    def metrics(self) -> dict[str, Estimate]:
        """All metrics, ``name[case]``, or ``name`` in a table of one case without axes."""
        return {
            f"{name}[{case.key}]" if self.axes else name: estimate
            for case in self.cases
            for name, estimate in case.score.metrics.items()
        }


def over(**axes: Sequence[Any] | Mapping[str, Any]) -> Table:
    """A table of all combinations of the axes' values.

    Args:
        axes: name -> values that name themselves (``layer=LAYERS``), or label -> value
            (``model={"ridge": ridge(alpha), "mlp": mlp(hidden)}``).

    Raises:
        ValueError: an axis is empty, repeats a label, or a label holds one of ``,[]*``.
    """
    spanned = {}
    for axis, values in axes.items():
        pairs = list(values.items() if isinstance(values, Mapping) else zip(values, values))
        labels = [_label(label) for label, _ in pairs]
        if not labels or len(set(labels)) < len(labels) or any(set(x) & set(",[]*") for x in labels):
            raise ValueError(f"axis {axis}: labels {labels} are empty, repeated or not plain")
        spanned[axis] = {label: value for label, (_, value) in zip(labels, pairs)}
    return Table(spanned)


def _label(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value and value % 1000 == 0:
        return f"{value // 1000}k"
    return f"{value:g}" if isinstance(value, float) else str(value)
