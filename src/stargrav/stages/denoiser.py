"""Stage `denoiser`: the networks that programme `diffusion` judges, trained on the same stars.

prior         a diffusion model of clean spectra
conditional   one of clean spectra given the noisy one and its error; residuals are measured from
              what a normal prior says given these (see `diffusion.denoise`)
dncnn         the baseline, which answers at once (`models.dncnn`)

They see the reddest pixels of the arm, or all of it. The settings of the training are stored with
each: a variant is trained as it was, but for what it changes. Beside a diffusion model lie figures
of its samples, one for every tenth epoch and one for the epoch that is kept.

With `diffusion.pairs`, a folder of LAMOST spectra, `conditional` and `dncnn` learn from pairs of
visits on the same wavelengths instead (`training.pairs`, which says what that is worth); `prior`
stays with simulated spectra, since no visit is clean. The folder is known by its name, not by what
is in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from stargrav import models
from stargrav.plots.spectra import stacked
from stargrav.plots.style import COLORS, STYLE, save
from stargrav.settings import Diffusion
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.denoisers import batches_of, plan_of
from stargrav.training.device import device
from stargrav.training.diffusion import train_diffusion
from stargrav.training.dncnn import train_dncnn

HISTORY = "history.csv"
SAMPLES = "samples"  # folder of the figures
EVERY = 10  # epochs
UNET = {"prediction", "axes", "channels", "kernel", "stride", "heads", "conditioning"}
TOLD = {"prior": (), "conditional": ("noisy", "error")}


def build(work: Work, out: Path) -> None:
    """Train the network that the stage is named after, and write weights and history."""
    spectra = {name: dataset.read(work.folders["dataset"], name) for name in ("train", "valid")}
    kind, settings = work.stage.partition("@")[2], work.settings
    write(
        out, kind, spectra, settings.diffusion, settings.seed, settings.accelerator, work.scratch
    )


def write(
    out: Path,
    kind: str,
    spectra: Mapping[str, Spectra],
    chosen: Diffusion,
    seed: int = 42,
    accelerator: str = "auto",
    scratch: Path | None = None,
) -> None:
    """Train a network.

    Args:
        out: folder to write into.
        kind: `prior`, `conditional` or `dncnn`.
        spectra: those of train and valid.
        chosen: sizes and training.
        seed: of the pipeline.
        accelerator: for training: auto, cpu or gpu.
        scratch: a folder that outlives an interruption.
    """
    if kind == "prior":
        chosen = chosen.model_copy(update={"pairs": None})
    train, valid = (spectra[name].reddest(chosen.pixels) for name in ("train", "valid"))
    training = chosen.model_dump(exclude=UNET)
    place = device(accelerator)
    batches, checks, clean = batches_of(train, valid, training, chosen.axes, seed, place)
    plan = plan_of(training, seed, accelerator, kind)
    if kind == "dncnn":
        sizes, rate = chosen.dncnn.model_dump(), chosen.dncnn_learning_rate
        network, history = train_dncnn(batches, checks, sizes, plan, rate, scratch)
    else:
        seen = (scratch or out) / SAMPLES  # those of the epochs before an interruption, too
        seen.mkdir(parents=True, exist_ok=True)

        def watch(epoch: int, samples: Tensor) -> None:
            draw(train.wave, samples, f"{kind}, epoch {epoch}", seen / f"epoch_{epoch:03d}.png")

        network, history = train_diffusion(
            batches,
            checks,
            clean,
            _sizes(kind, chosen),
            plan,
            told=TOLD[kind],
            learning_rate=chosen.learning_rate,
            decay=chosen.decay,
            watch=watch,
            every=EVERY,
            folder=scratch,
        )
        if scratch is not None:
            shutil.copytree(seen, out / SAMPLES)
    facts = chosen.model_dump(exclude=UNET if chosen.pairs else {*UNET, "pairs"})
    models.save(network, out, told=list(TOLD.get(kind, ())), **facts)
    history.drop(columns="seconds").to_csv(out / HISTORY, index=False)


def _sizes(kind: str, chosen: Diffusion) -> dict[str, Any]:
    """Sizes of the U-Net, and what it predicts."""
    sizes = chosen.model_dump(include=UNET)
    if kind == "conditional" and chosen.prediction == "residual":
        sizes["prediction"] = "posterior_residual"
    return sizes


def draw(wave: np.ndarray, samples: Tensor, title: str, path: Path) -> None:
    """Draw samples (n, pixels), flux at `wave` (pixels,) [A], one above the other."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 7.0), layout="constrained")
        stacked(wave, samples.numpy(), COLORS[0], figure.subplots())
        figure.suptitle(title, x=0.01, ha="left")
    save(figure, path)
