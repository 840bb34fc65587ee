"""Programme `distill`: is the denoiser's latent a better place to read log g from?"""

from __future__ import annotations

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
from stargrav.experiments.steps import Mlp, fit, latents, over, score, training_sizes
from stargrav.experiments.table import Table
from stargrav.models.probes import lightgbm, ols, ridge

SIZES = (1_000, 32_000, 100_000)
NEEDS = ("dataset", "train@teacher", "latents@base")


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
    z = latents("enc_pre_latent", "seg_mean_8", noise_level)
    mlp = Mlp(
        widths, dropout, learning_rate, weight_decay, batch_size, epochs, patience, fresh_noise
    )
    table = over(model={"ridge": ridge(alpha), "mlp": mlp})
    for case in table:
        case.record(score(fit(case.model, z.train, z.valid), z.test))
    return table
