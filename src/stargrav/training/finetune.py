"""Training of an encoder together with its head: labels from spectra, the teacher not frozen.

The network starts from a teacher and from a head that was trained on its latents. The running
statistics of the batch norm stay as the teacher's training left them (their gain and offset are
trained): batches are small, and the latents must stay those that the head knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stargrav.data.loader import NoisySpectra
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.heads import MlpHead
from stargrav.models.pooling import pool
from stargrav.training.batches import TensorBatches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.spectra import Labelled
from stargrav.training.tasks import RegressionTask

VALID_BATCH = 128


class EncoderRegressor(nn.Module):
    """A teacher's encoder, a pooling and a head, as one network.

    Args:
        teacher: whose encoder it is; a copy is trained.
        head: on latents; a copy is trained.
        readout: layer and pooling.
        frozen: only the head is trained.
    """

    def __init__(
        self,
        teacher: BlindSpotUNet,
        head: MlpHead,
        readout: tuple[str, str],
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.teacher, self.head = deepcopy(teacher), deepcopy(head)
        self.layer, self.pooling = readout
        untrained = [self.teacher] if frozen else [self.teacher.decoder, self.teacher.join]
        for part in untrained:
            part.requires_grad_(False)

    @property
    def label_deviation(self) -> Tensor:
        """(1,) deviation of the training stars' label."""
        return self.head.label_deviation

    def forward(self, x: Tensor) -> Tensor:
        """Labels of spectra.

        Args:
            x: (batch, 2 pixels) noisy flux, then its error.

        Returns:
            (batch, 1), in the label's unit.
        """
        flux, error = x.chunk(2, dim=1)
        latent = pool(self.teacher.layers(flux, error, [self.layer])[self.layer], self.pooling)
        return self.head(latent)

    def train(self, mode: bool = True) -> EncoderRegressor:
        """Change the mode, of all but the teacher's batch norm."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.inference_mode()
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Labels (n,) of spectra (n, 2 pixels), float64."""
        self.eval()
        parts = np.array_split(x, -(-len(x) // VALID_BATCH))
        return np.concatenate([self(torch.tensor(part))[:, 0].double().numpy() for part in parts])


def train_encoder(
    teacher: BlindSpotUNet,
    head: MlpHead,
    readout: tuple[str, str],
    train: NoisySpectra,
    valid: tuple[np.ndarray, np.ndarray],
    target: str,
    plan: Plan,
    learning_rate: float = 1e-4,
    weight_decay: float = 1e-2,
    frozen: bool = False,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[EncoderRegressor, pd.DataFrame]:
    """Train encoder and head together, or the head alone on the same spectra.

    Args:
        teacher: trained.
        head: trained on its latents.
        readout: layer and pooling that the head reads.
        train: spectra with noise drawn anew in each pass.
        valid: (m, 2 pixels) noisy flux and error, and (m,) the label.
        target: the label.
        plan: of the training.
        learning_rate: of AdamW, lower than that of the head alone.
        weight_decay: of AdamW.
        frozen: whether the encoder stays as it is.
        folder: where training is kept and resumed from.
        identity: see `fit`; the settings given here are added to it.

    Returns:
        the network with its best weights, and its history (see `fit`).
    """
    model = EncoderRegressor(teacher, head, readout, frozen)
    x, y = (torch.tensor(np.asarray(values, dtype=np.float32)) for values in valid)
    checks = TensorBatches({"x": x, "y": y[:, None]}, VALID_BATCH)
    task = RegressionTask(model, learning_rate, weight_decay)
    settings = {
        **(identity or {}),
        "finetune": readout,
        "frozen": frozen,
        "target": target,
        "stars": len(train.rows),
        "batch_size": train.batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
    }
    history = fit(task, Labelled(train, [target]), checks, plan, folder, settings)
    return model, history
