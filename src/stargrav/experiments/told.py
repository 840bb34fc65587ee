"""Programme `diffusion`: what a conditional model has to be told of the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from stargrav import models
from stargrav.data import store
from stargrav.data.loader import NoisySpectra
from stargrav.experiments.denoisers import Stars, Steps, conditional, place
from stargrav.experiments.inputs import Part
from stargrav.experiments.spec import Count, experiment, more_than
from stargrav.experiments.steps import current, over, spectra
from stargrav.experiments.table import Score, Table
from stargrav.inference import diffused
from stargrav.models.unet1d import UNet1d
from stargrav.spectrum import Spectra
from stargrav.training.plan import Plan

History = list[Mapping[str, Any]]
FOLLOWING = {"pixels", "condition"}  # settings of a network that follow from what it is given
MOST = 20_000  # spectra that the stored network's standardisation and axes were fitted to
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
    its error (`error`, the one of the other experiments), by thirds of the test stars by SNR.

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

    Interrupted and called again, its training goes on where it was.
    """
    from stargrav.training.diffusion import train_diffusion

    found, where = current(), place()
    config = models.read_config(found.inputs.folder("denoiser@conditional"))
    settings, training = config["settings"], config["facts"]
    parts = spectra(stars=training["spectra"])
    train, valid = (_reddest(part, settings["pixels"]) for part in parts[:2])
    rows, size = parts.train.index, training["batch_size"]
    network, history = train_diffusion(
        NoisySpectra(
            train,
            size,
            noise_level=1.0,
            rows=rows,
            shuffle=True,
            generator=torch.Generator(where),
            device=where,
        ),
        NoisySpectra(valid, size, noise_level=1.0, seed=found.seed, device=where),
        torch.from_numpy(train.flux[rows[:MOST]]),
        {name: value for name, value in settings.items() if name not in FOLLOWING},
        _plan(training, "conditional on " + " and ".join(told)),
        told=told,
        learning_rate=training["learning_rate"],
        decay=training["decay"],
        folder=found.training_folder(),
        identity=found.hashes,
    )
    return network, told, _rows(history)


def _plan(training: Mapping[str, Any], progress: str) -> Plan:
    """How the stored network was trained."""
    told = ("epochs", "warmup", "clip", "patience", "precision")
    return Plan(
        **{name: training[name] for name in told},
        schedule="cosine",
        accelerator=current().accelerator,
        seed=current().seed,
        progress=progress,
    )


def _reddest(part: Part, pixels: int) -> Spectra:
    """Spectra of a split, the pixels that the networks see."""
    whole = store.read_spectra(part.path)
    flux, error = whole.flux[:, -pixels:], whole.error[:, -pixels:]
    return replace(whole, wave=whole.wave[-pixels:], flux=flux, error=error)


def _rows(history: pd.DataFrame) -> History:
    """A row for each epoch, without R2, which no diffusion model has, and seconds."""
    kept = history.drop(columns=["valid_r2", "seconds"], errors="ignore")
    return kept.to_dict("records")
