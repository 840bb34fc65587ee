"""Stages `latents@...`: what a teacher's encoder holds for each noisy spectrum of each split.

A set of latents has a folder for each noise level; it grows in the scratch folder, where an
interrupted extraction goes on. Which teacher is read out stands in dvc.yaml;
the one that was trained on `observed` errors is given such errors here, too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stargrav import models
from stargrav.data.splits import SPLITS
from stargrav.errors import InputError
from stargrav.files import hash_tree
from stargrav.inference.latents import extract_latents
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.progress import Progress
from stargrav.stages import Work, dataset
from stargrav.stages.teacher import VARIANTS
from stargrav.training.device import device


def build(work: Work, out: Path) -> None:
    """Extract all layers and poolings of the settings, one pass for each noise level."""
    chosen = getattr(work.settings.latents, work.stage.partition("@")[2])
    (trained,) = (name for name in work.folders if name in VARIANTS)
    teacher = models.load(work.folders[trained])
    if not isinstance(teacher, BlindSpotUNet):
        found = type(teacher).__name__
        raise InputError(work.folders[trained], "model", found, "a blind-spot denoiser")
    spectra = {split: dataset.read(work.folders["dataset"], split) for split in SPLITS}
    error = VARIANTS[trained].error
    if error is not None:
        spectra = {split: replace(each, error_kind=error) for split, each in spectra.items()}
    draws = {name: chosen.draws if name == "train" else 1 for name in SPLITS}
    total = len(chosen.noise_levels) * sum(draws[name] * len(spectra[name]) for name in SPLITS)
    facts = {"dataset": hash_tree(work.folders["dataset"]), "trained": trained}
    with Progress(total=total, desc=work.stage, unit=" spectra") as bar:
        for level in chosen.noise_levels:
            extract_latents(
                spectra,
                teacher,
                chosen.readouts,
                work.scratch / f"noise-{level:g}",
                level,
                draws,
                work.settings.seed,
                facts,
                device=device(work.settings.accelerator),
                progress=bar.update,
            )
    for level in chosen.noise_levels:
        (work.scratch / f"noise-{level:g}").rename(out / f"noise-{level:g}")
