"""How a network answers: with labels, with labels and their spread, or with bins of a label.

An answer reads labels from the numbers that a network ends in, and says how far they are from the
truth. It works on labels that are standardised by those of the training stars.

    Point      the labels. Of several labels the sum of the rms errors is minimised: the gradients
               of all labels with respect to what is answered are then equally long (the balance
               of GradNorm, Chen et al. 2018, arXiv:1711.02257, with alpha = 0, kept at each step);
    Gaussian   mean and log variance of each label, by the likelihood (Nix & Weigend 1994);
    Ordinal    probabilities of bins of one label and an offset within each: cross entropy of the
               bins, and the square error of the mean.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_VARIANCE = 10.0  # at most so far from 0
BIN = 0.25  # dex


class Point(nn.Module):
    """Labels.

    Args:
        labels: their number.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.labels, self.size = labels, labels

    def mean(self, raw: Tensor) -> Tensor:
        """(b, size) -> (b, labels), standardised."""
        return raw

    def spread(self, raw: Tensor) -> Tensor | None:
        """(b, size) -> (b, labels) standard deviations; None: not known."""
        return None

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        """Mean loss of a batch with standardised labels (b, labels)."""
        errors = ((raw - y) ** 2).mean(dim=0)
        return errors[0] if self.labels == 1 else errors.sqrt().mean()


class Gaussian(Point):
    """Labels and their spread; arguments as for `Point`."""

    def __init__(self, labels: int) -> None:
        super().__init__(labels)
        self.size = 2 * labels

    def mean(self, raw: Tensor) -> Tensor:
        """See `Point`."""
        return raw[:, : self.labels]

    def spread(self, raw: Tensor) -> Tensor:
        """See `Point`."""
        return (0.5 * self._log_variance(raw)).exp()

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        """Negative log likelihood but for a constant, nats per label."""
        log_variance = self._log_variance(raw)
        return 0.5 * (log_variance + (self.mean(raw) - y) ** 2 / log_variance.exp()).mean()

    def _log_variance(self, raw: Tensor) -> Tensor:
        return raw[:, self.labels :].clamp(-LOG_VARIANCE, LOG_VARIANCE)


class Ordinal(Point):
    """Bins of one label.

    Args:
        labels: 1.
        low: of the label, in its unit.
        high: of the label.
    """

    def __init__(self, labels: int, low: float, high: float) -> None:
        super().__init__(labels)
        if labels != 1:
            raise ValueError(f"bins: found {labels} labels, expected 1")
        self.bins = max(2, math.ceil((high - low) / BIN - 1e-9))
        self.size = 2 * self.bins
        self.register_buffer("edges", torch.linspace(low, high, self.bins + 1))

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Bins in units of the standardised label, once its mean and deviation (1,) are known."""
        self.edges.sub_(mean).div_(deviation)

    def mean(self, raw: Tensor) -> Tensor:
        """See `Point`."""
        probability, place = self._bins(raw)
        return (probability * place).sum(dim=1, keepdim=True)

    def spread(self, raw: Tensor) -> Tensor:
        """See `Point`."""
        probability, place = self._bins(raw)
        mean = (probability * place).sum(dim=1, keepdim=True)
        width = self.edges[1] - self.edges[0]
        variance = (probability * (place - mean) ** 2).sum(dim=1, keepdim=True)
        return (variance + width**2 / 12).sqrt()

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        """Cross entropy [nats] and mean square error."""
        inner = self.edges[1:-1].contiguous()
        bins = torch.bucketize(y[:, 0].contiguous(), inner)
        missed = ((self.mean(raw) - y) ** 2).mean()
        return F.cross_entropy(raw[:, : self.bins], bins) + missed

    def _bins(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (b, bins), and the label where each bin would have it."""
        width = self.edges[1] - self.edges[0]
        centre = 0.5 * (self.edges[1:] + self.edges[:-1])
        offset = 0.5 * width * raw[:, self.bins :].tanh()
        return raw[:, : self.bins].softmax(dim=1), centre + offset


ANSWERS = {"point": Point, "gaussian": Gaussian, "ordinal": Ordinal}
