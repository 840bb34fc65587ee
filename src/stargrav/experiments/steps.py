"""The verbs that experiments are written in: latents, fit, predict, score, over.

They work on the bench that the runner has set: which data, which seed. Comparing two models is
arithmetic between their scores (`metrics.estimate`), in a criterion or in a case's record. A verb
that only one experiment needs is written beside it first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from sklearn.base import RegressorMixin, clone

from stargrav.experiments.inputs import Inputs, Part, Parts
from stargrav.experiments.table import Prediction, Score, over
from stargrav.metrics.regression import limit_scores, regression_scores
from stargrav.metrics.repeats import averaged
from stargrav.models.probes import lightgbm
from stargrav.models.residual import OnRidge
from stargrav.models.ridge import SweptRidge
from stargrav.training.batches import Batches
from stargrav.training.device import device
from stargrav.training.plan import Plan
from stargrav.training.redrawn import AnyDraw, FreshNoise

__all__ = [
    "Bench",
    "Fitted",
    "Mlp",
    "Network",
    "Predicts",
    "bench",
    "current",
    "fit",
    "latents",
    "missed",
    "over",
    "plain_heads",
    "predict",
    "score",
    "score_by_best",
    "spectra",
    "training_sizes",
]


@dataclass(frozen=True)
class Bench:
    """What the runner sets for the verbs.

    Args:
        inputs: where the data lie.
        seed: of everything random in the experiment.
        accelerator: for training: auto, cpu or gpu.
        scratch: a folder that outlives an interruption, for trainings to go on from.
        hashes: of the data and the code, which tell one training from another.
    """

    inputs: Inputs
    seed: int
    accelerator: str = "auto"
    scratch: Path | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    trainings: Iterator[int] = field(default_factory=count)

    def training_folder(self) -> Path | None:
        """Where the next training is kept; the same in each run of the experiment."""
        number = next(self.trainings)
        return None if self.scratch is None else self.scratch / str(number)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained on features: by AdamW, stopped by the R2 of the valid stars.

    Args:
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch_size: rows in a batch.
        epochs: at most so many.
        patience: epochs without improvement before it stops.
        fresh_noise: train on features whose noise is drawn anew in each epoch rather than on the
            stored draws: latents go through the frozen teacher for that, components that know
            themselves without noise (`Part.noiseless`) need no spectra.
        one_draw: an epoch shows each star once, in any of its stored draws, rather than in all.
        schedule: of the learning rate, see `training.plan.Plan`.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 256
    epochs: int = 200
    patience: int = 15
    fresh_noise: bool = False
    one_draw: bool = False
    schedule: str = "plateau"


@dataclass(frozen=True)
class Mlp(Training):
    """A perceptron to be trained on features.

    Args:
        widths: of the hidden layers.
        dropout: share of hidden units left out in training.
    """

    kind: ClassVar[str] = "mlp_head"

    widths: Sequence[int] = (256, 64)
    dropout: float = 0.1

    @property
    def sizes(self) -> dict[str, Any]:
        """Arguments of the network."""
        return {"widths": self.widths, "dropout": self.dropout}


@dataclass(frozen=True)
class Network(Training):
    """Any other network of `models.NETWORKS`, to be trained in the same way.

    Args:
        kind: its name.
        sizes: its arguments but for inputs and outputs.
    """

    kind: str
    sizes: Mapping[str, Any] = field(default_factory=dict)


class Predicts(Protocol):
    """What has been fitted: (n, f) features -> (n,) label in its unit."""

    def predict(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted probe or network.

    Args:
        estimator: answers in the label's unit.
        target: the label.
        readout: layer and pooling that it reads.
        columns: of its row in the table: numbers of stars and noise draws, and the like.
        history: one mapping per epoch, where it was trained in epochs.
        seconds: that fitting took.
        noise_level: of the flux that it was fitted to.
    """

    estimator: Predicts
    target: str
    readout: tuple[str, str]
    columns: Mapping[str, float]
    history: Sequence[Mapping[str, float]] = ()
    seconds: float = 0.0
    noise_level: float = 1.0


_BENCH: ContextVar[Bench] = ContextVar("bench")


@contextmanager
def bench(found: Bench) -> Iterator[None]:
    """Set the bench while an experiment runs."""
    token = _BENCH.set(found)
    try:
        yield
    finally:
        _BENCH.reset(token)


def current() -> Bench:
    """The bench of the running experiment."""
    return _BENCH.get()


def latents(
    layer: str,
    pooling: str,
    noise_level: float = 1.0,
    teacher: str = "teacher",
    stars: int | None = None,
    draws: int | None = None,
) -> Parts:
    """A teacher's latents of the three splits; see `Inputs.latents`."""
    return _BENCH.get().inputs.latents(layer, pooling, noise_level, teacher, stars, draws)


def spectra(
    *inputs: str,
    noise_level: float = 1.0,
    error: str | None = None,
    stars: int | None = None,
    draws: int = 1,
) -> Parts:
    """Pixels of the three splits; see `Inputs.spectra`."""
    found = _BENCH.get().inputs
    return found.spectra(*inputs, noise_level=noise_level, error=error, stars=stars, draws=draws)


def training_sizes(train: Part, sizes: Sequence[int]) -> dict[str, Part]:
    """Random samples of the training stars, the largest that is reached under the name `all`.

    Args:
        train: the training split.
        sizes: numbers of stars that are wanted.

    Returns:
        label -> sample: the sizes below the largest that is reached, such as `1k`, then `all`,
        the largest wanted or as many as there are.
    """
    reached = min(max(sizes), len(train))
    if reached < max(sizes):
        wanted = ", ".join(f"{size:,}" for size in sizes if size > reached)
        print(f"training sizes {wanted}: cut to the {reached:,} stars that there are")
    names = {f"{n // 1000}k" if n % 1000 == 0 else str(n): n for n in sizes if n < reached}
    seed = _BENCH.get().seed
    return {name: train.sample(n, seed) for name, n in {**names, "all": reached}.items()}


def fit(
    model: RegressorMixin | Mlp | Network | OnRidge,
    train: Part,
    valid: Part,
    target: str = "log_g",
) -> Fitted:
    """Fit a probe, or train a network, on the training stars in all their noise draws.

    Args:
        model: an unfitted estimator (`models.probes`), a network to be trained, or either of them
            as what corrects a ridge.
        train: stars to fit to.
        valid: stars that decide when training stops and which penalty a swept ridge takes;
            other probes do not look at them.
        target: the label to predict.

    Raises:
        InputError: all stars of train, or of valid, have the same label.
    """
    for part in (train, valid):
        part.require_variation(target)
    started = time.perf_counter()
    columns = {"n_train": len(train), "draws": len(train.features)}
    seen = train.rows(), train.label(target)
    checked = valid.features[0], valid.stars[target]
    if isinstance(model, OnRidge):
        if getattr(model.model, "fresh_noise", False):
            raise ValueError("the ridge's scores belong to the stored noise")
        left, left_valid = OnRidge.left(*seen), OnRidge.left(*checked)
        fitted, history = _fitted(model.model, left, left_valid, train, target)
        fitted = OnRidge(fitted)
    else:
        fitted, history = _fitted(model, seen, checked, train, target)
    seconds = time.perf_counter() - started
    return Fitted(fitted, target, train.readout, columns, history, seconds, train.noise_level)


def predict(model: Fitted, part: Part) -> Prediction:
    """What a model says about stars, in their first noise draw."""
    value = np.asarray(model.estimator.predict(np.array(part.features[0])), dtype=np.float64)
    truth = np.asarray(part.stars[model.target], dtype=np.float64)
    return Prediction(model.target, truth, value, part.stars)


def missed(model: Fitted, part: Part) -> float:
    """Mean square error of a model on stars: what is chosen by, on the valid ones."""
    found = predict(model, part)
    return float(np.mean((found.value - found.truth) ** 2))


def score(model: Fitted, part: Part) -> Score:
    """R2, MAE and RMSE of a model on stars, with what the table and the figures keep.

    Where it is known what the flux of the stars can tell at most, log g is also measured by that
    (`metrics.regression.limit_scores`).

    Raises:
        InputError: all stars have the same label, for which there is no R2.
    """
    part.require_variation(model.target)
    found = predict(model, part)
    metrics = regression_scores(found.truth, found.value, _BENCH.get().seed)
    if model.target == "log_g" and part.limits is not None:
        metrics |= limit_scores(found.truth, found.value, part.limits, _BENCH.get().seed)
    return Score(
        metrics=metrics,
        columns={**model.columns, "n_test": len(part)},
        prediction=found,
        history=model.history,
        model=model,
    )


def mean_score(each: Sequence[Score], name: str) -> Score:
    """The mean score of models that differ by what they were trained with: seeds, or stars.

    Args:
        each: of the same test stars; one alone is its own mean.
        name: of the models; see `metrics.repeats.widened`.
    """
    if len(each) == 1:
        return each[0]
    seed = current().seed
    metrics = {
        key: averaged([one.metrics[key] for one in each], seed, f"{name}: {key}")
        for key in each[0].metrics
    }
    # what one of them predicts has other scores than the mean
    return replace(each[0], metrics=metrics, prediction=None, history=(), model=None)


def plain_heads(epochs: int, patience: int) -> dict[str, RegressorMixin | Mlp]:
    """A ridge, the LightGBM of the plan, and the network of encoder_mlp at two rates.

    Args:
        epochs: of the networks, at most; they see each star once in one, in any of its draws.
        patience: theirs.
    """
    training = {"epochs": epochs, "patience": patience, "one_draw": True}
    return {
        "ridge": SweptRidge(),
        "lightgbm": lightgbm(15, 50),
        "mlp": Mlp(**training),
        "slow_mlp": Mlp(learning_rate=1e-4, **training),
    }


def score_by_best(heads: Mapping[str, RegressorMixin | Mlp], parts: Parts) -> Score:
    """What the head reads of log g that does best on the valid stars; `r2_...` are all of them's.

    Args:
        heads: unfitted, by name.
        parts: what they see.
    """
    fitted = {name: fit(head, parts.train, parts.valid) for name, head in heads.items()}
    best = min(fitted, key=lambda name: missed(fitted[name], parts.valid))
    found = {name: score(model, parts.test) for name, model in fitted.items()}
    each = {f"r2_{name}": one.metrics["r2"] for name, one in found.items()}
    chosen = found[best].also(**each)
    return replace(
        chosen,
        columns={**chosen.columns, "head": best},
        seconds=sum(model.seconds for model in fitted.values()),
    )


def _fitted(
    model: RegressorMixin | Mlp | Network,
    seen: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    train: Part,
    target: str,
) -> tuple[Predicts, Sequence[Mapping[str, float]]]:
    """A model fitted to features and labels, with its history if it has one."""
    if isinstance(model, Mlp | Network):
        return _train(model, seen, valid, train, target)
    estimator = clone(model)
    if isinstance(estimator, SweptRidge):
        return estimator.fit(*seen, *valid), ()
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=_BENCH.get().seed)
    # latents are so correlated that normal equations in float32 lose the small ridge
    return estimator.fit(seen[0].astype(np.float64), seen[1]), ()


def _train(
    model: Mlp | Network,
    seen: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    train: Part,
    target: str,
) -> tuple[Predicts, Sequence[Mapping[str, float]]]:
    """Train a network; interrupted and called again, it goes on where it was."""
    from stargrav.training.head import train_network

    found = _BENCH.get()
    fresh = None
    if model.fresh_noise:
        fresh = _fresh(train, target, model.batch_size)
    elif model.one_draw:
        fresh = _any_draw(*seen, len(train.features), model.batch_size)
        seen = tuple(values[: len(train)] for values in seen)  # by which they are standardised
    plan = Plan(
        epochs=model.epochs,
        schedule=model.schedule,
        patience=model.patience,
        monitor="valid_r2",
        accelerator=found.accelerator,
        seed=found.seed,
        progress=f"{model.kind} to {target}",
    )
    network, history = train_network(
        model.kind,
        model.sizes,
        tuple(map(np.array, seen)),
        tuple(map(np.array, valid)),
        plan,
        learning_rate=model.learning_rate,
        weight_decay=model.weight_decay,
        batch_size=model.batch_size,
        folder=found.training_folder(),
        identity={**found.hashes, "target": target, "stars": len(train), "fresh": bool(fresh)},
        fresh=fresh,
    )
    return network, history.drop(columns="seconds").to_dict("records")


def _any_draw(x: np.ndarray, y: np.ndarray, draws: int, batch_size: int) -> AnyDraw:
    """Batches of rows (draws * n, f) and labels (draws * n,), draw after draw."""
    features = torch.from_numpy(np.require(x, requirements="W")).reshape(draws, -1, x.shape[-1])
    return AnyDraw(features, torch.tensor(y, dtype=torch.float32).reshape(draws, -1), batch_size)


def _fresh(train: Part, target: str, batch_size: int) -> Batches:
    """Batches of the training stars with noise drawn anew in each pass."""
    found = _BENCH.get()
    if train.noiseless is None:
        place = device(found.accelerator)
        return found.inputs.fresh_latents(train, target, batch_size, place)
    features, labels = (
        torch.tensor(values, dtype=torch.float32)
        for values in (train.noiseless, train.stars[target])
    )
    return FreshNoise(features, labels, train.noise_level, batch_size)
