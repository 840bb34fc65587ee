"""Training of a posterior: the likelihood of the true labels, with noise drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from stargrav.models.flow import PosteriorFlow
from stargrav.training.batches import TensorBatches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.redrawn import FreshNoise
from stargrav.training.tasks import Batch, Task


class FlowTask(Task):
    """Training on batches of features x and labels y; AdamW (Loshchilov & Hutter 2019)."""

    def loss(self, batch: Batch) -> Tensor:
        """Mean of -log p(z | x), in nats; that of the prior is 1.42 for each label."""
        return -self.model.log_prob(batch["y"], batch["x"]).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.model.parameters(), lr=self.learning_rate)


def train_flow(
    train: Mapping[str, Tensor],
    valid: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    plan: Plan,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[PosteriorFlow, pd.DataFrame]:
    """Build and train a posterior.

    Args:
        train: `clean` and `noisy`, both flux / error (n, pixels), and `labels` (n, k). Components
            are those of `noisy`; trained is on those of `clean` with noise drawn anew.
        valid: `noisy` and `labels`.
        sizes: arguments of `PosteriorFlow`; pixels and labels follow from the others.
        plan: of the training.
        learning_rate: of AdamW.
        batch_size: stars in a batch.
        folder: where training is kept and resumed from.
        identity: see `fit`; sizes, rate and batch are added to it.

    Returns:
        the flow with its best weights, in eval mode, and its history (see `fit`).
    """
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        pixels, labels = train["noisy"].shape[1], train["labels"].shape[1]
        model = PosteriorFlow(pixels=pixels, labels=labels, **sizes)
    model.measure(train["noisy"], train["labels"], plan.seed)
    batches = FreshNoise(model.features(train["clean"]), train["labels"], 1.0, batch_size)
    seen = {"x": model.features(valid["noisy"]), "y": valid["labels"]}
    checks = TensorBatches(seen, max(batch_size, 1024))
    settings = {"sizes": model.config, "learning_rate": learning_rate, "batch_size": batch_size}
    task = FlowTask(model, learning_rate)
    history = fit(task, batches, checks, plan, folder, {**(identity or {}), **settings})
    return model.eval(), history
