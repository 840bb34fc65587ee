"""Features as the towers ask for them: pixels of stars in, a few columns of the same stars out.

Each family is fitted to the noisy training spectra alone (`columns`), the ridge's score of
training stars comes from ridges that have not seen them (`models.ridge.RidgeScore`). What reads
the features may be shown the training stars in other noise than the families were fitted to, which
is then as strange to them as that of other stars. Components are of flux / error (`whitened`), all
else is of the flux, but for the statistics of the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from lightgbm import LGBMRegressor
from sklearn.base import TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from stargrav.data import store
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import Fitted, Mlp, Predicts, current, score, spectra
from stargrav.experiments.table import Score
from stargrav.models.features import Statistics, TopSegments, components
from stargrav.models.residual import Nothing, OnRidge
from stargrav.models.ridge import RidgeScore, SweptRidge

LEVELS = (0.1, 1.0)  # of the noise, in units of the error
COMPONENTS = 48  # of flux / error that the plain network reads
TOWER_COMPONENTS = 96  # of them where it stands beside towers, which have as many
PLAIN_STARS = 32_000  # whose steps that network takes, of however many stars
LONGEST = 4  # times as many epochs at most
PLAIN_PATIENCE = 15  # epochs of that network without improvement
RIDGE_ALPHAS = (1e1, 1e2, 1e3, 1e4, 1e5)


class Ridged(NamedTuple):
    """What a ridge on the flux says of the stars.

    Attributes:
        score: its prediction as the one column, of training stars out of fold.
        weights: (p,) its coefficients, of standardised pixels.
        alpha: its penalty.
        seconds: that its fit took.
    """

    score: Parts
    weights: np.ndarray
    alpha: float
    seconds: float


def columns(
    family: TransformerMixin, seen: Parts, *inputs: str, draws: int = 0, target: str = "log_g"
) -> Parts:
    """The features of a family, fitted to the training stars in their first draw of noise.

    Args:
        family: of `models.features`, or `RidgeScore`.
        seen: pixels.
        inputs: what those pixels are (see `Inputs.spectra`), to be drawn again.
        draws: that the features of training stars are of, none of them the one that the family
            was fitted to; that one alone if 0.
        target: the label that some families are fitted to.
    """
    fitted = family.fit_transform(seen.train.features[0], seen.train.stars[target])
    again = getattr(family, "transform_again", family.transform)
    found = [again(part.features[0]) for part in redrawn(seen.train, *inputs, draws=draws)]

    def told(part: Part, values: Sequence[np.ndarray]) -> Part:
        return replace(part, features=np.stack(values).astype(np.float32))

    others = ([family.transform(part.features[0])] for part in seen[1:])
    return Parts(*map(told, seen, [found or [fitted], *others]))


def redrawn(train: Part, *inputs: str, draws: int) -> Iterator[Part]:
    """Training stars in further draws of their noise, one draw after the other."""
    for draw in range(1, draws + 1):
        yield current().inputs.drawn(train, *inputs, draw=draw)


def side_by_side(first: Parts, *others: Parts) -> Parts:
    """The columns of several parts of the same stars."""
    for other in others:
        first = Parts(*(a.beside(b) for a, b in zip(first, other, strict=True)))
    return first


def whitened(
    count: int,
    noise_level: float,
    stars: int | None = None,
    draws: int = 0,
    twins: bool = False,
) -> Parts:
    """The leading principal components of flux / error.

    Args:
        count: of components.
        noise_level: see `spectra`.
        stars: of train.
        draws: see `columns`.
        twins: training stars shall also know them without noise (`Part.noiseless`), for it to be
            drawn anew; not to be had of errors that are estimated from noisy counts, which
            change with the noise.
    """
    seen = spectra("whitened", noise_level=noise_level, stars=stars)
    family = components(count, current().seed)
    found = columns(family, seen, "whitened", draws=draws)
    if not twins or store.read_spectra(seen.train.path).error_kind == "observed":
        return found
    clean = spectra("whitened", noise_level=0.0, stars=stars).train
    noiseless = family.transform(clean.features[0]).astype(np.float32)
    return found._replace(train=replace(found.train, noiseless=noiseless))


def flux_components(flux: Parts, count: int) -> Parts:
    """The leading principal components of the flux, each pixel in units of its own scatter.

    Where noise is most of that scatter it is weighted nearly as by an error that is the same for
    all stars. Training stars are in the draw of noise after the one that is fitted to.

    Args:
        flux: noisy spectra; their labels are not asked for.
        count: of components.
    """
    family = make_pipeline(StandardScaler(), components(count, current().seed))
    return columns(family, flux, "flux", draws=1)


def plain_mlp(train: Part, epochs: int, patience: int) -> Mlp:
    """The network on whitened components that any other model has to beat.

    Noise is drawn anew in each epoch where the components allow it.

    Args:
        train: stars that it will be trained on.
        epochs: at most so many.
        patience: epochs without improvement before it stops.
    """
    fresh = train.noiseless is not None
    return Mlp((256, 128), 0.0, fresh_noise=fresh, **annealed(epochs, patience))


def plain_network(level: float, stars: int, epochs: int) -> tuple[Parts, Mlp]:
    """The whitened components of stars, and the plain network that is to read them.

    Args:
        level: of the noise.
        stars: of train.
        epochs: at most so many, if the stars are `PLAIN_STARS`; where they are fewer the number
            of steps is the same.
    """
    count = min(TOWER_COMPONENTS, stars // 2)
    parts = whitened(count, level, stars, draws=1, twins=True)
    longer = max(1.0, min(PLAIN_STARS / len(parts.train), LONGEST))
    return parts, plain_mlp(parts.train, round(longer * epochs), PLAIN_PATIENCE)


def annealed(epochs: int, patience: int, **others: Any) -> dict[str, Any]:
    """Settings of a `Training` whose learning rate falls to zero in a half wave.

    Where stars have several draws of noise, an epoch shows each star in one of them.

    Args:
        epochs: at most so many.
        patience: epochs without improvement before it stops.
        others: of its settings.
    """
    settings = {"epochs": epochs, "patience": patience, "schedule": "cosine", "one_draw": True}
    return {**settings, **others}


def ridged(flux: Parts, draws: int = 0) -> Ridged:
    """The score and the weights of a ridge on the flux; for draws see `columns`."""
    family = RidgeScore(RIDGE_ALPHAS)
    score = columns(family, flux, "flux", draws=draws)
    return Ridged(score, family.coef_ * family.scale_, family.alpha_, family.seconds_)


def pixels(flux: Parts, draws: int) -> Parts:
    """The flux itself, of training stars in so many draws beyond the first."""
    found = [part.features for part in redrawn(flux.train, "flux", draws=draws)]
    return flux._replace(train=replace(flux.train, features=np.concatenate(found)))


def top_pixels(weights: np.ndarray, count: int) -> list[int]:
    """The pixels of the largest absolute weights, from blue to red; all if there are fewer."""
    return sorted(np.argsort(-np.abs(weights), kind="stable")[:count].tolist())


def global_families(
    flux: Parts, ridge: Ridged, count: int = 96, segments: int = 24, draws: int = 0
) -> dict[str, Parts]:
    """The families of the global tower by name: pca, ridge, segments, error.

    Args:
        flux: of the stars.
        ridge: on that flux.
        count: of components.
        segments: that are kept.
        draws: see `columns`; as many as the ridge's score is of.
    """
    seen = {"noise_level": flux.train.noise_level, "stars": len(flux.train)}
    error = spectra("error", **seen)
    if store.read_spectra(error.train.path).error_kind == "observed":
        error = columns(Statistics(), error, "error", draws=draws)
    else:  # the same in each draw
        error = columns(Statistics(), error)
        again = np.repeat(error.train.features, max(draws, 1), axis=0)
        error = error._replace(train=replace(error.train, features=again))
    return {
        "pca": whitened(count, **seen, draws=draws),
        "ridge": ridge.score,
        "segments": columns(TopSegments(ridge.weights, segments), flux, "flux", draws=draws),
        "error": error,
    }


def scored(model: Fitted, part: Part) -> Score:
    """The score of a model, with the number of its parameters in the table, the penalty of a ridge
    and the seconds of the fit, without those that its features took."""
    found = score(model, part)
    columns = {**found.columns, "parameters": parameters(model.estimator)}
    if isinstance(model.estimator, SweptRidge):
        columns["alpha"] = model.estimator.alpha_
    return replace(found, columns=columns, seconds=model.seconds)


def ridge_alone(ridge: Ridged) -> Score:
    """The score of a ridge that others correct, as it stands."""
    part = ridge.score.test
    found = Fitted(OnRidge(Nothing()), "log_g", part.readout, {"n_train": len(ridge.score.train)})
    columns = {"parameters": len(ridge.weights) + 1, "alpha": ridge.alpha}
    found = score(found, part)
    return replace(found, columns={**found.columns, **columns}, seconds=ridge.seconds)


def parameters(model: Predicts) -> int:
    """How many numbers were fitted: weights, coefficients with intercept, or leaves of trees.

    A ridge that is corrected and the features themselves do not count.
    """
    if isinstance(model, OnRidge):
        return parameters(model.model)
    if isinstance(model, Pipeline):
        return parameters(model[-1])
    if isinstance(model, torch.nn.Module):
        return sum(values.numel() for values in model.parameters())
    if isinstance(model, LGBMRegressor):
        return sum(tree["num_leaves"] for tree in model.booster_.dump_model()["tree_info"])
    return len(np.ravel(model.coef_)) + 1
