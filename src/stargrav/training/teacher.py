"""Training of the teacher: the blind-spot denoiser on spectra with noise drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from stargrav.models.blindspot import BlindSpotUNet
from stargrav.training.batches import Batches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import DenoiserTask


def train_teacher(
    train: Batches,
    valid: Batches,
    sizes: Mapping[str, Any],
    plan: Plan,
    loss: str = "T1",
    noise_level: float = 1.0,
    learning_rate: float = 5e-4,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[BlindSpotUNet, pd.DataFrame]:
    """Build and train a teacher.

    Args:
        train: batches of flux, noisy and error (n, pixels), noise drawn anew in each pass.
        valid: the same with fixed noise.
        sizes: arguments of `BlindSpotUNet`.
        plan: of the training.
        loss: `T1`, `E1` or `E2`.
        noise_level: of the batches, in units of their error.
        learning_rate: of Adam.
        folder: where training is kept and resumed from.
        identity: see `fit`; sizes, loss, noise level and rate are added to it.

    Returns:
        the teacher with its best weights, and its history (see `fit`).
    """
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        model = BlindSpotUNet(**sizes)
    task = DenoiserTask(model, loss, noise_level, learning_rate)
    settings = {
        "sizes": model.config,
        "loss": loss,
        "noise_level": noise_level,
        "learning_rate": learning_rate,
    }
    history = fit(task, train, valid, plan, folder, {**(identity or {}), **settings})
    return model, history
