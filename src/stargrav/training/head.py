"""Training of a head: labels from features that are held in memory, by any kind of network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stargrav import models
from stargrav.models.heads import MlpHead, Standardised
from stargrav.training.batches import Batches, TensorBatches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import RegressionTask

BATCH_SIZE = 256
VALID_BATCH = 8192


def train_network(
    kind: str,
    sizes: Mapping[str, Any],
    train: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    plan: Plan,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = BATCH_SIZE,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    fresh: Batches | None = None,
    tell: Callable[[int, float], None] | None = None,
) -> tuple[Standardised, pd.DataFrame]:
    """Build and train a network from features to labels.

    Args:
        kind: of `models.NETWORKS`, a kind of `models.heads.Standardised`.
        sizes: its arguments but for inputs and outputs.
        train: features (n, d) and labels (n,) or (n, k) in their units; several noise draws of a
            spectrum are several rows.
        valid: the same, of the validation set.
        plan: of the training; `monitor="valid_r2"` for the published early stop.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch_size: rows in a batch.
        folder: where training is kept and resumed from.
        identity: see `fit`; the settings of the network are added to it.
        fresh: batches x (b, d) and y (b, k) to train on in place of `train`, which then only says
            how they are standardised.
        tell: called after each epoch with its number in this call, from 1, and its valid_r2; what
            it raises ends the training.

    Returns:
        the network with its best weights, and its history (see `fit`).
    """
    x, y = _tensors(*train)
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        model = models.build(kind, inputs=x.shape[1], outputs=y.shape[1], **sizes)
    model.standardise(x, y)
    batches = fresh or TensorBatches({"x": x, "y": y}, batch_size, torch.Generator())
    checks = TensorBatches(dict(zip("xy", _tensors(*valid), strict=True)), VALID_BATCH)
    task = _Telling(model, learning_rate, weight_decay, tell)
    settings = {
        **model.config,
        "kind": kind,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
    }
    history = fit(task, batches, checks, plan, folder, {**(identity or {}), **settings})
    return model, history


def train_head(
    train: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    plan: Plan,
    widths: Sequence[int] = (256, 64),
    dropout: float = 0.1,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = BATCH_SIZE,
    **others: Any,
) -> tuple[MlpHead, pd.DataFrame]:
    """Build and train an MLP head of hidden widths and dropout; see `train_network`."""
    sizes = {"widths": widths, "dropout": dropout}
    rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    return train_network(
        "mlp_head", sizes, train, valid, plan, **rates, batch_size=batch_size, **others
    )


class _Telling(RegressionTask):
    """Tells after each epoch what was reached, if anyone wants to know."""

    def __init__(
        self,
        model: Standardised,
        learning_rate: float,
        weight_decay: float,
        tell: Callable[[int, float], None] | None,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay)
        self.tell = tell

    def on_train_epoch_end(self) -> None:
        if self.tell is not None:
            found = self.trainer.callback_metrics["valid_r2"]
            self.tell(self.trainer.current_epoch + 1, float(found))


def _tensors(x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
    labels = torch.tensor(np.asarray(y, dtype=np.float32))
    latents = torch.tensor(np.asarray(x, dtype=np.float32))
    return latents, labels[:, None] if labels.ndim == 1 else labels
