"""Stage `students`: networks that were taught the teacher's latent from the noisy flux alone.

A perceptron and a convolutional one; the experiments on students start from these. The noise of a
spectrum is that which its stored latents were read from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stargrav import models
from stargrav.data.loader import Clean
from stargrav.inference.draws import pixels
from stargrav.inference.latents import read_latents, read_manifest
from stargrav.models.pooling import READOUT
from stargrav.settings import Students
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.distillation import train_student
from stargrav.training.plan import Plan

KINDS = {"mlp": "widths", "conv": "channels"}  # student -> the setting that says its size
HISTORY = "history.csv"


def build(work: Work, out: Path) -> None:
    """Train both, and write weights, settings and histories."""
    spectra = {name: dataset.read(work.folders["dataset"], name) for name in ("train", "valid")}
    latents = work.folders["latents@base"] / "noise-1"
    settings = work.settings
    write(
        out, spectra, latents, settings.students, settings.seed, settings.accelerator, work.scratch
    )


def write(
    out: Path,
    spectra: Mapping[str, Spectra],
    latents: Path,
    chosen: Students,
    seed: int = 42,
    accelerator: str = "auto",
    scratch: Path | None = None,
) -> None:
    """Train both students.

    Args:
        out: folder to write into, one folder for each student.
        spectra: those of train and valid.
        latents: folder of the latents of one noise level.
        chosen: sizes and training.
        seed: of the pipeline.
        accelerator: for training: auto, cpu or gpu.
        scratch: a folder that outlives an interruption.
    """
    manifest = read_manifest(latents)
    train, valid = (
        _pairs(spectra[split], latents, split, manifest["noise_level"], seed)
        for split in ("train", "valid")
    )
    training = chosen.model_dump(exclude={*KINDS.values(), "dropout"})
    for kind, size in KINDS.items():
        plan = Plan(
            epochs=chosen.epochs,
            schedule=chosen.schedule,
            monitor="valid_r2",
            patience=chosen.patience,
            accelerator=accelerator,
            seed=seed,
            progress=f"{kind} student",
        )
        student, history = train_student(
            f"{kind}_student",
            {size: getattr(chosen, size), "dropout": chosen.dropout},
            train,
            valid,
            plan,
            learning_rate=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            batch_size=chosen.batch_size,
            folder=None if scratch is None else scratch / kind,
        )
        models.save(student, out / kind, **training)
        history.drop(columns="seconds").to_csv(out / kind / HISTORY, index=False)


def _pairs(
    spectra: Spectra, latents: Path, split: str, noise_level: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy flux (draws n, p) and the latents (draws n, d) that the teacher read from it."""
    z = read_latents(latents, *READOUT, split)
    clean, rows = Clean(spectra), np.arange(len(spectra))
    x = [pixels(clean, rows, ("flux",), noise_level, seed, draw) for draw in range(len(z))]
    return np.concatenate(x), np.array(z.reshape(len(z) * z.shape[1], -1))
