"""The verbs that experiments are written in: latents, fit, predict, score, over.

They work on the bench that the runner has set: which data, which seed. A verb that only one
experiment needs is written beside it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from sklearn.base import RegressorMixin, clone

from stargrav.experiments.table import Prediction, Score, over
from stargrav.metrics.regression import regression_scores

__all__ = ["Part", "Parts", "fit", "latents", "over", "predict", "score", "training_sizes"]


@dataclass(frozen=True, eq=False)
class Part:
    """The stars of one split as a model sees them.

    Args:
        features: (draws, n, f) features of each star in each noise draw.
        stars: column -> (n,) labels, mag and snr.
    """

    features: np.ndarray
    stars: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return self.features.shape[1]

    def first(self, n: int) -> Part:
        """The first n stars; splits are in random order, so these are a random sample."""
        return Part(self.features[:, :n], {name: c[:n] for name, c in self.stars.items()})

    def rows(self) -> np.ndarray:
        """(draws * n, f) features, draw after draw."""
        return self.features.reshape(-1, self.features.shape[-1])

    def label(self, target: str) -> np.ndarray:
        """(draws * n,) a label beside `rows`."""
        return np.tile(self.stars[target], len(self.features))


class Parts(NamedTuple):
    """The three splits; nothing is fitted on test, nothing chosen by it."""

    train: Part
    valid: Part
    test: Part


class Source(Protocol):
    """Where the bench takes its data from; `experiments.inputs.Inputs`, or a test's own."""

    def latents(self, layer: str, pooling: str, noise_level: float, split: str) -> Part: ...


@dataclass(frozen=True)
class Bench:
    """What the runner sets for the verbs.

    Args:
        source: of the data.
        seed: of everything random in the experiment.
        accelerator: for training: auto, cpu or gpu.
    """

    source: Source
    seed: int
    accelerator: str = "auto"


_BENCH: ContextVar[Bench] = ContextVar("bench")


@contextmanager
def bench(found: Bench) -> Iterator[None]:
    """Set the bench while an experiment runs."""
    token = _BENCH.set(found)
    try:
        yield
    finally:
        _BENCH.reset(token)


def latents(layer: str, pooling: str, noise_level: float = 1.0) -> Parts:
    """The teacher's latents of the three splits.

    Args:
        layer: of `models.blindspot.LAYERS`.
        pooling: `global_mean`, `mean_max` or `seg_mean_K`.
        noise_level: of the spectra that the teacher saw.

    Raises:
        InputError: no such latents are stored.
    """
    source = _BENCH.get().source
    return Parts(*(source.latents(layer, pooling, noise_level, split) for split in Parts._fields))


def training_sizes(train: Part, sizes: Sequence[int]) -> dict[str, int]:
    """Training sizes that the split reaches, the largest of them under the name `all`.

    Args:
        train: the training split.
        sizes: numbers of stars that are wanted.

    Returns:
        label -> number: those that are wanted and there, then `all`, which is the largest wanted
        or as many as there are.
    """
    reached = min(max(sizes), len(train))
    if reached < max(sizes):
        short = ", ".join(f"{size:,}" for size in sizes if size > reached)
        print(f"training sizes {short} are cut to the {reached:,} spectra of this profile")
    return {f"{n // 1000}k" if n % 1000 == 0 else str(n): n for n in sizes if n < reached} | {
        "all": reached
    }


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted probe or network.

    Args:
        estimator: whose `predict` takes (n, f) features and gives (n,) labels.
        target: the label.
        columns: of its row in the table: numbers of stars and noise draws.
        history: one mapping per epoch, where it was trained in epochs.
    """

    estimator: object
    target: str
    columns: Mapping[str, int]
    history: Sequence[Mapping[str, float]] = field(default_factory=tuple)


def fit(model: RegressorMixin, train: Part, valid: Part, target: str = "log_g") -> Fitted:
    """Fit a probe, or train a network, on the training stars.

    Args:
        model: an unfitted estimator (`models.probes`).
        train: stars to fit to, in all their noise draws.
        valid: stars that decide when training stops; a probe does not look at them.
        target: the label to predict.
    """
    columns = {"n_train": len(train), "draws": len(train.features)}
    estimator = clone(model)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=_BENCH.get().seed)
    estimator.fit(train.rows(), train.label(target))
    return Fitted(estimator, target, columns)


def predict(model: Fitted, part: Part) -> Prediction:
    """What a model says about stars, in their first noise draw."""
    value = np.asarray(model.estimator.predict(part.features[0]), dtype=np.float64)
    truth = np.asarray(part.stars[model.target], dtype=np.float64)
    return Prediction(model.target, truth, value, part.stars)


def score(model: Fitted, part: Part) -> Score:
    """R2, MAE and RMSE of a model on stars, with what the table and the figures keep."""
    found = predict(model, part)
    return Score(
        metrics=regression_scores(found.truth, found.value, _BENCH.get().seed),
        columns={**model.columns, "n_test": len(part)},
        prediction=found,
        history=model.history,
        model=model,
    )
