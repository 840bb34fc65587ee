"""Stage `latents`: what the teacher's encoder holds for each noisy spectrum of each split."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from stargrav import models
from stargrav.data.splits import SPLITS
from stargrav.errors import InputError
from stargrav.files import hash_tree
from stargrav.inference.latents import extract_latents
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.stages import Work, dataset
from stargrav.training.device import device


def build(work: Work, out: Path) -> None:
    """Extract all layers and poolings of the settings in one pass; several draws in train."""
    chosen = work.settings.latents
    folder = work.folders["train@teacher"]
    teacher = models.load(folder)
    if not isinstance(teacher, BlindSpotUNet):
        raise InputError(folder, "model", type(teacher).__name__, "a blind-spot denoiser")
    spectra = {split: dataset.read(work.folders["dataset"], split) for split in SPLITS}
    draws = {name: chosen.draws if name == "train" else 1 for name in SPLITS}
    total = sum(draws[name] * len(each) for name, each in spectra.items())
    with tqdm(total=total, desc="latents", unit="spectrum", leave=False) as bar:
        extract_latents(
            spectra,
            teacher,
            chosen.readouts,
            out,
            chosen.noise_level,
            draws,
            work.settings.seed,
            {"dataset": hash_tree(work.folders["dataset"])},
            device=device(work.settings.accelerator),
            progress=bar.update,
        )
