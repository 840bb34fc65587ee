"""Stage `latents`: what the teacher's encoder holds for each noisy spectrum of each split."""

from __future__ import annotations

from pathlib import Path

from stargrav import models
from stargrav.data.splits import SPLITS
from stargrav.errors import InputError
from stargrav.inference.latents import Split, extract_latents
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.stages import Work, dataset


def build(work: Work, out: Path) -> None:
    """Extract all layers and poolings of the settings in one pass; several draws in train."""
    chosen = work.settings.latents
    folder = work.folders["train@teacher"]
    teacher = models.load(folder)
    if not isinstance(teacher, BlindSpotUNet):
        raise InputError(folder, "model", type(teacher).__name__, "a blind-spot denoiser")
    spectra = {split: dataset.read(work.folders["dataset"], split) for split in SPLITS}
    splits = {
        name: Split(each.flux, each.error, each.stars["id"].to_numpy())
        for name, each in spectra.items()
    }
    extract_latents(
        splits,
        teacher,
        chosen.readouts,
        out,
        chosen.noise_level,
        {name: chosen.draws if name == "train" else 1 for name in SPLITS},
        work.settings.seed,
    )
