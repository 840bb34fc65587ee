"""DnCNN (Zhang et al. 2017, arXiv:1608.03981) in one dimension: a stack of convolutions with batch
norm that finds the noise, which is then taken away.

Theirs knows the noise level by training on one; here noise differs from pixel to pixel, and its
error is a second channel (as the noise map of FFDNet, Zhang et al. 2018, arXiv:1710.04026).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DnCnn(nn.Module):
    """Residual denoiser of spectra.

    Args:
        depth: convolutions, the first and the last without batch norm; theirs is 17.
        channels: of each; theirs is 64.
        kernel: taps of each, odd; theirs is 3.
    """

    def __init__(self, depth: int = 17, channels: int = 64, kernel: int = 3) -> None:
        super().__init__()
        if depth < 2 or kernel % 2 == 0:
            raise ValueError("expected a depth of 2 at least and an odd kernel")
        self.config = {"depth": depth, "channels": channels, "kernel": kernel}
        pad = kernel // 2
        layers: list[nn.Module] = [nn.Conv1d(2, channels, kernel, 1, pad), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [
                nn.Conv1d(channels, channels, kernel, 1, pad, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, 1, kernel, 1, pad))

    def forward(self, noisy: Tensor, error: Tensor) -> Tensor:
        """Clean flux.

        Args:
            noisy: (batch, pixels), over its median.
            error: (batch, pixels), 1 sigma, the same unit.

        Returns:
            (batch, pixels).
        """
        x = torch.stack([noisy - 1, error], dim=1)  # (B, 2, P)
        return noisy - self.layers(x)[:, 0]
