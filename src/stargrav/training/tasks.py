"""What is trained: network, loss and optimiser, as Lightning modules.

A task says what a step computes. How long it goes on, at which rate, on what device and where it
is kept is said by `training.fit`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargrav.models.blindspot import BlindSpotUNet
from stargrav.training.losses import LOSSES

Batch = dict[str, Tensor]


class Task(lightning.LightningModule, ABC):
    """A network with its loss.

    Attributes:
        model: the network.
        learning_rate: of the optimiser, at the start.
    """

    def __init__(self, model: nn.Module, learning_rate: float) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch, scalar."""

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of a training batch."""
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=_rows(batch))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss of a validation batch."""
        self.log("valid_loss", self.loss(batch), on_epoch=True, batch_size=_rows(batch))


class DenoiserTask(Task):
    """Training of the blind-spot denoiser on batches of flux, noisy and error.

    Args:
        model: the denoiser.
        loss: `T1`, `E1` or `E2`.
        noise_level: the noise in `noisy` in units of `error`.
        learning_rate: of Adam (Kingma & Ba 2015).
    """

    def __init__(
        self,
        model: BlindSpotUNet,
        loss: str = "T1",
        noise_level: float = 1.0,
        learning_rate: float = 5e-4,
    ) -> None:
        super().__init__(model, learning_rate)
        self.likelihood = LOSSES[loss]
        self.noise_level = noise_level

    def loss(self, batch: Batch) -> Tensor:
        """Negative log likelihood, nats per pixel."""
        prediction = self.model(batch["noisy"], batch["error"])
        sigma = self.noise_level * batch["error"]
        return self.likelihood(prediction, batch["flux"], batch["noisy"], sigma)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)


class RegressionTask(Task):
    """Training of a head on batches of inputs x (b, d) and labels y (b, k).

    The loss is the mean square error in units of the training labels' deviation; `valid_r2` is the
    mean over the labels of 1 - sum (y - y')^2 / sum (y - mean y)^2, over the validation set.

    Args:
        model: a head, already standardised.
        learning_rate: of AdamW (Loshchilov & Hutter 2019).
        weight_decay: of AdamW.
    """

    def __init__(
        self, model: nn.Module, learning_rate: float = 1e-3, weight_decay: float = 1e-2
    ) -> None:
        super().__init__(model, learning_rate)
        self.weight_decay = weight_decay
        self._found: list[tuple[Tensor, Tensor]] = []

    def loss(self, batch: Batch) -> Tensor:
        """Mean square error of the standardised labels."""
        return self._error(self.model(batch["x"]), batch["y"])

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss of a validation batch; keeps what R2 is made of."""
        predicted = self.model(batch["x"])
        loss = self._error(predicted, batch["y"])
        self.log("valid_loss", loss, on_epoch=True, batch_size=_rows(batch))
        self._found.append((predicted, batch["y"]))

    def on_validation_epoch_end(self) -> None:
        """R2 over the whole validation set."""
        predicted, truth = (torch.cat(parts).double() for parts in zip(*self._found, strict=True))
        self._found.clear()
        missed = ((truth - predicted) ** 2).sum(0)
        spread = ((truth - truth.mean(0)) ** 2).sum(0)
        self.log("valid_r2", (1 - missed / spread).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(
            self.model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )

    def _error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        unit = self.model.label_deviation
        return F.mse_loss(predicted / unit, truth / unit)


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))
