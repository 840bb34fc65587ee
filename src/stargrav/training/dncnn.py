"""Training of DnCNN: the mean square error of the clean flux, with noise drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from stargrav.models.dncnn import DnCnn
from stargrav.training.batches import Batches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import Batch, Task


class DnCnnTask(Task):
    """Training on batches of flux, noisy and error; Adam (Kingma & Ba 2015)."""

    def loss(self, batch: Batch) -> Tensor:
        """Mean square error of the clean flux."""
        return F.mse_loss(self.model(batch["noisy"], batch["error"]), batch["flux"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)


def train_dncnn(
    train: Batches,
    valid: Batches,
    sizes: Mapping[str, Any],
    plan: Plan,
    learning_rate: float = 1e-3,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[DnCnn, pd.DataFrame]:
    """Build and train a DnCNN.

    Args:
        train: batches of flux, noisy and error (n, pixels), noise drawn anew in each pass.
        valid: the same with fixed noise.
        sizes: arguments of `DnCnn`.
        plan: of the training.
        learning_rate: of Adam.
        folder: where training is kept and resumed from.
        identity: see `fit`; sizes and rate are added to it.

    Returns:
        the network with its best weights, and its history (see `fit`).
    """
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        model = DnCnn(**sizes)
    settings = {"sizes": model.config, "learning_rate": learning_rate}
    task = DnCnnTask(model, learning_rate)
    history = fit(task, train, valid, plan, folder, {**(identity or {}), **settings})
    return model, history
