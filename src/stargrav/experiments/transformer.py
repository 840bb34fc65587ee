"""Variants of one transformer, on the survey: how programme `logg_1m` compares them.

All see the same stars as often, with noise drawn anew, and are judged by the same test stars: all
of them, and those of low noise as the survey's protocol says. Beside them stands the plain network
on whitened components (`families.plain_mlp`), which has seen as many spectra: what does not beat
it is not worth having. Each variant is trained once; its intervals contain what another seed would
have changed, as far as the base, which has been trained with several, can tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from stargrav import models
from stargrav.data import protocol
from stargrav.experiments.families import COMPONENTS, plain_mlp, scored, whitened
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.spec import Criterion, more_than
from stargrav.experiments.steps import Fitted, current, fit, over, spectra
from stargrav.experiments.table import Score, Table
from stargrav.metrics.calibration import pull_spread, pulls
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.regression import mae, map_bias, map_cells, outlier_rate, r2
from stargrav.metrics.repeats import widened
from stargrav.models.spectral import AGAIN, SpectralViT

NEEDS = ("survey", "survey_limits", "vit")
THREE = ("log_g", "T_eff", "M_H")
TEST_SETS = ("all", "low")
READOUT = ("spectrum", "transformer")
SLOPE_STARS = 10_000  # training stars that the slopes of `sensitivity` are fitted to
MOST = 100_000  # stars that the plain network is trained on: its features lie in memory


@dataclass(frozen=True, eq=False)
class Judged:
    """A trained model and the test stars as it sees them.

    Args:
        model: answers with log g.
        test: all test stars.
    """

    model: Fitted
    test: Part


Maker = Callable[[], Judged]


@dataclass(frozen=True, eq=False)
class Retrained:
    """The base as several seeds have trained it.

    Args:
        models: the base first.
        values: test set and statistic -> what each of them reaches; filled when asked for.
    """

    models: Sequence[Fitted]
    values: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def widen(self, found: Score, model: str, stars: str, seen: Part) -> Score:
        """A transformer's score, its intervals widened by the scatter of the base's trainings.

        What the base does not tell, such as labels other than log g, stays as it is. Networks that
        learn more slowly than the base scatter more than it does.

        Args:
            found: of the transformer.
            model: its name.
            stars: name of the test stars.
            seen: these, as the base sees them.
        """
        if stars not in self.values:
            each = [score(one, seen).metrics for one in self.models]
            names = set.intersection(*(set(metrics) for metrics in each))
            self.values[stars] = {n: np.array([m[n].value for m in each]) for n in names}
        scatter, seed = self.values[stars], current().seed
        metrics = {
            name: widened(one, scatter[name], seed, f"{model},{stars}: {name}")
            if name in scatter
            else one
            for name, one in found.metrics.items()
        }
        return replace(found, metrics=metrics)

    def scatter(self, stars: str) -> dict[str, Estimate]:
        """Standard deviation of R2 of test stars that `widen` was asked for; empty if only one
        seed has trained the base."""
        if len(self.models) < 2:
            return {}
        return {"scatter": Estimate.exact(np.std(self.values[stars]["r2"], ddof=1))}


def settings() -> tuple[dict[str, Any], dict[str, Any]]:
    """Sizes of the base transformer but for its inputs, and how it was trained."""
    config = models.read_config(current().inputs.folder("vit"))
    sizes = {key: value for key, value in config["settings"].items() if key != "inputs"}
    return sizes, config["facts"]


def seen(error: str | None = None, stars: int | None = None) -> Parts:
    """Flux and error of valid and test stars; training stars, as many as the base was trained on
    if nothing else is said, without spectra."""
    stars = stars or settings()[1]["spectra"]
    return spectra("flux", "error", draws=0, error=error, stars=stars)


def base() -> Judged:
    """The transformer that variants differ from, as its stage has trained it."""
    parts = seen()
    return Judged(_stored(current().inputs.folder("vit"), parts), parts.test)


def retrained() -> Retrained:
    """The base with its own and with other seeds."""
    folder, parts = current().inputs.folder("vit"), seen()
    again = sorted(path for path in folder.glob(f"{AGAIN}*") if path.is_dir())
    return Retrained([_stored(one, parts) for one in (folder, *again)])


def _stored(folder: Path, parts: Parts) -> Fitted:
    history = pd.read_csv(folder / "history.csv").to_dict("records")
    columns = {"n_train": len(parts.train), "draws": 1}
    return Fitted(models.load(folder), "log_g", READOUT, columns, history)


def variant(
    error: str | None = None,
    denoiser: torch.nn.Module | None = None,
    hidden: float | None = None,
    pretraining_epochs: int = 0,
    epochs: int | None = None,
    stars: int | None = None,
    **differences: Any,
) -> Judged:
    """The base transformer with other options, trained as it was.

    Args:
        error: kind of error that is reported with the flux; the survey's own if None.
        denoiser: trained, to stand in front.
        hidden: share of the tokens hidden in a masked pretraining; None: there is none.
        pretraining_epochs: of that.
        epochs: of the training; those of the base if None.
        stars: that it is trained on; as many as the base if None.
        differences: from the settings of `models.spectral.SpectralViT`.
    """
    from stargrav.training.device import device
    from stargrav.training.spectra import plan_of, train_spectral

    sizes, training = settings()
    parts, found = seen(error, stars), current()
    parts.train.require_variation("log_g")
    sizes = {**sizes, **differences}
    labels = sizes["labels"]
    plan = plan_of(
        {**training, "epochs": epochs or training["epochs"]},
        found.seed,
        found.accelerator,
        "transformer",
    )
    place = device(found.accelerator)
    batches = found.inputs.fresh_spectra(parts.train, training["batch_size"], place)
    truth = np.column_stack([parts.valid.stars[label] for label in labels])
    before = None
    if hidden is not None:  # of other noise than the training's
        other = {"epochs": pretraining_epochs, "monitor": "valid_loss", "seed": found.seed + 1}
        before = hidden, replace(plan, **other)
    started = time.perf_counter()
    network, history = train_spectral(
        sizes,
        batches,
        (np.array(parts.valid.features[0]), truth),
        plan,
        learning_rate=training["learning_rate"],
        weight_decay=training["weight_decay"],
        denoiser=denoiser,
        pretraining=before,
        folder=found.training_folder(),
        identity={**found.hashes, "error": error},
    )
    took = time.perf_counter() - started
    history = history.drop(columns="seconds").to_dict("records")
    columns = {"n_train": len(parts.train), "draws": 1}
    return Judged(Fitted(network, "log_g", READOUT, columns, history, took), parts.test)


def epochs_of(stars: int) -> int:
    """How often a network sees so many stars that has seen as many spectra as the base."""
    training = settings()[1]
    shown = training["epochs"] * len(spectra(stars=training["spectra"]).train)
    return max(1, round(shown / stars))


def plain(stars: int | None = None) -> Judged:
    """The plain network on whitened components, which sees as many spectra as the base.

    Args:
        stars: that it is trained on, of which `MOST` are taken at most; those of the base if None.
    """
    stars = len(spectra(stars=stars or settings()[1]["spectra"]).train)
    parts = whitened(COMPONENTS, 1.0, min(stars, MOST), twins=True)
    epochs = epochs_of(len(parts.train))
    model = plain_mlp(parts.train, epochs, epochs)
    return Judged(fit(model, parts.train, parts.valid), parts.test)


def beats_plain(model: str) -> Criterion:
    """What every claim about a transformer asks for besides: the variant reads more than the
    plain network that has seen as much."""
    return more_than(f"r2[{model},all] - r2[plain,all]", 0.0)


def compared(makers: Mapping[str, Maker], choose: Sequence[str] = ()) -> Table:
    """Models side by side, the plain network last, on all test stars and on those of low noise.

    `gain` is R2 less that of the first.

    Args:
        makers: name -> what trains or loads the model.
        choose: variants of which the one that does best on valid stars is shown again as
            `chosen`; a claim about the best of several is judged by that one.
    """
    chosen = {"chosen": None} if choose else {}
    models = {**makers, **chosen, "plain": plain}
    table = over(model=models, stars=test_sets())
    made = lru_cache(maxsize=1)(lambda maker: maker())
    again, whole = retrained(), seen().test
    told: dict[tuple[str, str], Score] = {}
    reached: dict[str, float] = {}
    for case in table:
        name = case.labels["model"]
        if case.model is None:
            best = max(choose, key=reached.__getitem__)
            case.record(told[best, case.stars])
            continue
        judged = made(case.model)
        found = score(judged.model, taken(judged.test, case.stars))
        if isinstance(judged.model.estimator, SpectralViT):
            found = again.widen(found, name, case.stars, taken(whole, case.stars))
        first = told.get((next(iter(models)), case.stars), found)
        found = found.also(gain=found.metrics["r2"] - first.metrics["r2"])
        reached[name] = max(row["valid_r2"] for row in judged.model.history)
        told[name, case.stars] = replace(found, history=())
        case.record(found if case.stars == "all" else told[name, case.stars])
    return table


def test_sets() -> tuple[str, ...]:
    """All test stars, and those of low noise where the protocol can tell them."""
    least = protocol.threshold(current().inputs.folder("survey"))
    return TEST_SETS if least is not None else TEST_SETS[:1]


def taken(test: Part, stars: str) -> Part:
    """The test stars, or those of them that the protocol counts as low noise."""
    if stars == "all":
        return test
    least = protocol.threshold(current().inputs.folder("survey"))
    return test.take(np.flatnonzero(test.stars["snr"] >= least))


def score(model: Fitted, part: Part) -> Score:
    """What `steps.score` measures of log g, with outliers and the bias over T_eff and M_H.

    A transformer that knows its spread is also measured by its pulls, of all stars and of thirds
    by SNR (`pull_spread_snr_1` of the least), one that tells further labels by R2, MAE and bias of
    each (`r2_T_eff`).
    """
    found, seed = scored(model, part), current().seed
    told = found.prediction
    cells = map_cells(told.stars["T_eff"], told.stars["M_H"])
    metrics = {
        "outliers": bootstrap(outlier_rate, told.truth, told.value, seed=seed),
        "bias": bootstrap(map_bias, told.truth, told.value, cells, seed=seed),
    }
    if isinstance(model.estimator, SpectralViT):
        values, spread = model.estimator.told(np.array(part.features[0]))
        if spread is not None:
            squares = pulls(told.truth, values[:, 0], spread[:, 0]) ** 2
            metrics["pull_spread"] = bootstrap(pull_spread, squares, seed=seed)
            for third, rows in enumerate(snr_parts(told.stars["snr"], 3), start=1):
                metrics[f"pull_spread_snr_{third}"] = bootstrap(
                    pull_spread, squares[rows], seed=seed
                )
        for label, value in zip(model.estimator.labels[1:], values.T[1:], strict=True):
            pair = np.asarray(part.stars[label], dtype=float), value
            metrics[f"r2_{label}"] = bootstrap(r2, *pair, seed=seed)
            metrics[f"mae_{label}"] = bootstrap(mae, *pair, seed=seed)
            metrics[f"bias_{label}"] = bootstrap(map_bias, *pair, cells, seed=seed)
    return found.also(**metrics)


def snr_parts(snr: np.ndarray, parts: int) -> list[np.ndarray]:
    """Rows of stars in so many parts of as many stars each, that of the least SNR first."""
    order = np.argsort(snr, kind="stable")
    return [np.sort(rows) for rows in np.array_split(order, parts)]


def varying() -> tuple[str, ...]:
    """The three labels but for those that are the same for all training stars."""
    train = spectra(stars=settings()[1]["spectra"]).train
    return tuple(label for label in THREE if train.varies(label))


def label_range(label: str) -> tuple[float, float]:
    """Lowest and highest value of a label among the training stars."""
    values = spectra(stars=settings()[1]["spectra"]).train.stars[label]
    return float(values.min()), float(values.max())


def sensitivity(pixels: int) -> np.ndarray:
    """How much each token of that many pixels tells of log g.

    Mean over the token's pixels of |dF/dlog g| / sigma: the slope of the noisy flux of training
    stars with log g, the other labels kept, by least squares, over the median error.

    Args:
        pixels: of a token.

    Returns:
        (tokens,).
    """
    parts = spectra("flux", "error", stars=SLOPE_STARS)
    flux, error = np.split(parts.train.features[0], 2, axis=1)
    names = ("log_g", "T_eff", "M_H", "a_M", "C_M")
    known = np.column_stack([parts.train.stars[name] for name in names])
    known = (known - known.mean(axis=0)) / np.maximum(known.std(axis=0), 1e-9)
    design = np.column_stack([known, np.ones(len(known))])
    slope = np.linalg.lstsq(design, flux, rcond=None)[0][0]
    told = np.abs(slope) / np.median(error, axis=0)
    tokens = len(told) // pixels
    return told[: tokens * pixels].reshape(tokens, pixels).mean(axis=1)
