"""Programme `distill`, parts 2 and 3: can a student that sees flux alone carry the latent?

The students of the stage `students` were taught the teacher's latent (enc_pre_latent in eight
segments) from the noisy flux, without labels; where one is asked for, it is the one that does
better on valid stars. A student turns pixels into latents; heads and probes are then fitted to
these as to the teacher's own. An experiment that needs another student trains it as a stored one
was trained, but for what it names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated

import numpy as np
from pydantic import Field

from stargrav.experiments.families import COMPONENTS, flux_components
from stargrav.experiments.inputs import NEEDS, Part, Parts
from stargrav.experiments.networks import (
    KINDS,
    better_student,
    cleaned,
    read,
    stored_student,
    student_history,
    taught,
)
from stargrav.experiments.spec import Count, NonNegative, at_least, at_most, experiment, more_than
from stargrav.experiments.steps import (
    Fitted,
    Predicts,
    current,
    fit,
    latents,
    mean_score,
    missed,
    over,
    plain_heads,
    score,
    score_by_best,
    spectra,
)
from stargrav.experiments.table import Score, Table
from stargrav.metrics.estimate import Estimate
from stargrav.metrics.latents import dimension_errors, latent_scores
from stargrav.metrics.regression import regression_scores
from stargrav.models.heads import Standardised
from stargrav.models.pooling import READOUT
from stargrav.models.probes import lightgbm
from stargrav.models.ridge import SweptRidge

Weights = Annotated[tuple[NonNegative, ...], Field(min_length=1)]
LEVELS = (0.0, 0.1, 0.5, 1.0, 1.5)
MIDDLE = 0.5
CHOSEN = {  # of `student_vs_flux`, by valid stars
    "chosen": ("student", "joint"),
    "flux_baseline": ("flux", "denoised", "denoised_alone"),
    "baseline": ("flux", "denoised", "denoised_alone", "components", "labels"),
}
INTERVALS = {"log_g": (1, 2, 3, 4, 5), "T_eff": (3750, 4500, 5250, 6000)}
FEWEST = 20  # stars of an interval that is scored by itself


@experiment(
    plan="distill 2.1",
    claim="A student that sees flux alone meets the teacher's latent, of unseen stars as well",
    accept=[
        at_least("max(cosine[mlp], cosine[conv])", 0.9),
        at_least("max(cosine_standardised[mlp], cosine_standardised[conv])", 0.9),
        at_most("max(gap[mlp], gap[conv])", 0.25),
    ],
    needs=(*NEEDS, "students"),
    figures=("losses", "match"),
)
def student() -> Table:
    """Students, and the mean latent of the training stars, against the teacher on valid stars.

    `gap` is by how much larger the square error is there than on the training stars, each in units
    of that of the mean latent on the same stars, which need not spread alike.
    """
    pixels, z = spectra("flux"), latents(*READOUT, draws=1)
    centre = stored_student("mlp").label_mean.numpy()
    table = over(student=("mean", "mlp", "conv"))
    spread: dict[str, Estimate] = {}
    for case in table:
        if case.student == "mean":
            told = Parts(*(replace(part, features=0 * part.features + centre) for part in z))
        else:
            told = read(stored_student(case.student), pixels)
        valid = _latent_scores(z.valid, told.valid)
        missed_of = {
            "valid": valid["mse_standardised"],
            "train": _latent_scores(z.train, told.train)["mse_standardised"],
        }
        spread = spread or missed_of  # of the mean latent, which comes first
        of_valid, of_train = (missed_of[part] / spread[part] for part in ("valid", "train"))
        found = Score(
            {**valid, "gap": of_valid / of_train - 1.0}, _dimensions(z.valid, told.valid)
        )
        case.record(replace(found, history=student_history(case.student)))
    return table


@experiment(
    plan="distill 2.2",
    claim="The student's latent keeps the teacher's log g, and tells no less than the flux",
    accept=[
        at_least("r2[student,ridge] / r2[teacher,ridge]", 0.9),
        at_least("r2[student,lightgbm] / r2[teacher,lightgbm]", 0.9),
        at_least("r2[student,ridge] - r2[flux,ridge]", 0.0),
        at_least("r2[student,lightgbm] - r2[flux,lightgbm]", 0.0),
    ],
    needs=(*NEEDS, "students"),
    figures=("scores",),
)
def student_probe(stars: Count = 32_000, leaves: Count = 15, trees: Count = 50) -> Table:
    """The same probes on students' latents, on the teacher's and on the flux that they see.

    `student` is the one that comes nearer to the latents of the valid stars, `mlp` and `conv` are
    both.
    """
    flux, z = spectra("flux", stars=stars), latents(*READOUT, stars=stars, draws=1)
    table = over(
        input={
            "student": read(better_student(), flux),
            **{kind: read(stored_student(kind), flux) for kind in KINDS},
            "teacher": z,
            "flux": flux,
        },
        probe={"ridge": SweptRidge(), "lightgbm": lightgbm(leaves, trees)},
    )
    for case in table:
        case.record(score(fit(case.probe, case.input.train, case.input.valid), case.input.test))
    return table


@experiment(
    plan="distill 2.3",
    claim="What keeps a flux-only student from the latent is the missing error, not its network",
    accept=[
        more_than("mse_standardised[flux] - mse_standardised[flux_error]", 0.0),
        more_than(
            "min(mse_standardised[wide], mse_standardised[conv]) - mse_standardised[flux_error]",
            0.0,
        ),
    ],
    needs=(*NEEDS, "students"),
    figures=("losses", "match", "scores"),
)
def student_plus(factor: Count = 2, draws: Count = 1) -> Table:
    """A perceptron, a wider one and convolutions on flux, and the first with the error beside it.

    Where a better network gains more than the error, the student is too weak; where the error
    does, information is missing.
    """
    flux, both = spectra("flux", draws=draws), spectra("flux", "error", draws=draws)
    z = latents(*READOUT, draws=draws)
    widths = [factor * width for width in stored_student("mlp").config["widths"]]
    table = over(
        student={
            "flux": (flux, "mlp", {}),
            "wide": (flux, "mlp", {"widths": widths}),
            "conv": (flux, "conv", {}),
            "flux_error": (both, "mlp", {}),
        }
    )
    for case in table:
        pixels, kind, sizes = case.student
        network, history = taught(pixels, z, kind, **sizes)
        told = read(network, pixels)
        found = score(fit(SweptRidge(), told.train, told.valid), told.test)
        found = replace(found, history=history.to_dict("records"))
        case.record(found.also(**_latent_scores(z.valid, told.valid)))
    return table


@experiment(
    plan="distill joint",
    claim="Distillation and a label loss together give more log g than either alone",
    accept=[more_than("r2[chosen] - r2[0]", 0.0), more_than("r2[chosen] - r2[labels]", 0.0)],
    needs=(*NEEDS, "students"),
    figures=("losses", "scores"),
)
def student_joint(label_weights: Weights = (0.1, 1.0, 10.0), draws: Count = 1) -> Table:
    """log g from students that were taught latent and log g, by the weight of the second.

    `0` is the student that saw no label, and a ridge on its latent; `labels` was taught log g
    alone; `chosen` is the one of the weights that does best on the valid stars.
    """
    flux, z = spectra("flux", draws=draws), latents(*READOUT, draws=draws)
    joint = {f"{weight:g}": (1.0, weight) for weight in label_weights}
    table = over(label_weight={"0": None, **joint, "labels": (0.0, 1.0), "chosen": None})
    fitted, seen, wrong = {}, {}, {}
    for case in table:
        key = case.key
        if key == "chosen":
            key = min(joint, key=wrong.__getitem__)
        elif key == "0":
            seen[key] = read(taught(flux, z)[0], flux)
            fitted[key] = fit(SweptRidge(), seen[key].train, seen[key].valid)
        else:
            seen[key], fitted[key] = flux, _joint(flux, z, *case.label_weight)
        wrong[key] = missed(fitted[key], seen[key].valid)
        case.record(score(fitted[key], seen[key].test), rmse_valid=wrong[key] ** 0.5)
    return table


@experiment(
    plan="distill 3.1",
    claim="End to end a student is no worse than the best model on noisy or denoised flux",
    accept=[
        at_least("r2[student] - r2[flux_baseline]", 0.0),
        at_least("r2[chosen] - r2[baseline]", 0.0),
    ],
    needs=(*NEEDS, "students", "train@teacher_no_error"),
    figures=("intervals", "scores"),
)
def student_vs_flux(
    stars: Count = 32_000,
    label_weights: Weights = (0.1, 1.0, 10.0),
    count: Count = COMPONENTS,
    epochs: Count = 100,
    patience: Count = 8,
) -> Table:
    """log g end to end by what sees flux: students, and models that no teacher has taught.

    `student`, `flux`, `components` and `denoised` are the student's latent, the noisy flux, its
    leading components (`flux_components`) and the denoised flux, by the best of the same heads
    (`score_by_best`); `joint` is the student of latent and log g that does best on the valid
    stars, `labels` the same network taught log g alone. The network of `denoised` sees the data
    set's error, that of `denoised_alone` flux alone; in both the error weighs what was measured of
    a pixel against what is predicted. `CHOSEN` of others are those that do best on valid stars.
    """
    flux, z = spectra("flux", stars=stars), latents(*READOUT, stars=stars, draws=1)
    denoised = {"denoised": "teacher", "denoised_alone": "teacher_no_error"}
    table = over(model=("student", "joint", "flux", "components", *denoised, "labels", *CHOSEN))
    found: dict[str, Score] = {}
    wrong: dict[str, float] = {}
    for case in table:
        seen, name = flux, case.model
        if name in CHOSEN:
            found[name] = found[min(CHOSEN[name], key=wrong.__getitem__)]
        elif name == "joint":
            joint = [_joint(flux, z, 1.0, weight) for weight in label_weights]
            found[name] = score(min(joint, key=lambda each: missed(each, flux.valid)), flux.test)
        elif name == "labels":
            found[name] = score(_joint(flux, z, 0.0, 1.0), flux.test)
        else:
            if name == "student":
                seen = read(better_student(), flux)
            elif name in denoised:
                seen = cleaned(spectra("flux", "error", stars=stars), denoised[name])
            elif name == "components":
                seen = flux_components(flux, count)
            found[name] = score_by_best(plain_heads(epochs, patience), seen)
        if name not in CHOSEN:
            wrong[name] = missed(found[name].model, seen.valid)
        case.record(found[name].also(**_by_interval(found[name])))
    return table


@experiment(
    plan="distill 3.2",
    claim="At other noise than it was trained at, the student loses less log g than the flux",
    accept=[
        more_than("r2[flux,0.5] - r2[flux,1] - (r2[student,0.5] - r2[student,1])", 0.0),
        more_than("r2[flux,0.5] - r2[flux,1.5] - (r2[student,0.5] - r2[student,1.5])", 0.0),
        more_than("r2[labels,0.5] - r2[labels,1] - (r2[student,0.5] - r2[student,1])", 0.0),
        at_least("r2[student,1] - max(r2[flux,1], r2[labels,1])", 0.0),
    ],
    needs=("dataset", "train@teacher", "latents@noise", "limits", "students"),
    figures=("scores", "shift"),
)
def noise_shift(stars: Count = 32_000) -> Table:
    """Student and ridge, or ridge on flux, trained at noise .5 and tested at other noise.

    `labels` is the student's network, taught log g alone.
    """
    flux = spectra("flux", noise_level=MIDDLE, stars=stars)
    z = latents(*READOUT, MIDDLE, stars=stars, draws=1)
    network, _ = taught(flux, z)
    told = read(network, flux)
    heads = {
        "student": fit(SweptRidge(), told.train, told.valid),
        "flux": fit(SweptRidge(), flux.train, flux.valid),
        "labels": _joint(flux, z, 0.0, 1.0),
    }
    table = over(input=heads, noise=LEVELS)
    seen = cache(lambda level: spectra("flux", noise_level=level, stars=1))
    for case in table:
        tested = seen(case.noise)
        if case.labels["input"] == "student":
            tested = read(network, tested)
        case.record(score(case.input, tested.test))
    return table


@experiment(
    plan="distill 3.3",
    claim="With few labelled stars the student's latent gives more log g than the flux",
    accept=[
        more_than("r2[student,1k] - r2[flux,1k]", 0.0),
        more_than("r2[student,5k] - r2[flux,5k]", 0.0),
        more_than("r2[student,1k] - r2[components,1k]", 0.0),
        more_than("r2[student,5k] - r2[components,5k]", 0.0),
    ],
    needs=(*NEEDS, "students"),
    figures=("scores", "sizes"),
)
def sample_efficiency(
    stars: Count = 32_000,
    budgets: tuple[Count, ...] = (1_000, 5_000, 10_000),
    count: Count = COMPONENTS,
    sets: Count = 12,
) -> Table:
    """Ridge on students' latents, the teacher's and the flux, of growing numbers of labels.

    The last budget is all stars. Students were taught on these, without labels; so were the
    leading components of the flux (`flux_components`), which ask for no teacher. Of the smaller
    budgets as many sets of labelled stars that share none are tried as there are, `sets` at most;
    scores are means over them, with intervals of both. `student` is the one of the two that does
    better on valid stars with the labels at hand.
    """
    flux, z = spectra("flux", stars=stars), latents(*READOUT, stars=stars, draws=1)
    inputs = {kind: read(stored_student(kind), flux) for kind in KINDS}
    inputs |= {"teacher": z, "flux": flux, "components": flux_components(flux, count)}
    sizes = {**{f"{n / 1000:g}k": n for n in budgets}, "all": len(flux.train)}
    table = over(input=(*inputs, "student"), budget=sizes)
    fitted: dict[tuple[str, int], list[Fitted]] = {}
    for case in table:
        name, budget = case.input, min(case.budget, len(flux.train))
        if name == "student":
            pairs = zip(*(fitted[kind, budget] for kind in KINDS), strict=True)
            rivals = [dict(zip(KINDS, pair, strict=True)) for pair in pairs]
            better = [
                min(each, key=lambda kind, each=each: missed(each[kind], inputs[kind].valid))
                for each in rivals
            ]
            scores = [
                score(each[kind], inputs[kind].test)
                for each, kind in zip(rivals, better, strict=True)
            ]
        else:
            seen = inputs[name]
            fitted[name, budget] = [
                fit(SweptRidge(), train, seen.valid)
                for train in seen.train.apart(budget, sets, current().seed)
            ]
            scores = [score(each, seen.test) for each in fitted[name, budget]]
        case.record(mean_score(scores, case.key), sets=len(scores))
    return table


@dataclass(frozen=True, eq=False)
class _Output:
    """One of a network's outputs, as a model of a label."""

    network: Standardised
    column: int

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n, f) features -> (n,) label."""
        return self.network.predict(x)[:, self.column]


def _joint(pixels: Parts, z: Parts, latent_weight: float, label_weight: float) -> Fitted:
    """A student of latent and log g; what it says of log g is its last output."""
    network, history = taught(pixels, z, "mlp", ("log_g",), latent_weight, label_weight)
    columns = {"n_train": len(pixels.train), "draws": len(pixels.train.features)}
    answers: Predicts = _Output(network, -1)
    return Fitted(answers, "log_g", pixels.train.readout, columns, history.to_dict("records"))


def _by_interval(found: Score) -> dict[str, Estimate]:
    """RMSE of log g among the stars of each interval of log g and of T_eff."""
    told, metrics = found.prediction, {}
    for column, edges in INTERVALS.items():
        for low, high in zip(edges, edges[1:], strict=False):
            within = (told.stars[column] >= low) & (told.stars[column] < high)
            if within.sum() >= FEWEST:
                scores = regression_scores(told.truth[within], told.value[within], current().seed)
                metrics |= {f"rmse_{column}_{low}_{high}": scores["rmse"]}
    return metrics


def _latent_scores(truth: Part, told: Part) -> dict[str, Estimate]:
    """How near told latents come to the teacher's, in units of the student's training stars."""
    scale = stored_student("mlp")
    mean, deviation = scale.label_mean.numpy(), scale.label_deviation.numpy()
    return latent_scores(truth.features[0], told.features[0], mean, deviation, current().seed)


def _dimensions(truth: Part, told: Part) -> dict[str, float]:
    """How the numbers of the latent differ in how well they are met."""
    deviation = stored_student("mlp").label_deviation.numpy()
    errors = dimension_errors(truth.features[0], told.features[0], deviation)
    best, median, worst = np.quantile(errors, [0.05, 0.5, 0.95])
    return {"best_dimensions": best, "median_dimension": median, "worst_dimensions": worst}
