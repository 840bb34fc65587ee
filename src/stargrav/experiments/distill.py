"""Programme `distill`: is the denoiser's latent a better place to read log g from?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from stargrav import models
from stargrav.errors import InputError
from stargrav.experiments.inputs import NEEDS, Parts
from stargrav.experiments.spec import (
    Count,
    Fraction,
    Noise,
    NonNegative,
    Rate,
    at_least,
    experiment,
    more_than,
)
from stargrav.experiments.steps import (
    Fitted,
    Mlp,
    current,
    fit,
    latents,
    missed,
    over,
    plain_heads,
    score,
    score_by_best,
    spectra,
    training_sizes,
)
from stargrav.experiments.table import Table
from stargrav.models.blindspot import LAYERS
from stargrav.models.pooling import READOUT
from stargrav.models.probes import lightgbm, ols, principal_ridge, ridge
from stargrav.models.ridge import SweptRidge
from stargrav.training.device import device
from stargrav.training.plan import Plan

POOLINGS = ("global_mean", "mean_max", "seg_mean_8", "seg_mean_16")
LEVELS = (0.0, 0.1, 0.5, 1.0)
PROBES = ("ridge", "lightgbm")
DIMENSIONS = (16, 32, 64, 128)
JUDGED = 32  # of them
STEPS = ("frozen", "fresh", "finetuned")  # of training the encoder for log g
SIZES = (1_000, 32_000, 100_000)


@experiment(
    plan="distill 1.1",
    claim="The teacher's deepest layer, averaged over the spectrum, tells log g to simple models",
    accept=[at_least("r2[log_g,ridge,all]", 0.5), at_least("r2[log_g,lightgbm,all]", 0.25)],
    published={
        "r2[T_eff,ridge,all]": 0.9775,
        "r2[M_H,ridge,all]": 0.9599,
        "r2[log_g,ridge,all]": 0.2192,
        "r2[log_g,lightgbm,all]": 0.2830,
        "r2[a_M,ridge,all]": 0.1908,
        "r2[C_M,ridge,all]": 0.1396,
    },
    needs=NEEDS,
    figures=("scores", "predicted", "residual"),
    serves="log_g,ridge,all",
)
def linear_probe(
    alpha: NonNegative = 1e-3, leaves: Count = 15, trees: Count = 50, noise_level: Noise = 1.0
) -> Table:
    """Each label from enc_last + global_mean, by OLS, Ridge and LightGBM at growing sizes."""
    z = latents("enc_last", "global_mean", noise_level)
    table = over(
        label=z.varying_labels(judged="log_g"),
        probe={"ols": ols(), "ridge": ridge(alpha), "lightgbm": lightgbm(leaves, trees)},
        size=training_sizes(z.train, SIZES),
    )
    for case in table:
        model = fit(case.probe, case.size, z.valid, target=case.label)
        case.record(score(model, z.test))
    return table


@experiment(
    plan="distill 1.2",
    claim="Towards high noise the latent loses less log g than the flux, and holds no less",
    accept=[
        *(
            more_than(
                f"r2[flux,{probe},{level},0.1] - r2[flux,{probe},{own},1]"
                f" - r2[latent,{probe},{level},0.1] + r2[latent,{probe},{own},1]",
                0.0,
            )
            for probe in PROBES
            for level, own in (("0.1", "1"), ("0.5", "0.5"))
        ),
        *(at_least(f"r2[latent,{probe},1,1] - r2[flux,{probe},1,1]", 0.0) for probe in PROBES),
    ],
    needs=(*NEEDS, "latents@noise"),
    figures=("noise",),
)
def noise_robustness(stars: Count = 32_000, leaves: Count = 15, trees: Count = 50) -> Table:
    """Probes on latents and on flux of the same stars, trained at each noise, tested at each."""
    probes = dict(zip(PROBES, (SweptRidge(), lightgbm(leaves, trees)), strict=True))

    @cache
    def seen(source: str, level: float) -> Parts:
        if source == "latent":
            return latents(*READOUT, level, stars=stars, draws=1)
        return spectra("flux", noise_level=level, stars=stars)

    @cache
    def trained(source: str, probe: str, level: float) -> Fitted:
        return fit(probes[probe], seen(source, level).train, seen(source, level).valid)

    table = over(input=("latent", "flux"), probe=PROBES, trained=LEVELS, tested=LEVELS)
    for case in table:
        model = trained(case.input, case.probe, case.trained)
        case.record(score(model, seen(case.input, case.tested).test))
    return table


@experiment(
    plan="distill 1.3",
    claim="Thirty-two principal components of the latent hold nearly all of its log g",
    accept=[at_least("r2[32] / r2[full]", 0.95)],
    needs=NEEDS,
    figures=("dimension",),
)
def latent_dim(alpha: NonNegative = 1e-3, noise_level: Noise = 1.0) -> Table:
    """Ridge on the leading principal components of enc_pre_latent + seg_mean_8."""
    z = latents(*READOUT, noise_level)
    width = z.train.features.shape[-1]
    if width <= JUDGED:
        raise InputError("latents", "width", width, f"more than the {JUDGED} that are judged")
    probes = {str(n): principal_ridge(n, alpha) for n in DIMENSIONS if n < width}
    table = over(dimensions={**probes, "full": ridge(alpha)})
    for case in table:
        case.record(score(fit(case.dimensions, z.train, z.valid), z.test))
    return table


@experiment(
    plan="distill 1.4",
    claim="Segments of the pre-latent layer keep log g that the last layer and its mean lose",
    accept=[
        at_least("r2[all,chosen]", 0.5),
        more_than("r2[enc_pre_latent,seg_mean_8] - r2[enc_last,seg_mean_8]", 0.0),
    ],
    published={"r2[enc_pre_latent,seg_mean_8]": 0.5516, "r2[enc_last,global_mean]": 0.2202},
    needs=(*NEEDS, "latents@layers"),
    figures=("layers",),
)
def latent_extraction(alpha: NonNegative = 1e-3, noise_level: Noise = 1.0) -> Table:
    """Ridge on each layer in each pooling, and on all layers side by side.

    `chosen` is the pooling of a layer that does best on the valid stars.
    """
    table = over(layer=(*LAYERS, "all"), pooling=(*POOLINGS, "chosen"))
    found, wrong = {}, {}
    for case in table:
        pooling = case.pooling
        if pooling == "chosen":
            pooling = min(POOLINGS, key=wrong.__getitem__)
        else:
            if case.layer == "all":
                parts = _all_layers(pooling, noise_level, draws=1)
            else:
                parts = latents(case.layer, pooling, noise_level, draws=1)
            model = fit(ridge(alpha), parts.train, parts.valid)
            found[pooling], wrong[pooling] = score(model, parts.test), missed(model, parts.valid)
        case.record(found[pooling], rmse_valid=wrong[pooling] ** 0.5)
    return table


@experiment(
    plan="distill 2.2a",
    claim="A small network reads more log g from the frozen encoder's latent than a linear model",
    accept=[more_than("r2[mlp] - r2[ridge]", 0.0)],
    published={
        "r2[ridge]": 0.5516,
        "r2[mlp]": 0.6117,
        "mae[mlp]": 0.5747,
        "rmse[mlp]": 0.7436,
    },
    needs=NEEDS,
    figures=("losses", "predicted", "residual", "scores"),
    serves="mlp",
)
def encoder_mlp(
    alpha: NonNegative = 1e-3,
    widths: tuple[Count, ...] = (256, 64),
    dropout: Fraction = 0.1,
    learning_rate: Rate = 1e-3,
    weight_decay: NonNegative = 1e-2,
    batch_size: Count = 256,
    epochs: Count = 200,
    patience: Count = 15,
    fresh_noise: bool = False,
    noise_level: Noise = 1.0,
) -> Table:
    """log g from enc_pre_latent + seg_mean_8, by Ridge and by a network on the same latents."""
    z = latents(*READOUT, noise_level)
    mlp = Mlp(
        widths,
        dropout,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        epochs=epochs,
        patience=patience,
        fresh_noise=fresh_noise,
    )
    table = over(model={"ridge": ridge(alpha), "mlp": mlp})
    for case in table:
        case.record(score(fit(case.model, z.train, z.valid), z.test))
    return table


@experiment(
    plan="distill question",
    claim="The denoiser's latent is a better place to read log g from than the spectrum",
    accept=[
        more_than("r2[latent] - r2[flux]", 0.0),
        more_than("r2[all_layers] - r2[flux]", 0.0),
        more_than("r2[latent_observed] - r2[flux]", 0.0),
        more_than("r2[latent_no_error] - r2[flux]", 0.0),
    ],
    needs=(
        *("dataset", "train@teacher", "limits"),
        *("latents@layers", "latents@observed", "latents@no_error"),
    ),
    figures=("scores",),
)
def latent_vs_flux(
    stars: Count = 32_000, draws: Count = 1, epochs: Count = 100, patience: Count = 8
) -> Table:
    """log g of the same stars from flux and from teachers' latents, by the best of four heads.

    Which is the best the valid stars say (`score_by_best`). The teacher of `latent` and of
    `all_layers`, three layers in their finest segments, is told the noiseless error, a clean copy
    that the flux does not hold; `latent_observed` is of one that is told errors as observed,
    `latent_no_error` of one that sees flux alone, as the heads on flux do.
    """
    teachers = {
        "latent": "teacher",
        "latent_observed": "teacher_observed",
        "latent_no_error": "teacher_no_error",
    }
    table = over(input=("flux", "all_layers", *teachers))
    for case in table:
        if case.input == "flux":
            seen = spectra("flux", stars=stars, draws=draws)
        elif case.input == "all_layers":
            seen = _all_layers("seg_mean_16", stars=stars, draws=draws)
        else:
            teacher = teachers[case.input]
            seen = latents(*READOUT, teacher=teacher, stars=stars, draws=draws)
        case.record(score_by_best(plain_heads(epochs, patience), seen))
    return table


def _all_layers(pooling: str, *which: float, **sizes: int) -> Parts:
    """Latents of all layers side by side; how else they are chosen see `steps.latents`."""
    first, *others = (latents(layer, pooling, *which, **sizes) for layer in LAYERS)
    for other in others:
        first = Parts(*(a.beside(b) for a, b in zip(first, other, strict=True)))
    return first


@experiment(
    plan="distill 2.2b",
    claim="The encoder, trained on for log g, reads at least as much of it as the frozen one",
    accept=[
        at_least("r2[finetuned] - r2[frozen]", 0.0),
        at_least("r2[finetuned] - r2[fresh]", 0.0),
        at_least("r2[observed_finetuned] - r2[observed_frozen]", 0.0),
        at_least("r2[observed_finetuned] - r2[observed_fresh]", 0.0),
    ],
    needs=(*NEEDS, "train@teacher_observed", "latents@observed"),
    figures=("losses", "predicted", "scores"),
)
def finetune_encoder(
    stars: Count = 32_000,
    learning_rate: Rate = 1e-4,
    weight_decay: NonNegative = 1e-2,
    batch_size: Count = 32,
    epochs: Count = 20,
    patience: Count = 4,
    noise_level: Noise = 1.0,
) -> Table:
    """The network of encoder_mlp, and the same with its encoder trained further at a lower rate.

    Noise is drawn anew in each epoch; the statistics of the batch norm stay as they are. `fresh`
    is trained further on the same spectra, too, with its encoder frozen: what new noise gains.

    A noiseless error array is a copy of the clean spectrum, from which an encoder that is trained
    for log g may learn to read it. `observed_...` start from the teacher that has seen errors as
    observed, and see these.
    """
    table = over(model=[f"{error}{model}" for error in ("", "observed_") for model in STEPS])
    how = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    frozen: dict[str, Fitted] = {}
    for case in table:
        error, _, model = case.model.rpartition("_")
        teacher = f"teacher_{error}" if error else "teacher"
        if model == "frozen":
            z = latents(*READOUT, noise_level, teacher=teacher)
            frozen[error] = fit(Mlp(), z.train, z.valid)
            case.record(score(frozen[error], z.test))
            continue
        asked = {"noise_level": noise_level, "error": error or None, "stars": stars}
        seen = spectra("flux", "error", **asked)
        plan = Plan(epochs, "constant", "valid_r2", patience, progress=f"encoder, {case.model}")
        how["frozen"] = model == "fresh"
        on = _trained_on(teacher, frozen[error], seen, plan, batch_size, how)
        case.record(score(on, seen.test))
    return table


def _trained_on(
    name: str,
    frozen: Fitted,
    seen: Parts,
    plan: Plan,
    batch_size: int,
    how: Mapping[str, float],
) -> Fitted:
    """Train a teacher's encoder and a head further, from where the head was trained on stored
    latents."""
    from stargrav.training.finetune import train_encoder

    found = current()
    plan = replace(plan, seed=found.seed, accelerator=found.accelerator)
    teacher = models.load(found.inputs.folder(f"train@{name}"))
    model, history = train_encoder(
        teacher,
        frozen.estimator,
        frozen.readout,
        found.inputs.fresh_spectra(seen.train, batch_size, device(found.accelerator)),
        (seen.valid.features[0], seen.valid.stars[frozen.target]),
        frozen.target,
        plan,
        folder=found.training_folder(),
        identity=found.hashes,
        **how,
    )
    columns = {"n_train": len(seen.train), "draws": 1}
    epochs = history.drop(columns="seconds").to_dict("records")
    return Fitted(model, frozen.target, frozen.readout, columns, epochs)
