"""What another seed of its training changes in what a network reads.

In the other experiments a network is trained once, and its interval is that of the choice of test
stars. Here some of them are trained with several seeds, on the same stars; noise that is drawn
anew is other noise with each. Scores are means over the trainings, with intervals of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stargrav.experiments.baselines import NEEDS
from stargrav.experiments.families import (
    COMPONENTS,
    annealed,
    global_families,
    pixels,
    plain_mlp,
    ridged,
    scored,
    side_by_side,
    top_pixels,
    whitened,
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
    over,
    spectra,
)
from stargrav.experiments.table import Score, Table
from stargrav.metrics.estimate import Estimate
from stargrav.metrics.repeats import averaged, scatter
from stargrav.models.pooling import READOUT
from stargrav.models.probes import ridge
from stargrav.models.residual import OnRidge

NETWORKS = ("head", "plain", "tower", "fused", "plain_few")
BESIDE = {"head": "ridge", "tower": "plain", "fused": "plain_few"}  # what each is compared with
PATIENCE = 15  # of the plain network

Model = Mlp | Network | OnRidge


@experiment(
    plan="towers seeds",
    claim="What is said of networks outlasts another seed: it changes less than other stars do",
    accept=[
        more_than("r2[head] - r2[ridge]", 0.0),
        *(more_than(f"stars[{name}] - scatter[{name}]", 0.0) for name in NETWORKS),
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
    """The head of encoder_mlp, the plain network, the global tower, two towers side by side.

    The last of `few` stars, with the plain network of as many. `scatter` is the standard deviation
    of R2 from seed to seed, `stars` that from one choice of test stars to another; `gain` is R2
    over that of the ridge on the same latents (head), or of the plain network (towers).
    """

    def plain(stars: int) -> tuple[Parts, Model]:
        parts = whitened(COMPONENTS, 1.0, stars, draws=1, twins=True)
        return parts, plain_mlp(parts.train, plain_epochs, PATIENCE)

    def tower(stars: int, fused: bool) -> tuple[Parts, Model]:
        flux = spectra("flux", stars=stars)
        found = ridged(flux, draws)
        told = side_by_side(*global_families(flux, found, count, segments, draws).values())
        if not fused:
            parts = side_by_side(told, found.score)
            return parts, OnRidge(Mlp(**annealed(tower_epochs, 10)))
        features = told.train.features.shape[-1]
        places = top_pixels(found.weights, windows)
        sizes = {"places": places, "features": features, "fusion": "concat"}
        network = Network("two_tower", sizes, **annealed(fused_epochs, 8))
        return side_by_side(pixels(flux, draws), told, found.score), OnRidge(network)

    made: dict[str, Callable[[], tuple[Parts, Model]]] = {
        "head": lambda: (latents(*READOUT, stars=stars), Mlp(epochs=head_epochs)),
        "plain": lambda: plain(stars),
        "tower": lambda: tower(stars, fused=False),
        "plain_few": lambda: plain(few),
        "fused": lambda: tower(few, fused=True),
    }
    table = over(model=("ridge", *made))
    told: dict[str, Estimate] = {}
    for case in table:
        if case.model == "ridge":
            parts = latents(*READOUT, stars=stars)
            found = scored(fit(ridge(1e-3), parts.train, parts.valid), parts.test)
        else:
            parts, model = made[case.model]()
            fitted = [_trained(model, parts, seed) for seed in range(trainings)]
            found = _mean([scored(one, parts.test) for one in fitted], case.model)
        told[case.model] = found.metrics["r2"]
        if case.model in BESIDE:
            found = found.also(gain=told[case.model] - told[BESIDE[case.model]])
        case.record(found)
    return table


def _trained(model: Model, parts: Parts, number: int) -> Fitted:
    """A network trained with the seed that is so many after the experiment's own."""
    found = current()
    with bench(replace(found, seed=found.seed + number)):
        return fit(model, parts.train, parts.valid)


def _mean(each: list[Score], model: str) -> Score:
    """The mean score of a network's trainings, and how far they scatter."""
    seed = current().seed
    metrics = {
        name: averaged([one.metrics[name] for one in each], seed, f"{model}: {name}")
        for name in each[0].metrics
    }
    values = np.array([one.metrics["r2"].value for one in each])
    stars = np.mean([one.metrics["r2"].draws for one in each], axis=0)
    if len(values) > 1:
        metrics["scatter"] = scatter(values, seed)
    metrics |= {
        "stars": Estimate.exact(np.std(stars)),
        "lowest": Estimate.exact(values.min()),
        "highest": Estimate.exact(values.max()),
    }
    return replace(
        each[0],
        metrics=metrics,
        columns={**each[0].columns, "trainings": len(each)},
        prediction=None,  # that of one training has other scores than the mean
        history=(),
        model=None,
        seconds=sum(one.seconds for one in each),
    )
