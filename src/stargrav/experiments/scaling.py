"""Programme `logg_1m`, scaling: what more spectra are worth to simple models and the transformer.

The pixels of the training stars are never held: they are read, and get their noise, a few at a
time. Ridge regression, on pixels or on their principal components, follows from sums over stars;
those of a larger sample are those of the smaller one and of the rest, so that one pass serves all
sizes. LightGBM keeps one byte per pixel. With a Dask scheduler its workers do both. The
transformer and the plain network are trained anew for each size, and see as many spectra of many
stars as of few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import lightgbm
import numpy as np
from pydantic import Field

from stargrav import ranks
from stargrav.data.room import require_memory
from stargrav.experiments.inputs import Part
from stargrav.experiments.spec import Count, Rate, at_most, experiment, more_than
from stargrav.experiments.steps import Fitted, current, over, score, spectra, training_sizes
from stargrav.experiments.table import Table
from stargrav.experiments.transformer import (
    NEEDS,
    Judged,
    beats_plain,
    epochs_of,
    plain,
    retrained,
    variant,
)
from stargrav.inference.draws import StreamedPixels
from stargrav.metrics.estimate import Estimate
from stargrav.models import ridge, trees
from stargrav.models.ridge import Solution, Sums, SweptRidge

if TYPE_CHECKING:
    from distributed import Client

TARGET = "log_g"
SIZES = (10_000, 32_000, 100_000, 500_000, 1_000_000)
ALPHAS = (1e-3, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
NEAR = 0.01  # below the R2 of the largest sample: saturated

Share = Annotated[float, Field(gt=0, le=1)]
Timed = tuple[Any, float]  # what was made, and the seconds that it took


@experiment(
    plan="logg_1m 0.B",
    claim="More spectra raise what models read, until half of them would do",
    accept=[
        more_than("gain[ridge,all]", 0.0),
        more_than("gain[lightgbm,all]", 0.0),
        at_most("saturation[ridge,all]", 0.5),
        at_most("saturation[lightgbm,all]", 0.5),
        beats_plain("vit"),
    ],
    published={"r2[ridge,all]": 0.50, "r2[lightgbm,all]": 0.614, "r2[vit,all]": 0.711},
    needs=NEEDS,
    figures=("scores", "times"),
)
def scaling(
    sizes: tuple[Count, ...] = SIZES,
    components: tuple[Count, ...] = (100, 200, 500),
    rounds: Count = 2500,
    leaves: Count = 31,
    rate: Rate = 0.05,
    share: Share = 1.0,
    scheduler: str | None = None,
) -> Table:
    """Ridge, ridge on components, LightGBM and networks by the number of training stars.

    The transformer (`vit`) and the plain network see as many spectra whatever the number of stars,
    those of the base: fewer stars are seen more often, in other noise.

    `left` is the R2 that the largest sample adds, `gain` what it adds to the smallest one,
    `saturation` the share of its stars that comes within .01 of it, `enough` their number. Seconds
    of a ridge are those of its size alone.
    """
    stars = spectra()
    samples = training_sizes(stars.train, sorted(sizes))
    valid, test = _held(stars.valid), _held(stars.test)
    pixels = valid.features.shape[-1]
    kept = [count for count in components if count < pixels]
    given = {"leaves": leaves, "rate": rate, "share": share, "seed": current().seed}

    def simple() -> dict[tuple[str, str], Timed]:
        with _cluster(scheduler) as client:
            _require_room(len(samples["all"]), pixels, client)
            fitted = _ridges(samples, valid, kept, client)
            for size, sample in samples.items():
                fitted["lightgbm", size] = _timed(_boosted, sample, client, rounds, **given)
        return fitted

    fitted = ranks.by_first(simple)
    found = {}
    for (model, size), (one, _) in fitted.items():
        columns = {"n_train": len(samples[size]), "draws": 1}
        found[model, size] = score(Fitted(one, TARGET, test.readout, columns), test)
    for model, size, judged in _networks(samples):
        fitted[model, size] = judged, judged.model.seconds
        found[model, size] = replace(score(judged.model, judged.test), history=())
    again = retrained()
    for size in samples:
        judged, _ = fitted["vit", size]
        found["vit", size] = again.widen(found["vit", size], f"vit,{size}", "all", judged.test)
    table = over(model=dict.fromkeys(model for model, _ in found), size=samples)
    for case in table:
        model, size = case.labels.values()
        curve = {len(part): found[model, each].metrics["r2"] for each, part in samples.items()}
        enough = saturation(curve)
        most = curve[max(curve)]
        added = {"left": most - curve[len(samples[size])], "gain": most - curve[min(curve)]}
        reached = found[model, size].also(**added, saturation=enough / max(curve))
        case.record(reached, seconds=fitted[model, size][1], enough=round(enough.value))
    return table


def _networks(samples: Mapping[str, Part]) -> Iterator[tuple[str, str, Judged]]:
    """Transformer and plain network of each size."""
    for size, sample in samples.items():
        yield "vit", size, variant(stars=len(sample), epochs=epochs_of(len(sample)))
    for size, sample in samples.items():
        yield "plain", size, plain(len(sample))


def saturation(curve: Mapping[int, Estimate]) -> Estimate:
    """The smallest number of stars whose R2 comes within .01 of that of the largest.

    Args:
        curve: number of stars -> R2.
    """
    numbers = np.array(sorted(curve), dtype=float)

    def first(r2: np.ndarray) -> np.ndarray:
        """By R2 (sizes, resamples)."""
        return numbers[(r2 >= r2[-1] - NEAR).argmax(axis=0)]

    value = first(np.array([[curve[number].value] for number in numbers]))
    return Estimate(float(value[0]), first(np.stack([curve[number].draws for number in numbers])))


def _pixels(stars: Part) -> StreamedPixels:
    return current().inputs.streamed(stars, "flux")


def _held(stars: Part) -> Part:
    """Stars with their pixels in memory."""
    return replace(stars, features=_pixels(stars)[:][None])


def _require_room(stars: int, pixels: int, client: Client | None) -> None:
    require_memory(ridge.memory(pixels), f"ridge on {pixels} pixels")
    if client is None:
        purpose = f"LightGBM on {stars:,} stars of {pixels} pixels"
        require_memory(trees.memory(stars, pixels), purpose)
        return
    from stargrav.training import cluster

    cluster.require_memory(client, stars, pixels)


def _ridges(
    samples: Mapping[str, Part], valid: Part, components: Sequence[int], client: Client | None
) -> dict[tuple[str, str], Timed]:
    """Ridge on pixels and on components, by model and size, from one pass over the stars."""
    fitted, sums, reading = {}, None, 0.0
    origin = ridge.near_mean(_pixels(next(iter(samples.values()))))
    for size, more in zip(samples, _additions(samples.values()), strict=True):
        added, seconds = _timed(_summed, more, client, origin)
        sums, reading = added if sums is None else sums + added, reading + seconds
        one, seconds = _timed(_chosen, sums.solutions(ALPHAS), valid)
        fitted["ridge", size] = one, reading + seconds
        leading, analysing = _timed(sums.principal, max(components, default=1))
        for count in components:
            one, seconds = _timed(_chosen, leading.solutions(count, ALPHAS), valid)
            fitted[f"pca{count}", size] = one, reading + analysing + seconds
    return fitted


def _additions(samples: Iterable[Part]) -> Iterator[Part]:
    """The stars that each sample has beyond the one before it."""
    before = np.empty(0, dtype=int)
    for sample in samples:
        yield sample.take(np.flatnonzero(~np.isin(sample.index, before)))
        before = sample.index


def _summed(stars: Part, client: Client | None, origin: np.ndarray) -> Sums:
    if client is None:
        return Sums.of(_pixels(stars), stars.label(TARGET), origin)
    from stargrav.training import cluster

    return cluster.summed(client, _portions(stars, cluster.threads(client)), origin)


def _boosted(stars: Part, client: Client | None, rounds: int, **given: Any) -> lightgbm.Booster:
    if client is None:
        return trees.boost(_pixels(stars), stars.label(TARGET), rounds, **given)
    from stargrav.training import cluster

    return cluster.boost(client, _portions(stars, cluster.threads(client)), rounds, **given)


def _portions(stars: Part, count: int) -> list[tuple[StreamedPixels, np.ndarray]]:
    """Pixels and label of stars in so many portions, or as many as there are stars."""
    places = np.array_split(np.arange(len(stars)), min(count, len(stars)))
    return [(_pixels(part), part.label(TARGET)) for part in map(stars.take, places)]


def _chosen(solutions: Iterable[Solution], valid: Part) -> SweptRidge:
    return SweptRidge(ALPHAS).choose(solutions, valid.features[0], valid.stars[TARGET])


def _cluster(scheduler: str | None) -> AbstractContextManager[Client | None]:
    """A client of the scheduler, or none, for this process to do all."""
    if scheduler is None:
        return nullcontext()
    from stargrav.training.cluster import connected  # takes a second to import

    return connected(scheduler)


def _timed(work: Callable[..., Any], *given: Any, **named: Any) -> Timed:
    start = time.perf_counter()
    return work(*given, **named), time.perf_counter() - start
