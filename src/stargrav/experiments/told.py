"""Programme `diffusion`: what a conditional model has to be told of the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from stargrav import models
from stargrav.data import store
from stargrav.experiments.denoisers import Stars, Steps, conditional, place
from stargrav.experiments.spec import Count, experiment, more_than
from stargrav.experiments.steps import current, over
from stargrav.experiments.table import Score, Table
from stargrav.inference import diffused
from stargrav.models.unet1d import UNet1d

History = list[Mapping[str, Any]]
FOLLOWING = {"pixels", "condition"}  # settings of a network that follow from what it is given
TOLD = {"noisy": ("noisy",), "ivar": ("noisy", "ivar"), "error": None}  # None: the stored one's


@experiment(
    plan="diffusion 1.2",
    claim="A diffusion model that is told the inverse variance of the noisy spectrum denoises "
    "better where SNR is low",
    accept=[more_than("mse[noisy,low] - mse[ivar,low]", 0.0)],
    needs=("dataset", "denoiser@conditional"),
    figures=("snr_thirds",),
)
def ivar_conditioning(stars: Count = 1000, draws: Count = 8, steps: Steps = 25) -> Table:
    """Networks told the noisy flux alone (`noisy`), with its inverse variance (`ivar`) and with
    its error (`error`, the one of the other experiments, whose residual may be measured from a
    posterior besides), by thirds of the test stars by SNR.

    `mse` is that of the mean of the draws, `mse_once` that of what the network says without any,
    both in units of the noise's variance.
    """
    chosen = Stars(stars)
    seed, where = current().seed, place()

    @lru_cache(maxsize=1)
    def denoised(told: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray, History]:
        network, told, history = _trained(told) if told else _stored()
        seen = (network, told, *chosen.measured)
        found = diffused.posterior_draws(*seen, draws, seed, steps=steps, device=where)
        return found.mean(axis=1), diffused.at_once(*seen, seed, where), history

    table = over(told=TOLD, stars=chosen.groups)
    for case in table:
        mean, once, history = denoised(case.told)
        metrics = {
            "mse": chosen.missed(mean, case.stars),
            "mse_once": chosen.missed(once, case.stars),
        }
        snr = float(np.median(chosen.snr[case.stars]))
        history = history if case.labels["stars"] == "all" else ()
        case.record(Score(metrics, {"n_test": len(case.stars), "snr": snr}, history=history))
    return table


def _stored() -> tuple[UNet1d, Sequence[str], History]:
    """The network of the stage, what it is told, and its history."""
    history = pd.read_csv(current().inputs.folder("denoiser@conditional") / "history.csv")
    return *conditional(), _rows(history)


def _trained(told: Sequence[str]) -> tuple[UNet1d, Sequence[str], History]:
    """A network trained as the stored one was, but for what it is told.

    One that is not told the error measures its residual from what x_t alone says: a posterior
    would tell it.

    Interrupted and called again, its training goes on where it was.
    """
    from stargrav.training.denoisers import batches_of, plan_of
    from stargrav.training.diffusion import train_diffusion

    found, where = current(), place()
    config = models.read_config(found.inputs.folder("denoiser@conditional"))
    settings, training = config["settings"], config["facts"]
    spectra = (
        store.read_spectra(found.inputs.folder("dataset") / f"{split}.h5")
        for split in ("train", "valid")
    )
    seen = (each.reddest(settings["pixels"]) for each in spectra)
    sizes = {name: value for name, value in settings.items() if name not in FOLLOWING}
    if sizes["prediction"] == "posterior_residual" and "error" not in told:
        sizes["prediction"] = "residual"
    network, history = train_diffusion(
        *batches_of(*seen, training, settings["axes"], found.seed, where),
        sizes,
        plan_of(training, found.seed, found.accelerator, "told " + " and ".join(told)),
        told=told,
        learning_rate=training["learning_rate"],
        decay=training["decay"],
        folder=found.training_folder(),
        identity=found.hashes,
    )
    return network, told, _rows(history)


def _rows(history: pd.DataFrame) -> History:
    """A row for each epoch, without R2, which no diffusion model has, and seconds."""
    kept = history.drop(columns=["valid_r2", "seconds"], errors="ignore")
    return kept.to_dict("records")
