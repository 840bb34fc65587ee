"""Programme `distill`, part 4 and A: does log g come from the spectrum, or by a shortcut?

The noise model's error array is computed from noise-free counts, so that it carries a noise-free
copy of the spectrum; errors estimated from noisy counts (`observed`) do not. What the error array
tells is taken out first: with e the log g predicted from the error array of a star, the residual
log g - e is what flux and latents are asked for. On training stars e comes from models that have
not seen them (cross-fitting, Chernozhukov et al. 2018, Econometrics Journal 21, C1).

What is beyond a noiseless array is next to nothing, whatever a teacher does with it. Decided is
therefore on errors as observed, which hold no clean copy; they hold one of the noisy flux.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from stargrav.data import store
from stargrav.errors import InputError
from stargrav.experiments.inputs import NEEDS, Part, Parts
from stargrav.experiments.networks import encoded
from stargrav.experiments.spec import (
    Count,
    NonNegative,
    at_least,
    at_most,
    between,
    experiment,
    more_than,
)
from stargrav.experiments.steps import (
    Fitted,
    current,
    fit,
    latents,
    over,
    score,
    spectra,
)
from stargrav.experiments.table import Score, Table
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.regression import variance_share
from stargrav.models.pooling import READOUT
from stargrav.models.probes import lightgbm, ridge
from stargrav.models.ridge import ALPHAS, RidgeScore, SweptRidge

ERRORS = ("noiseless", "observed")
RESIDUAL = "log_g left"
# A noiseless error array bears hardly any penalty; below the least, float32 rounds its pixels.
PENALTIES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, *ALPHAS)
PENALTIES_OF_RESIDUAL = (*ALPHAS, 1e6, 1e7, 1e8)  # of which there may be nothing to be read
TEACHERS = {"noiseless": "teacher", "observed": "teacher_observed"}


@experiment(
    plan="distill 4.1",
    claim="A teacher that does not see the error holds as much log g",
    accept=[
        at_most("r2[with_error,lightgbm] - r2[without_error,lightgbm]", 0.05),
        at_most("r2[observed_error,lightgbm] - r2[without_error,lightgbm]", 0.05),
        at_most("r2[with_error,lightgbm] - r2[observed_error,lightgbm]", 0.05),
    ],
    needs=(*NEEDS, "latents@no_error", "latents@observed"),
    figures=("scores",),
)
def teacher_no_error(alpha: NonNegative = 1e-3, leaves: Count = 15, trees: Count = 50) -> Table:
    """Probes on the latents of teachers that are told the error, its estimate, or neither."""
    table = over(
        teacher={
            "with_error": "teacher",
            "observed_error": "teacher_observed",
            "without_error": "teacher_no_error",
        },
        probe={"ridge": ridge(alpha), "lightgbm": lightgbm(leaves, trees)},
    )
    _require_noiseless()
    for case in table:
        z = latents(*READOUT, teacher=case.teacher, draws=1)
        case.record(score(fit(case.probe, z.train, z.valid), z.test))
    return table


@experiment(
    plan="distill 4.2",
    claim="A teacher that is told another star's error holds less log g",
    accept=[
        more_than("r2[noiseless,true] - r2[noiseless,retrained]", 0.0),
        more_than("r2[observed,true] - r2[observed,retrained]", 0.0),
    ],
    needs=(*NEEDS, "train@teacher_observed"),
    figures=("scores",),
)
def shuffled_error(alpha: NonNegative = 1e-3, stars: Count = 32_000) -> Table:
    """Latents of spectra with another star's error, by the probe of true ones and by its own.

    What `shuffled` loses beyond `retrained` is the probe's, which meets latents unlike those it
    was fitted to.
    """

    @cache
    def seen(kind: str, own: bool) -> Parts:
        parts = spectra("flux", "error", error=kind, stars=stars)
        if not own:
            parts = Parts(*(_swapped(part, seed) for seed, part in enumerate(parts)))
        return encoded(parts, TEACHERS[kind])

    _require_noiseless()
    own = {"true": (True, True), "shuffled": (True, False), "retrained": (False, False)}
    table = over(errors=ERRORS, given=own)  # own errors where the probe is fitted, and tested
    for case in table:
        trained, tested = (seen(case.errors, each) for each in case.given)
        case.record(score(fit(ridge(alpha), trained.train, trained.valid), tested.test))
    return table


@experiment(
    plan="distill 4.3",
    claim="With permuted labels nothing is learnt: the score is not made by the procedure",
    accept=[
        between(f"r2[{error},shuffled,{probe}]", -0.1, 0.05)
        for error in ERRORS
        for probe in ("ridge", "lightgbm")
    ],
    needs=(*NEEDS, "latents@observed"),
    figures=("scores",),
)
def label_shuffle(alpha: NonNegative = 1e-3, leaves: Count = 15, trees: Count = 50) -> Table:
    """Probes fitted to each star's own log g, and to that of another star, for either error."""
    _require_noiseless()
    table = over(
        error={error: latents(*READOUT, teacher=TEACHERS[error]) for error in ERRORS},
        log_g=("true", "shuffled"),
        probe={"ridge": ridge(alpha), "lightgbm": lightgbm(leaves, trees)},
    )
    for case in table:
        z, train = case.error, case.error.train
        if case.log_g == "shuffled":
            order = np.random.default_rng(current().seed).permutation(len(train))
            train = train.with_label("log_g", train.stars["log_g"][order])
        case.record(score(fit(case.probe, train, z.valid), z.test))
    return table


@experiment(
    plan="distill A.1",
    claim="The noiseless error array tells more of log g than one estimated from noisy counts",
    accept=[more_than("r2[noiseless,ridge] - r2[observed,ridge]", 0.0)],
    published={"r2[noiseless,untuned]": 0.91},
    needs=NEEDS,
    figures=("scores",),
)
def error_only(
    stars: Count = 32_000, alpha: NonNegative = 1e-3, leaves: Count = 15, trees: Count = 50
) -> Table:
    """log g from the logarithm of the error array alone.

    `untuned` is the ridge of the plan; `ridge` takes the penalty that does best on valid stars.
    """
    swept = SweptRidge(PENALTIES)
    table = over(
        error=ERRORS,
        probe={"untuned": ridge(alpha), "ridge": swept, "lightgbm": lightgbm(leaves, trees)},
    )
    seen = cache(lambda error: spectra("log_error", error=error, stars=stars))
    for case in table:
        parts = seen(case.error)
        case.record(score(fit(case.probe, parts.train, parts.valid), parts.test))
    return table


@experiment(
    plan="distill A.2",
    claim="The noiseless error array accounts for most of the variance of log g",
    accept=[at_most("share[noiseless]", 0.5)],
    needs=NEEDS,
    figures=("scores",),
)
def error_residual(stars: Count = 32_000, folds: Count = 5) -> Table:
    """The share of the variance of log g that is left when the error array's part is taken out."""
    table = over(error=ERRORS)
    for case in table:
        parts = spectra("log_error", error=case.error, stars=stars)
        model, left = _taken_out(parts, folds)
        share, cross_fitted = (_share(part) for part in (left.test, left.train))
        found = score(model, parts.test).also(share=share, share_cross_fitted=cross_fitted)
        case.record(found)
    return table


@experiment(
    plan="distill A.3",
    claim="The flux tells log g beyond what a ridge reads of the error array",
    accept=[more_than("r2[noiseless]", 0.1), more_than("r2[observed]", 0.1)],
    needs=NEEDS,
    figures=("scores",),
)
def flux_residual(stars: Count = 32_000, folds: Count = 5) -> Table:
    """Ridge on the flux, asked for the residual of log g after the error array."""
    table = over(error=ERRORS)
    for case in table:
        _, left = _taken_out(spectra("log_error", error=case.error, stars=stars), folds)
        case.record(_asked(spectra("flux", error=case.error, stars=stars), left))
    return table


@experiment(
    plan="distill A.4",
    claim="The latent keeps the log g of the flux beyond what a ridge reads of the error array",
    accept=[
        at_least("r2[noiseless,latent] - 0.9 * r2[noiseless,flux]", 0.0),
        more_than("r2[noiseless,flux]", 0.0),
        at_least("r2[observed,latent] - 0.9 * r2[observed,flux]", 0.0),
        more_than("r2[observed,flux]", 0.0),
    ],
    needs=(*NEEDS, "latents@observed", "latents@no_error"),
    figures=("scores",),
)
def latent_residual(stars: Count = 32_000, folds: Count = 5) -> Table:
    """Ridge on flux and on latents, asked for the residual of log g after the error array.

    Neither tells anything: a shortcut; the latent as much as the flux: kept; more: enhanced;
    less: lost. What a latent holds that is not linear in the error counts as beyond it; the latent
    of a teacher that sees no error, `latent_no_error`, can hold nothing of the kind.
    """
    _require_noiseless()
    table = over(error=ERRORS, input=("flux", "latent", "latent_no_error"))
    left = cache(
        lambda error: _taken_out(spectra("log_error", error=error, stars=stars), folds)[1]
    )
    for case in table:
        if case.input == "flux":
            seen = spectra("flux", error=case.error, stars=stars)
        elif case.input == "latent":
            seen = _latents_at(case.error, stars)
        else:
            seen = latents(*READOUT, teacher="teacher_no_error", stars=stars, draws=1)
        case.record(_asked(seen, left(case.error)))
    return table


def _require_noiseless() -> None:
    """Both kinds of errors are compared, each with the teacher that has seen it.

    Raises:
        InputError: the data set has observed errors, and so no teacher saw noiseless ones.
    """
    kind = store.read_spectra(current().inputs.folder("dataset") / "test.h5").error_kind
    if kind == "observed":
        raise InputError("settings", "dataset.error", kind, "noiseless: both kinds are compared")


def _latents_at(error: str, stars: int) -> Parts:
    """Latents of the teacher that saw errors of a kind."""
    return latents(*READOUT, teacher=TEACHERS[error], stars=stars, draws=1)


def _taken_out(errors: Parts, folds: int) -> tuple[Fitted, Parts]:
    """What the error array tells of log g, and the stars with what is left of it."""
    ridge, train = RidgeScore(PENALTIES, folds), errors.train
    told = [ridge.fit_transform(np.array(train.features[0]), train.stars["log_g"])[:, 0]]
    told += [ridge.predict(np.array(part.features[0])) for part in (errors.valid, errors.test)]
    left = Parts(
        *(
            part.with_label(RESIDUAL, part.stars["log_g"] - value)
            for part, value in zip(errors, told, strict=True)
        )
    )
    columns = {"n_train": len(train), "draws": 1, "penalty": ridge.alpha_}
    return Fitted(ridge, "log_g", train.readout, columns), left


def _asked(seen: Parts, left: Parts) -> Score:
    """How well the residual is read from other features of the same stars."""
    train, valid, test = (
        part.with_label(RESIDUAL, other.stars[RESIDUAL])
        for part, other in zip(seen, left, strict=True)
    )
    model = fit(SweptRidge(PENALTIES_OF_RESIDUAL), train, valid, target=RESIDUAL)
    columns = {**model.columns, "penalty": model.estimator.alpha_}
    return score(replace(model, columns=columns), test)


def _share(left: Part) -> Estimate:
    """Share of the variance of log g that is left."""
    stars = left.stars
    return bootstrap(variance_share, stars["log_g"], stars[RESIDUAL], seed=current().seed)


def _swapped(part: Part, number: int) -> Part:
    """Spectra with the error of another star; flux and error lie side by side in the features."""
    order = np.random.default_rng([current().seed, number]).permutation(len(part))
    flux, error = np.split(part.features, 2, axis=-1)
    return replace(part, features=np.concatenate([flux, error[:, order]], axis=-1))
