"""Programme `logg_1m`: what a transformer is taught, and what it learns before."""

from __future__ import annotations

from functools import partial

from stargrav import models
from stargrav.experiments.spec import Count, Rate, between, experiment, more_than
from stargrav.experiments.steps import current
from stargrav.experiments.table import Table
from stargrav.experiments.transformer import (
    NEEDS,
    base,
    beats_plain,
    compared,
    label_range,
    settings,
    variant,
    varying,
)


@experiment(
    plan="logg_1m 1.5",
    claim="T_eff and M_H taught beside log g lower its mean error and its bias",
    accept=[
        more_than("mae[one,all] - mae[three,all]", 0.0),
        more_than("bias[one,all] - bias[three,all]", 0.0),
        beats_plain("three"),
    ],
    needs=NEEDS,
    figures=("bias_map", "scores"),
)
def multitask() -> Table:
    """Log g alone, and three labels whose errors are weighed equally."""
    return compared({"one": base, "three": partial(variant, labels=varying())})


@experiment(
    plan="logg_1m 2.1",
    claim="Learning to fill in hidden tokens first leads further than more training does",
    accept=[
        more_than("r2[pretrained,all] - r2[base,all]", 0.0),
        more_than("r2[pretrained,all] - r2[longer,all]", 0.0),
        beats_plain("pretrained"),
    ],
    needs=NEEDS,
    figures=("losses", "scores"),
)
def masked_pretraining(hidden: Rate = 0.25, pretraining_epochs: Count = 4) -> Table:
    """The base, the base pretrained, and the base trained longer by as many epochs.

    `pretrained` and `longer` see more spectra than the plain network, which sees as many as the
    base.
    """
    longer = settings()[1]["epochs"] + pretraining_epochs
    before = {"hidden": hidden, "pretraining_epochs": pretraining_epochs}
    others = {"pretrained": partial(variant, **before), "longer": partial(variant, epochs=longer)}
    return compared({"base": base, **others})


@experiment(
    plan="logg_1m 2.2",
    claim="A frozen denoiser in front helps to read log g",
    accept=[
        more_than("r2[denoised,all] - r2[noisy,all]", 0.0),
        beats_plain("denoised"),
    ],
    needs=(*NEEDS, "train@teacher"),
    figures=("scores",),
)
def denoising_pretraining() -> Table:
    """The noisy flux, and the flux as the teacher denoises it.

    The teacher sees the error, too: with noiseless errors a gain may be the shortcut, a loss
    cannot.
    """
    teacher = models.load(current().inputs.folder("train@teacher"))
    return compared({"noisy": base, "denoised": partial(variant, denoiser=teacher)})


@experiment(
    plan="logg_1m 3.2",
    claim="A network that tells its spread has fewer outliers, and the spread is true",
    accept=[
        more_than("outliers[point,all] - outliers[gaussian,all]", 0.0),
        between("pull_spread[gaussian,all]", 0.9, 1.1),
        beats_plain("gaussian"),
    ],
    needs=NEEDS,
    figures=("predicted", "scores"),
)
def heteroscedastic() -> Table:
    """Log g by least squares, and with its variance by the Gaussian likelihood."""
    return compared({"point": base, "gaussian": partial(variant, answer="gaussian")})


@experiment(
    plan="logg_1m 3.6",
    claim="Bins of log g, with an offset in each, have fewer outliers than one number",
    accept=[
        more_than("outliers[point,all] - outliers[ordinal,all]", 0.0),
        beats_plain("ordinal"),
    ],
    needs=NEEDS,
    figures=("predicted", "scores"),
)
def ordinal() -> Table:
    """Log g by least squares, and by bins of .25 dex."""
    bins = partial(variant, answer="ordinal", bins=label_range("log_g"))
    return compared({"point": base, "ordinal": bins})
