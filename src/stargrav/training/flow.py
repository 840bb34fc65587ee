"""Training of a posterior: the likelihood of the true labels, with noise drawn anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from stargrav.models.flow import PosteriorFlow
from stargrav.training.batches import Batches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import Batch, Task


class FlowTask(Task):
    """Training on batches of noisy, error and labels; AdamW (Loshchilov & Hutter 2019).

    Args:
        model: the flow.
        learning_rate: of AdamW.
        columns: of the batches' labels that the flow is about.
    """

    def __init__(self, model: PosteriorFlow, learning_rate: float, columns: Sequence[int]) -> None:
        super().__init__(model, learning_rate)
        self.columns = list(columns)

    def loss(self, batch: Batch) -> Tensor:
        """Mean of -log p(z | what is told), in nats; that of the prior is 1.42 for each label."""
        told = self.model.told(batch["noisy"], batch["error"])
        return -self.model(batch["labels"][:, self.columns], told).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.model.parameters(), lr=self.learning_rate)


def train_flow(
    train: Batches,
    valid: Batches,
    known: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    plan: Plan,
    columns: Sequence[int],
    learning_rate: float = 1e-3,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[PosteriorFlow, pd.DataFrame]:
    """Build and train a posterior.

    Args:
        train: batches of noisy, error and labels, noise drawn anew in each pass.
        valid: the same with fixed noise.
        known: noisy (n, pixels), error (n, pixels) and labels (n, k) of training stars, which
            components, scales and ranges are found from.
        sizes: arguments of `PosteriorFlow`; pixels and labels follow from the others.
        plan: of the training.
        columns: of the batches' labels that the flow is about.
        learning_rate: of AdamW.
        folder: where training is kept and resumed from.
        identity: see `fit`; sizes, columns and rate are added to it.

    Returns:
        the flow with its best weights, in eval mode, and its history (see `fit`).
    """
    pixels = known["noisy"].shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        model = PosteriorFlow(pixels=pixels, labels=len(columns), **sizes)
    labels = known["labels"][:, list(columns)]
    model.measure(known["noisy"], known["error"], labels, plan.seed)
    task = FlowTask(model, learning_rate, columns)
    settings = {"sizes": model.config, "columns": list(columns), "learning_rate": learning_rate}
    history = fit(task, train, valid, plan, folder, {**(identity or {}), **settings})
    return model.eval(), history
