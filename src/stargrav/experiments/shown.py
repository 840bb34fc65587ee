"""Programme `logg_1m`: what a transformer is shown of a spectrum."""

from __future__ import annotations

from functools import partial

import numpy as np

from stargrav.data import store
from stargrav.experiments.inputs import Part
from stargrav.experiments.spec import Fraction, Rate, at_least, at_most, experiment, more_than
from stargrav.experiments.steps import current, over
from stargrav.experiments.table import Prediction, Score, Table
from stargrav.experiments.transformer import (
    NEEDS,
    base,
    beats_plain,
    compared,
    plain,
    retrained,
    score,
    sensitivity,
    settings,
    snr_parts,
    taken,
    test_sets,
    variant,
)
from stargrav.inference.limits import prior_variance
from stargrav.metrics.estimate import bootstrap
from stargrav.metrics.fisher import quantile, r2_max
from stargrav.metrics.regression import UNBOUNDED, regression_scores

CALCIUM = (8480.0, 8690.0)  # vacuum wavelengths that hold the triplet of Ca II [A]
MAGNITUDES = (20.5, 21.0, 21.5, 22.0, 22.5)  # edges
FIFTHS = 5  # of the stars by SNR
FEWEST = 20  # stars in a group


@experiment(
    plan="logg_1m 0.A",
    claim="The fifth of the stars with the largest SNR tells more log g, and the transformer "
    "reads it, and more than the plain network",
    accept=[
        more_than("r2[low,bayes] - r2[all,bayes]", 0.0),
        more_than("r2[low,vit] - r2[all,vit]", 0.0),
        more_than("r2[all,vit] - r2[all,plain]", 0.0),
        more_than("r2[low,vit] - r2[low,plain]", 0.0),
    ],
    published={"r2[all,vit]": 0.711},
    needs=NEEDS,
    figures=("groups", "predicted"),
    serves=None,
)
def low_noise_protocol() -> Table:
    """The protocol's test sets, and how much of their log g is read by magnitude and by SNR.

    The protocol itself is the survey's `protocol.json`; all experiments of the programme use it.
    `bayes` is the exact posterior mean, `r2_max` the bound of the median star, `scatter` the
    standard deviation of R2 between trainings of the transformer with different seeds, which its
    intervals contain.
    """
    first, second, again = base(), plain(), retrained()
    groups = _groups(first.test)
    models = ("vit", "plain", *(("bayes",) if _posterior(first.test) else ()))
    table = over(stars=groups, model=models)
    prior = prior_variance(current().inputs.folder("survey_limits"))
    for case in table:
        part = (second if case.model == "plain" else first).test.take(case.stars)
        if case.model == "bayes":
            found = _bayes(part)
        else:
            found = score((second if case.model == "plain" else first).model, part)
        if case.model == "vit":
            stars = case.labels["stars"]
            found = again.widen(found, "vit", stars, part).also(**again.scatter(stars))
        case.record(found.also(**_bound(part, prior)))
    return table


@experiment(
    plan="logg_1m 1.2",
    claim="The error as a further input, as observed, lowers the mean error of log g by 5 %",
    accept=[at_most("mae[chosen,all] / mae[flux,all]", 0.95), beats_plain("chosen")],
    needs=NEEDS,
    figures=("scores",),
)
def error_input() -> Table:
    """Flux alone, flux / error, and flux beside log error; with errors of either kind.

    A noiseless error array is a copy of the clean spectrum: an efficiency above 1 says that it is
    read. Errors as observed (`seen`), from the noisy counts, are the honest test, and decide.
    """
    shown = {"whitened": ("whitened",), "log_error": ("flux", "log_error")}
    own = store.read_spectra(current().inputs.folder("survey") / "test.h5").error_kind
    models = {}
    if own == "noiseless":
        models = {name: partial(variant, names=names) for name, names in shown.items()}
    error = "observed" if own == "noiseless" else None
    seen = {
        f"seen_{name}": partial(variant, error=error, names=names) for name, names in shown.items()
    }
    return compared({"flux": base, **models, **seen}, choose=tuple(seen))


@experiment(
    plan="logg_1m 1.3",
    claim="Flux without its continuum, or standardised in chunks, shows log g better",
    accept=[
        more_than("r2[chosen,all] - r2[median,all]", 0.0),
        beats_plain("chosen"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def normalization() -> Table:
    """Flux divided by its median, by a polynomial, or standardised in chunks."""
    others = {name: partial(variant, normalization=name) for name in ("continuum", "chunk")}
    return compared({"median": base, **others}, choose=tuple(others))


@experiment(
    plan="logg_1m 1.4",
    claim="The windows most sensitive to log g hold what the whole spectrum holds",
    accept=[
        at_least("r2[chosen,all] - r2[full,all]", 0.0),
        beats_plain("chosen"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def sensitive_windows(share: Rate = 0.25) -> Table:
    """All tokens, the share of them most sensitive to log g, and those of the Ca II triplet."""
    (patch,) = settings()[0]["patches"]
    told = sensitivity(patch)
    most = np.sort(np.argsort(-told, kind="stable")[: max(1, round(share * len(told)))])
    wave = store.read_spectra(current().inputs.folder("survey") / "test.h5").wave
    tokens = np.asarray(wave[: len(told) * patch]).reshape(len(told), patch)
    low, high = CALCIUM
    calcium = np.flatnonzero(((tokens >= low) & (tokens <= high)).any(axis=1))
    kept = {"windows": most, **({"calcium": calcium} if len(calcium) else {})}
    others = {name: partial(variant, kept=tokens.tolist()) for name, tokens in kept.items()}
    return compared({"full": base, **others}, choose=tuple(others))


@experiment(
    plan="logg_1m 3.3",
    claim="Without its worst pixels a spectrum shows log g better",
    accept=[
        more_than("r2[chosen,all] - r2[none,all]", 0.0),
        beats_plain("chosen"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def error_masking(shares: tuple[Fraction, ...] = (0.01, 0.05, 0.1)) -> Table:
    """The pixels of the largest error of each spectrum masked.

    They are nearly the same ones in all stars, those of the sky's brightest lines.
    """
    others = {f"worst_{100 * share:g}": partial(variant, masked=share) for share in shares}
    return compared({"none": base, **others}, choose=tuple(others))


@experiment(
    plan="logg_1m 3.4",
    claim="The slope of the flux, or what is left of it without low frequencies, adds log g",
    accept=[
        more_than("r2[chosen,all] - r2[flux,all]", 0.0),
        beats_plain("chosen"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def derivative_channel() -> Table:
    """Flux alone, beside its slope, and beside its high frequencies."""
    others = {name: partial(variant, names=("flux", name)) for name in ("derivative", "high_pass")}
    return compared({"flux": base, **others}, choose=tuple(others))


def _groups(test: Part) -> dict[str, np.ndarray]:
    """Rows of the test stars: all, low noise, by magnitude, by fifths of SNR (first the least)."""
    rows = {
        stars: np.flatnonzero(np.isin(test.index, taken(test, stars).index))
        for stars in test_sets()
    }
    if "mag" in test.stars:
        for left, right in zip(MAGNITUDES, MAGNITUDES[1:], strict=False):
            inside = (test.stars["mag"] >= left) & (test.stars["mag"] < right)
            rows[f"mag_{left:g}_{right:g}"] = np.flatnonzero(inside)
    if "snr" in test.stars:
        for number, part in enumerate(snr_parts(test.stars["snr"], FIFTHS), start=1):
            rows[f"snr_{number}"] = part
    always = ("all", "low")
    return {name: x for name, x in rows.items() if name in always or len(x) >= FEWEST}


def _posterior(test: Part) -> bool:
    return test.limits is not None and "mean_log_g" in test.limits


def _bayes(part: Part) -> Score:
    """The exact posterior mean of stars as a model's answer."""
    value = part.limits["mean_log_g"].to_numpy(dtype=float)
    truth = np.asarray(part.stars["log_g"], dtype=float)
    metrics = regression_scores(truth, value, current().seed)
    told = Prediction("log_g", truth, value, part.stars)
    return Score(metrics, {"n_test": len(part)}, told)


def _bound(part: Part, prior: float) -> dict[str, object]:
    """R2_max of the median star."""
    if part.limits is None or "sigma_fisher_log_g" not in part.limits:
        return {}
    sigma = np.minimum(part.limits["sigma_fisher_log_g"].to_numpy(dtype=float), UNBOUNDED)
    median = bootstrap(quantile(0.5), r2_max(sigma**2, prior), seed=current().seed)
    return {"r2_max": median}
