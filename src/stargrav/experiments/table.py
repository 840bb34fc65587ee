"""The table of an experiment: its cases, and what was recorded of each.

`over` spans the cases as the product of named axes. A case is named by its place on each axis, in
the order of the axes, and so are its metrics: ``r2[ridge,32k]`` is the R2 of the case
model=ridge, size=32k.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """What is known of one case.

    Args:
        metrics: name -> estimate.
        columns: further columns of its row in the table, such as numbers of stars.
        prediction: what the metrics were computed from, for the figures.
        history: one mapping per epoch, where something was trained in epochs.
        model: what can be stored by its `save(folder)`, if this case is served.
        trials: one mapping per trial, where settings were searched for: trial, state, valid_r2,
            settings.
        adopt: experiment -> settings that were found for it.
        spectra: a few of them to be shown: name -> (p,) flux, and `wave` [A].
        seconds: that the case took, where that is not the time since it came up.
    """

    metrics: Mapping[str, Estimate]
    columns: Mapping[str, Any] = field(default_factory=dict)
    prediction: Prediction | None = None
    history: Sequence[Mapping[str, float]] = ()
    model: Any = None
    trials: Sequence[Mapping[str, Any]] = ()
    adopt: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spectra: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float | None = None

    def also(self, **metrics: Estimate) -> Score:
        """The same with further metrics."""
        return replace(self, metrics={**self.metrics, **metrics})


@dataclass(eq=False)
class Case:
    """One case of a table; its axes are its attributes (case.model, case.size)."""

    labels: Mapping[str, str]
    values: Mapping[str, Any]
    score: Score | None = None
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

    def record(
        self,
        score: Score | Mapping[str, Estimate],
        seconds: float | None = None,
        **columns: float | int | str,
    ) -> None:
        """Keep what was measured of this case.

        Args:
            score: what `steps.score` returns, or metrics by name.
            seconds: that it took; those of the score, or since the case came up, if None.
            columns: further columns of its row, such as counts.
        """
        score = score if isinstance(score, Score) else Score(score)
        self.score = replace(score, columns={**score.columns, **columns})
        since = time.perf_counter() - self._started
        known = (s for s in (seconds, self.score.seconds, since) if s is not None)
        self.seconds = next(known)


class Table:
    """The cases of an experiment, in order; iterate to run them one by one."""

    def __init__(self, axes: Mapping[str, Mapping[str, Any]]) -> None:
        self.axes = tuple(axes)
        self.cases = [
            Case(
                labels=dict(zip(axes, (label for label, _ in place), strict=True)),
                values=dict(zip(axes, (value for _, value in place), strict=True)),
            )
            for place in itertools.product(*(axis.items() for axis in axes.values()))
        ]

    def __iter__(self) -> Iterator[Case]:
        for case in self.cases:
            case._started = time.perf_counter()
            yield case
            if case.score is None:
                raise RuntimeError(f"nothing was recorded of case {case.key or 'one'}")

    def case(self, key: str) -> Case:
        """The case of a name.

        Raises:
            KeyError: there is none.
        """
        return {case.key: case for case in self.cases}[key]

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
        named = values if isinstance(values, Mapping) else {value: value for value in values}
        spanned[axis] = {_label(label): value for label, value in named.items()}
        plain = not any(set(label) & set(",[]*") for label in spanned[axis])
        if not plain or not values or len(spanned[axis]) < len(values):
            raise ValueError(f"axis {axis}: {list(values)} are empty, repeated or not plain")
    return Table(spanned)


def _label(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value and value % 1000 == 0:
        return f"{value // 1000}k"
    return f"{value:g}" if isinstance(value, float) else str(value)
