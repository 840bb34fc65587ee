"""Programme `logg_1m`: what a transformer is taught, and what it learns before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from stargrav.metrics.estimate import Estimate

NEAR = 0.01  # R2 below the base's best that counts as having reached it


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
    """Log g alone, and three labels with gradients in balance."""
    return compared({"one": base, "three": partial(variant, labels=varying())})


@experiment(
    plan="logg_1m 2.1",
    claim="Learning to fill in hidden tokens first leads further than more training does, and "
    "faster",
    accept=[
        more_than("r2[pretrained,all] - r2[base,all]", 0.0),
        more_than("r2[pretrained,all] - r2[longer,all]", 0.0),
        more_than("epochs[longer,all] - epochs[pretrained,all]", 0.0),
        beats_plain("pretrained"),
    ],
    needs=NEEDS,
    figures=("losses", "scores"),
)
def masked_pretraining(hidden: Rate = 0.25, pretraining_epochs: Count = 4) -> Table:
    """The base, the base pretrained, and the base trained longer by as many epochs.

    `pretrained` and `longer` see more spectra than the plain network, which sees as many as the
    base. `epochs` is how many each takes, a pretraining counted, to read as much of the valid
    stars as the base at its best, less .01; one more than it has if it never does.
    """
    longer = settings()[1]["epochs"] + pretraining_epochs
    before = {"hidden": hidden, "pretraining_epochs": pretraining_epochs}
    others = {"pretrained": partial(variant, **before), "longer": partial(variant, epochs=longer)}
    table = compared({"base": base, **others})
    reached = {name: table.case(f"{name},all").score.history for name in ("base", *others)}
    mark = max(row["valid_r2"] for row in reached["base"]) - NEAR
    for name, history in reached.items():
        case = table.case(f"{name},all")
        epochs = _epochs_to(mark, history) + (pretraining_epochs if name == "pretrained" else 0)
        case.score = case.score.also(epochs=Estimate.exact(epochs))
    return table


def _epochs_to(mark: float, history: Sequence[Mapping[str, float]]) -> int:
    """The first epoch whose R2 of the valid stars is at the mark; one more than there are if none
    is."""
    reached = (row["epoch"] for row in history if row["valid_r2"] >= mark)
    return int(next(reached, len(history) + 1))


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
    claim="A network that tells its spread has fewer outliers, and the spread is true at any SNR",
    accept=[
        more_than("outliers[point,all] - outliers[gaussian,all]", 0.0),
        between("pull_spread[gaussian,all]", 0.9, 1.1),
        *(between(f"pull_spread_snr_{third}[gaussian,all]", 0.9, 1.1) for third in (1, 2, 3)),
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
