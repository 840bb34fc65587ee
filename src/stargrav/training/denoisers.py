"""What the trainings of all denoisers of programme `diffusion` have in common.

The settings are those of the section `diffusion`, as plain values: the stage stores them with each
network, and a variant is trained as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stargrav.data.loader import NoisySpectra
from stargrav.data.splits import sampled_rows
from stargrav.errors import InputError
from stargrav.spectrum import Spectra
from stargrav.training.batches import Batches
from stargrav.training.pairs import paired_batches
from stargrav.training.plan import Plan

MOST = 20_000  # spectra that the standardisation and the principal axes are fitted to


def plan_of(settings: Mapping[str, Any], seed: int, accelerator: str, progress: str) -> Plan:
    """How a network is trained."""
    told = ("epochs", "warmup", "clip", "patience", "precision")
    return Plan(
        **{name: settings[name] for name in told},
        schedule="cosine",
        accelerator=accelerator,
        seed=seed,
        progress=progress,
    )


def batches_of(
    train: Spectra,
    valid: Spectra,
    settings: Mapping[str, Any],
    axes: int,
    seed: int,
    device: torch.device,
) -> tuple[Batches, Batches, Tensor]:
    """Batches for training and validation, and spectra that stand for clean ones.

    Args:
        train: the pixels that the network sees, as for `valid`.
        valid: those of the validation stars.
        settings: batch_size, spectra and, where real pairs take the place of noise, pairs.
        axes: that are fitted to the spectra.
        seed: of the pipeline.
        device: where batches are wanted.

    Raises:
        InputError: there are too few pairs.
    """
    size, pairs = settings["batch_size"], settings.get("pairs")
    if pairs is not None:
        found = paired_batches(Path(pairs), train.wave, size, settings["spectra"], seed)
        clean = found[0].tensors["flux"]
        if len(clean) <= axes:
            expected = f"more than {axes} (diffusion.axes)"
            raise InputError(pairs, "pairs", f"{len(clean)} to train on", expected)
        return *found, clean[sampled_rows(len(clean), MOST, seed)]
    rows = sampled_rows(len(train), settings["spectra"], seed)
    order = torch.Generator(device)
    return (
        NoisySpectra(train, size, 1.0, rows, shuffle=True, generator=order, device=device),
        NoisySpectra(valid, size, 1.0, seed=seed, device=device),
        torch.from_numpy(train.flux[rows[:MOST]]),
    )
