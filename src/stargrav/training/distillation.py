"""Distillation: a student learns the teacher's latent from pixels, and labels beside it if wanted.

With f(x) = (z', y') the student's answer for pixels x, and latent z and labels y each in units of
their deviations over the training stars, the loss is

    L = lambda_z <|z - z'|^2> / d + lambda_y <|y - y'|^2> / k,

means over stars, d numbers of the latent and k labels (Hinton et al. 2015, arXiv:1503.02531; of a
hidden layer: Romero et al. 2015, FitNets). With lambda_y = 0 no label is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stargrav import models
from stargrav.models.heads import Standardised
from stargrav.training.batches import TensorBatches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import RegressionTask

VALID_BATCH = 1024
Pairs = tuple[np.ndarray, np.ndarray]


class DistillationTask(RegressionTask):
    """Training of a student on batches of pixels x (b, p) and y (b, d + k), latent then labels.

    Args:
        model: a student, already standardised.
        labels: k, how many of its last outputs are labels.
        latent_weight: lambda_z.
        label_weight: lambda_y.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
    """

    def __init__(
        self,
        model: Standardised,
        labels: int = 0,
        latent_weight: float = 1.0,
        label_weight: float = 0.0,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay)
        outputs = len(model.label_deviation)
        weights = torch.full((outputs,), latent_weight / (outputs - labels))
        weights[outputs - labels :] = label_weight / max(labels, 1)
        self.register_buffer("weights", weights)

    def on_validation_epoch_end(self) -> None:
        """R2 over the whole validation set, the mean over all outputs by their weight in the loss.

        An output that never changes on the validation set counts as R2 = 0.
        """
        predicted, truth = (torch.cat(parts).double() for parts in zip(*self._found, strict=True))
        self._found.clear()
        missed = ((truth - predicted) ** 2).sum(0)
        spread = ((truth - truth.mean(0)) ** 2).sum(0)
        r2 = torch.where(spread > 0, 1 - missed / spread, 0.0)
        self.log("valid_r2", (r2 * self.weights).sum() / self.weights.sum())

    def _error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        missed = (predicted - truth) / self.model.label_deviation
        return missed.square().mean(0) @ self.weights


def train_student(
    kind: str,
    sizes: Mapping[str, Any],
    train: Pairs,
    valid: Pairs,
    plan: Plan,
    labels: int = 0,
    latent_weight: float = 1.0,
    label_weight: float = 0.0,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 256,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[Standardised, pd.DataFrame]:
    """Build and train a student.

    Args:
        kind: `mlp_student` or `conv_student`.
        sizes: its arguments but for inputs and outputs.
        train: pixels (n, p) and latents with labels behind them (n, d + k); several noise draws
            of a spectrum are several rows.
        valid: the same, of the validation set.
        plan: of the training; `valid_r2` is weighted as the loss is.
        labels: k.
        latent_weight: lambda_z.
        label_weight: lambda_y.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch_size: rows in a batch.
        folder: where training is kept and resumed from.
        identity: see `fit`; the settings here are added to it.

    Returns:
        the student with its best weights, and its history (see `fit`).
    """
    (x, y), check = (
        [torch.from_numpy(np.asarray(values, dtype=np.float32)) for values in pairs]
        for pairs in (train, valid)
    )
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        model = models.build(kind, inputs=x.shape[1], outputs=y.shape[1], **sizes)
    model.standardise(x, y)
    weights = {"labels": labels, "latent_weight": latent_weight, "label_weight": label_weight}
    rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    task = DistillationTask(model, **weights, **rates)
    history = fit(
        task,
        TensorBatches({"x": x, "y": y}, batch_size, torch.Generator()),
        TensorBatches(dict(zip("xy", check, strict=True)), VALID_BATCH),
        plan,
        folder,
        {
            **(identity or {}),
            **model.config,
            **weights,
            **rates,
            "kind": kind,
            "batch": batch_size,
        },
    )
    return model, history
