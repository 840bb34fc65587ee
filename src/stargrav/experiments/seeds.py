"""What another seed of its training changes in what a network reads.

In the other experiments a network is trained once, and its interval is that of the choice of test
stars. Here some of them are trained with several seeds: first weights, order of the stars, dropout
and noise that is drawn anew are others with each; stars, stored noise, the features and the ridge
that a tower corrects are the same, and so is the teacher. Scores are means over the trainings,
with intervals of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from sklearn.base import RegressorMixin

from stargrav.experiments.baselines import NEEDS
from stargrav.experiments.families import (
    Ridged,
    annealed,
    global_families,
    pixels,
    plain_network,
    ridged,
    scored,
    side_by_side,
    top_pixels,
)
from stargrav.experiments.inputs import Parts
from stargrav.experiments.spec import Count, experiment, more_than
from stargrav.experiments.steps import (
    Fitted,
    Mlp,
    Network,
    bench,
    current,
    fit,
    latents,
    mean_score,
    over,
    spectra,
)
from stargrav.experiments.table import Score, Table
from stargrav.metrics.estimate import Estimate
from stargrav.metrics.repeats import averaged, of_stars, scatter
from stargrav.models.pooling import READOUT
from stargrav.models.probes import ridge
from stargrav.models.residual import OnRidge

NETWORKS = ("head", "plain", "tower", "plain_few", "fused")
BESIDE = {"head": "ridge", "tower": "plain", "fused": "plain_few"}  # what each is compared with

Model = RegressorMixin | Mlp | OnRidge


@experiment(
    plan="towers seeds",
    claim="Comparisons of networks outlast another seed: it changes them less than other stars do",
    accept=[
        *(more_than(f"gain[{name}]", 0.0) for name in BESIDE),
        *(more_than(f"star_scatter[{name}] - seed_scatter[{name}]", 0.0) for name in NETWORKS),
        *(
            more_than(f"gain_star_scatter[{name}] - gain_seed_scatter[{name}]", 0.0)
            for name in BESIDE
        ),
    ],
    needs=(*NEEDS, "latents@base"),
    figures=("scores",),
)
def training_seeds(
    trainings: Count = 5,
    stars: Count = 32_000,
    few: Count = 8_000,
    count: Count = 96,
    segments: Count = 24,
    windows: Count = 256,
    draws: Count = 4,
    head_epochs: Count = 200,
    plain_epochs: Count = 100,
    tower_epochs: Count = 60,
    fused_epochs: Count = 40,
) -> Table:
    """A network on latents, the plain network, the global tower, both towers fused by FiLM.

    The last of `few` stars, with the plain network of as many. `gain` is R2 over that of the ridge
    on the same latents (head), or of the plain network (towers). `seed_scatter` is the standard
    deviation of R2 from seed to seed, `star_scatter` that from one choice of test stars to
    another; `gain_...` are those of the gain, whose stars are paired.
    """

    def towers(stars: int) -> tuple[Parts, Ridged, Parts]:
        flux = spectra("flux", stars=stars)
        found = ridged(flux, draws)
        told = global_families(flux, found, count, segments, draws).values()
        return flux, found, side_by_side(*told)

    def tower() -> tuple[Parts, OnRidge]:
        _, found, told = towers(stars)
        return side_by_side(told, found.score), OnRidge(Mlp(**annealed(tower_epochs, 10)))

    def fused() -> tuple[Parts, OnRidge]:
        flux, found, told = towers(few)
        features = told.train.features.shape[-1]
        places = top_pixels(found.weights, windows)
        sizes = {"places": places, "features": features, "fusion": "film"}
        network = Network("two_tower", sizes, **annealed(fused_epochs, 8))
        return side_by_side(pixels(flux, draws), told, found.score), OnRidge(network)

    made: Mapping[str, Callable[[], tuple[Parts, Model]]] = {
        "ridge": lambda: (latents(*READOUT, stars=stars), ridge(1e-3)),
        "head": lambda: (latents(*READOUT, stars=stars), Mlp(epochs=head_epochs)),
        "plain": lambda: plain_network(1.0, stars, plain_epochs),
        "tower": tower,
        "plain_few": lambda: plain_network(1.0, few, plain_epochs),
        "fused": fused,
    }
    table = over(model=tuple(made))
    each: dict[str, list[Score]] = {}
    for case in table:
        parts, model = made[case.model]()
        numbers = range(1 if case.model == "ridge" else trainings)  # which has no seed
        fitted = [_trained(model, parts, number) for number in numbers]
        each[case.model] = [scored(one, parts.test) for one in fitted]
        found = _mean(each[case.model], case.model)
        if case.model in BESIDE:
            found = found.also(**_gain(each[case.model], each[BESIDE[case.model]], case.model))
        case.record(found)
    return table


def _trained(model: Model, parts: Parts, number: int) -> Fitted:
    """A network trained with the seed that is so many after the experiment's own."""
    found = current()
    with bench(replace(found, seed=found.seed + number)):
        return fit(model, parts.train, parts.valid)


def _mean(each: Sequence[Score], model: str) -> Score:
    """The mean score of a network's trainings, and how far R2 scatters."""
    found, r2 = mean_score(each, model), [one.metrics["r2"] for one in each]
    values = [one.value for one in r2]
    metrics = {f"{name}_scatter": one for name, one in _scatters(r2).items()}
    metrics |= {"lowest": Estimate.exact(min(values)), "highest": Estimate.exact(max(values))}
    return replace(
        found.also(**metrics),
        columns={**found.columns, "trainings": len(each)},
        prediction=None,
        model=None,
        seconds=sum(one.seconds for one in each),
    )


def _gain(each: Sequence[Score], beside: Sequence[Score], model: str) -> dict[str, Estimate]:
    """The mean difference of R2 from what a network is compared with, seed by seed."""
    others = beside if len(beside) > 1 else [*beside] * len(each)
    gains = [a.metrics["r2"] - b.metrics["r2"] for a, b in zip(each, others, strict=True)]
    found = averaged(gains, current().seed, f"{model}: gain")
    scatters = {f"gain_{name}_scatter": one for name, one in _scatters(gains).items()}
    return {"gain": found, **scatters}


def _scatters(each: Sequence[Estimate]) -> dict[str, Estimate]:
    """Standard deviations of a statistic, by seed (of two trainings or more) and by stars."""
    found = {"star": Estimate.exact(np.std(of_stars(each).draws))}
    if len(each) > 1:
        found["seed"] = scatter(np.array([one.value for one in each]), current().seed)
    return found
