"""Students: networks that see the noisy flux alone and are taught the teacher's latent.

The teacher sees flux and error, and reads a latent z from them; a student f learns z from flux by
least squares (distillation, Hinton et al. 2015, arXiv:1503.02531, here of a hidden layer as in
Romero et al. 2015, FitNets). What it cannot learn is what its network is too weak for, or what its
input does not hold.

Both kinds standardise pixels and latents themselves (`models.heads.Standardised`). Several spectra
side by side, such as flux and error, are one longer input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from stargrav.models.config import configured
from stargrav.models.heads import MlpHead, Standardised


class MlpStudent(MlpHead):
    """Perceptron from pixels to a latent; every pixel is weighed by itself.

    Args:
        inputs: number of pixels, over all spectra side by side.
        widths: of the hidden layers.
        outputs: length of the latent, and of the labels behind it where it learns some.
        dropout: share of hidden units left out in training.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int] = (1024, 1024, 512),
        outputs: int = 384,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, widths, outputs, dropout)


class ConvStudent(Standardised):
    """Strided convolutions, means over equal segments of the spectrum, and a linear layer.

    Each convolution looks for the same shapes all over the spectrum and keeps every `stride`-th
    position; the segment means keep where in the spectrum they were found.

    Args:
        inputs: number of pixels, over all spectra side by side.
        spectra: how many spectra those are.
        channels: of the convolutions, from the pixels on.
        kernel: taps of each.
        stride: of each.
        segments: means that are taken of each channel.
        outputs: length of the latent, and of the labels behind it where it learns some.
        dropout: share of the means left out in training.
    """

    @configured
    def __init__(
        self,
        inputs: int,
        spectra: int = 1,
        channels: Sequence[int] = (16, 32, 64, 128),
        kernel: int = 9,
        stride: int = 4,
        segments: int = 8,
        outputs: int = 384,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, outputs)
        if inputs % spectra:
            raise ValueError(f"inputs: found {inputs}, expected {spectra} spectra of equal length")
        layers: list[nn.Module] = [nn.Unflatten(1, (spectra, inputs // spectra))]
        for size, after in zip((spectra, *channels), channels, strict=False):
            layers += [nn.Conv1d(size, after, kernel, stride, kernel // 2), nn.GELU()]
        self.layers = nn.Sequential(
            *layers,  # (B, channels, positions)
            SegmentMean(segments),  # (B, channels * segments)
            nn.Dropout(dropout),
            nn.Linear(channels[-1] * segments, outputs),
        )


class SegmentMean(nn.Module):
    """Means of each channel over equal segments of its positions, channel by channel.

    Args:
        segments: their number.
    """

    def __init__(self, segments: int) -> None:
        super().__init__()
        self.segments = segments

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, positions) -> (batch, channels * segments)."""
        return F.adaptive_avg_pool1d(x, self.segments).flatten(1)
