"""Heads: small networks from a latent to labels.

A multi-layer perceptron with GELU (Hendrycks & Gimpel 2016) and dropout. It carries the means and
deviations of its training inputs and labels, standardises what comes in and answers in the
labels' own units, so that a stored head needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stargrav.models.config import configured

SMALLEST = 1e-6  # of a deviation: an input that never changes is left as it is
TOGETHER = 4096  # rows that are answered at once
COLUMNS = 512  # that are measured at once


class Standardised(nn.Module):
    """A network that standardises its inputs and answers in the labels' units.

    A kind of it adds `layers`, from standardised inputs to standardised labels.

    Args:
        inputs: length of the input.
        outputs: number of labels.
    """

    layers: nn.Module

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for name, length in (("input", inputs), ("label", outputs)):
            self.register_buffer(f"{name}_mean", torch.zeros(length))
            self.register_buffer(f"{name}_deviation", torch.ones(length))

    def standardise(self, inputs: Tensor, labels: Tensor) -> None:
        """Store mean and deviation of the training set.

        Args:
            inputs: (n, inputs).
            labels: (n, outputs), in their units.
        """
        for name, values in (("input", inputs), ("label", labels)):
            parts = [  # spectra in double precision would take too much memory at once
                torch.std_mean(columns.double(), dim=0, correction=0)
                for columns in values.split(COLUMNS, dim=1)
            ]
            deviation, mean = (torch.cat(part) for part in zip(*parts, strict=True))
            deviation[deviation < SMALLEST] = 1.0
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_deviation").copy_(deviation)

    def forward(self, x: Tensor) -> Tensor:
        """Labels of inputs.

        Args:
            x: (batch, inputs).

        Returns:
            (batch, outputs), in the labels' units.
        """
        x = (x - self.input_mean) / self.input_deviation
        return self.label_mean + self.label_deviation * self.layers(x)

    @torch.inference_mode()
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Labels of inputs, as a fitted probe answers.

        Args:
            x: (n, inputs).

        Returns:
            (n,) for one label, (n, outputs) for several; float64.
        """
        was_training = self.training
        self.eval()
        device = self.input_mean.device
        parts = [
            self(torch.tensor(part, dtype=torch.float32, device=device))
            for part in np.array_split(x, max(1, -(-len(x) // TOGETHER)))
        ]
        self.train(was_training)
        found = torch.cat(parts).double().cpu().numpy()
        return found[:, 0] if found.shape[1] == 1 else found


class MlpHead(Standardised):
    """Perceptron from standardised inputs to labels.

    Args:
        inputs: length of the latent.
        widths: of the hidden layers.
        outputs: number of labels.
        dropout: share of hidden units left out in training.
    """

    @configured
    def __init__(
        self,
        inputs: int,
        widths: Sequence[int] = (256, 64),
        outputs: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, outputs)
        sizes = [inputs, *widths]
        layers: list[nn.Module] = []
        for size, after in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(size, after), nn.GELU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))
