"""Programme `towers`: networks that read a whole spectrum, beside or on top of a ridge.

Most of them correct a ridge on the flux (`models.residual`). All are measured against the plain
network on whitened components, of the same stars: what does not beat it is not worth having. Its
noise is drawn anew in each epoch; they are shown the training stars in several draws, none of them
the one that features and ridge were fitted to.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from stargrav.experiments.baselines import NEEDS
from stargrav.experiments.families import (
    LEVELS,
    Ridged,
    annealed,
    global_families,
    pixels,
    plain_network,
    ridge_alone,
    ridged,
    scored,
    side_by_side,
    top_pixels,
)
from stargrav.experiments.inputs import Parts
from stargrav.experiments.spec import Count, Noise, Rate, at_least, experiment, more_than
from stargrav.experiments.steps import (
    Fitted,
    Mlp,
    Network,
    fit,
    latents,
    missed,
    over,
    spectra,
)
from stargrav.experiments.table import Score, Table
from stargrav.models.pooling import READOUT
from stargrav.models.residual import OnRidge
from stargrav.models.towers import FUSIONS

WINDOWS = (128, 256, 512)
FAMILIES = ("pca", "ridge", "segments", "error")
FILTERS = {  # of the dilated network
    "d1": {"kernels": (15,), "dilation": 1},
    "d2": {"kernels": (15,), "dilation": 2},
    "d4": {"kernels": (15,), "dilation": 4},
    "k7": {"kernels": (7,)},
    "k31": {"kernels": (31,)},
    "k63": {"kernels": (63,)},
    "multi": {"kernels": (7, 15, 31, 63)},
}


@experiment(
    plan="towers global",
    claim="A network on global features beats the ridge that it corrects, and the plain network",
    accept=[
        more_than("r2[1,all] - r2[1,ridge]", 0.0),
        more_than("r2[1,all] - r2[1,plain]", 0.0),
    ],
    published={"r2[0.1,all]": 0.9588, "r2[1,all]": 0.4883},
    needs=NEEDS,
    figures=("scores",),
)
def global_tower(
    stars: Count = 32_000,
    count: Count = 96,
    segments: Count = 24,
    draws: Count = 20,
    plain_epochs: Count = 100,
    epochs: Count = 60,
    patience: Count = 10,
) -> Table:
    """The tower on all families and without each of them, the ridge alone, the plain network.

    `direct` reads the same features without a ridge to correct; `no_ridge` neither reads nor
    corrects one, though its segments are those of the ridge's largest weights. `adds` is what a
    family adds to the others.
    """
    without = {f"no_{name}": name for name in FAMILIES}
    table = over(noise=LEVELS, model=("all", *without, "direct", "ridge", "plain"))

    @lru_cache(maxsize=1)
    def families(level: float) -> tuple[Ridged, dict[str, Parts]]:
        flux = spectra("flux", noise_level=level, stars=stars)
        ridge = ridged(flux, draws)
        return ridge, global_families(flux, ridge, count, segments, draws)

    for case in table:
        if case.model == "plain":
            case.record(_plain(case.noise, stars, plain_epochs))
            continue
        ridge, found = families(case.noise)
        if case.model == "ridge":
            case.record(ridge_alone(ridge))
            continue
        kept = [part for name, part in found.items() if name != without.get(case.model)]
        model = Mlp(**annealed(epochs, patience))
        if case.model not in ("direct", "no_ridge"):
            kept, model = [*kept, ridge.score], OnRidge(model)
        parts = side_by_side(*kept)
        found = scored(fit(model, parts.train, parts.valid), parts.test)
        if case.model in without:
            whole = next(one for one in table.cases if one.key == f"{case.noise:g},all")
            found = found.also(adds=whole.score.metrics["r2"] - found.metrics["r2"])
        case.record(found)
    return table


@experiment(
    plan="towers local",
    claim="Windows around a ridge's pixels tell what it leaves over, and beat the plain network",
    accept=[
        more_than("r2[0.1,cnn_256] - r2[0.1,ridge]", 0.0),
        more_than("r2[1,cnn_256] - r2[1,ridge]", 0.0),
        more_than("r2[1,cnn_256] - r2[1,plain]", 0.0),
    ],
    published={"r2[0.1,cnn_256]": 0.9313},
    needs=NEEDS,
    figures=("scores",),
)
def local_tower(
    stars: Count = 32_000,
    transformer_windows: tuple[Count, ...] = WINDOWS,
    draws: Count = 4,
    plain_epochs: Count = 100,
    epochs: Count = 40,
    patience: Count = 8,
    batch_size: Count = 256,
) -> Table:
    """Shared CNN or transformer over windows of 17 pixels, correcting a ridge, by their number;
    the ridge alone, the plain network."""
    towers = {f"cnn_{k}": ("local_cnn", k) for k in WINDOWS}
    towers |= {f"transformer_{k}": ("local_transformer", k) for k in transformer_windows}
    table = over(noise=LEVELS, model={"ridge": None, **towers, "plain": None})
    training = annealed(epochs, patience, batch_size=batch_size)

    @lru_cache(maxsize=1)
    def seen(level: float) -> tuple[Ridged, Parts]:
        flux, ridge = _pixels(level, stars, draws)
        return ridge, side_by_side(pixels(flux, draws), ridge.score)

    for case in table:
        name = case.labels["model"]
        if name == "plain":
            case.record(_plain(case.noise, stars, plain_epochs))
            continue
        ridge, parts = seen(case.noise)
        if name == "ridge":
            case.record(ridge_alone(ridge))
            continue
        kind, count = case.model
        network = Network(kind, {"places": top_pixels(ridge.weights, count)}, **training)
        case.record(scored(fit(OnRidge(network), parts.train, parts.valid), parts.test))
    return table


@experiment(
    plan="towers dilated",
    claim="Filters that see further read more log g, and more than the plain network",
    accept=[
        more_than("r2[0.1,d2] - r2[0.1,d1]", 0.0),
        more_than("r2[0.1,k63] - r2[0.1,k7]", 0.0),
        more_than("r2[0.1,chosen] - r2[0.1,plain]", 0.0),
    ],
    published={"r2[0.1,d2]": 0.992},
    needs=NEEDS,
    figures=("receptive_field", "scores"),
)
def dilated_cnn(
    stars: Count = 32_000,
    channels: Count = 16,
    rates: tuple[Rate, ...] = (1e-3, 3e-3, 1e-2, 3e-2),
    search_epochs: Count = 5,
    draws: Count = 4,
    plain_epochs: Count = 100,
    epochs: Count = 40,
    patience: Count = 8,
    batch_size: Count = 256,
) -> Table:
    """Convolutions over all pixels by kernel, dilation, and with several kernels side by side.

    Small and large kernels need different learning rates: each case takes the one that leaves the
    least error on valid stars after a short training. `chosen` are the filters that do best on
    valid stars; the plain network stands beside them.
    """
    table = over(noise=LEVELS, filters=(*FILTERS, "chosen", "plain"))
    seen = lru_cache(maxsize=1)(
        lambda level: pixels(spectra("flux", noise_level=level, stars=stars), draws)
    )

    def train(filters: str, level: float, rate: float, epochs: int) -> Fitted:
        training = annealed(epochs, patience, batch_size=batch_size, learning_rate=rate)
        network = Network("dilated_cnn", {**FILTERS[filters], "channels": channels}, **training)
        return fit(network, *seen(level)[:2])

    @lru_cache(maxsize=len(FILTERS))
    def trained(filters: str, level: float) -> tuple[Fitted, float]:
        """The network with the learning rate that suits its filters, and that rate."""
        tried = {rate: train(filters, level, rate, search_epochs) for rate in rates}
        rate = min(rates, key=lambda one: missed(tried[one], seen(level).valid))
        chosen = train(filters, level, rate, epochs)
        seconds = sum(each.seconds for each in (chosen, *tried.values()))
        return replace(chosen, seconds=seconds), rate

    for case in table:
        if case.filters == "plain":
            case.record(_plain(case.noise, stars, plain_epochs))
            continue
        flux = seen(case.noise)
        tried = FILTERS if case.filters == "chosen" else (case.filters,)
        models = [trained(name, case.noise) for name in tried]
        fitted, rate = min(models, key=lambda one: missed(one[0], flux.valid))
        fitted = replace(fitted, seconds=sum(one.seconds for one, _ in models))
        reach = fitted.estimator.receptive_field
        case.record(scored(fitted, flux.test), receptive_field=reach, learning_rate=rate)
    return table


@experiment(
    plan="towers two",
    claim="At noise 1 both towers fused read more than either, and than the plain network",
    accept=[
        more_than("r2[1,chosen] - max(r2[1,global], r2[1,local])", 0.0),
        more_than("r2[1,chosen] - r2[1,plain]", 0.0),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def two_tower(
    stars: Count = 32_000,
    count: Count = 96,
    segments: Count = 24,
    windows: Count = 256,
    draws: Count = 4,
    plain_epochs: Count = 100,
    epochs: Count = 40,
    patience: Count = 8,
    batch_size: Count = 256,
) -> Table:
    """Each tower alone and both fused in three ways, correcting a ridge, and the plain network.

    `chosen` is the fusion that does best on valid stars.
    """
    table = over(noise=LEVELS, model=("global", "local", *FUSIONS, "chosen", "plain"))
    training = annealed(epochs, patience, batch_size=batch_size)

    @lru_cache(maxsize=1)
    def seen(level: float) -> tuple[dict[str, Parts], dict[str, Any]]:
        flux, ridge = _pixels(level, stars, draws)
        told = side_by_side(*global_families(flux, ridge, count, segments, draws).values())
        sizes = {"places": top_pixels(ridge.weights, windows)}
        flux = pixels(flux, draws)
        fused = side_by_side(flux, told, ridge.score)
        local, others = side_by_side(flux, ridge.score), side_by_side(told, ridge.score)
        return {"local": local, "global": others, "fused": fused}, sizes

    @lru_cache(maxsize=len(FUSIONS))
    def trained(model: str, level: float) -> Fitted:
        parts, sizes = seen(level)
        if model == "global":
            network = Mlp(**training)
        elif model == "local":
            network = Network("local_cnn", sizes, **training)
        else:
            features = parts["global"].train.features.shape[-1] - 1
            sizes = {**sizes, "features": features, "fusion": model}
            network = Network("two_tower", sizes, **training)
        own = parts.get(model, parts["fused"])
        return fit(OnRidge(network), own.train, own.valid)

    for case in table:
        if case.model == "plain":
            case.record(_plain(case.noise, stars, plain_epochs))
            continue
        parts = seen(case.noise)[0]
        own = parts.get(case.model, parts["fused"])
        tried = FUSIONS if case.model == "chosen" else (case.model,)
        models = [trained(name, case.noise) for name in tried]
        case.record(scored(min(models, key=lambda one: missed(one, own.valid)), own.test))
    return table


@experiment(
    plan="towers latent",
    claim="The teacher's latent lifts the global tower, and above .50 at noise 1",
    accept=[at_least("r2[both]", 0.5), more_than("r2[both] - r2[global]", 0.0)],
    needs=(*NEEDS, "latents@base"),
    figures=("losses", "scores"),
)
def latent_tower(
    stars: Count = 32_000,
    count: Count = 96,
    segments: Count = 24,
    plain_epochs: Count = 100,
    epochs: Count = 60,
    patience: Count = 10,
    noise_level: Noise = 1.0,
) -> Table:
    """The global tower, the teacher's latent in its place, both, and the plain network.

    In the draws of noise that latents are stored of, but for the first if there are others.
    """
    latent = latents(*READOUT, noise_level, stars=stars)
    draws = len(latent.train.features) - 1
    if draws:
        latent = latent._replace(train=replace(latent.train, features=latent.train.features[1:]))
    flux, ridge = _pixels(noise_level, stars, draws)
    told = side_by_side(*global_families(flux, ridge, count, segments, draws).values())
    features = {"global": told, "latent": latent, "both": side_by_side(told, latent)}
    table = over(features=(*features, "plain"))
    for case in table:
        if case.features == "plain":
            case.record(_plain(noise_level, stars, plain_epochs))
            continue
        parts = side_by_side(features[case.features], ridge.score)
        model = OnRidge(Mlp(**annealed(epochs, patience)))
        case.record(scored(fit(model, parts.train, parts.valid), parts.test))
    return table


def _pixels(level: float, stars: int, draws: int) -> tuple[Parts, Ridged]:
    """Flux, and a ridge on it whose score is of further draws of noise."""
    flux = spectra("flux", noise_level=level, stars=stars)
    return flux, ridged(flux, draws)


def _plain(level: float, stars: int, epochs: int) -> Score:
    """The plain network on whitened components of the same stars."""
    parts, model = plain_network(level, stars, epochs)
    return scored(fit(model, parts.train, parts.valid), parts.test)
