"""DnCNN (Zhang et al. 2017, arXiv:1608.03981) in one dimension: a stack of convolutions with batch
norm that finds the noise, which is then taken away, or the clean flux at once.

Theirs knows the noise level by training on one; here noise differs from pixel to pixel, and its
error is a second channel (as the noise map of FFDNet, Zhang et al. 2018, arXiv:1710.04026).
Dilated convolutions (Zhang et al. 2017b, arXiv:1704.03264) let it see more pixels with as many
weights. What finds the noise has to repeat it to take it away: where noise is much stronger than
what the clean flux varies by, the clean flux is found better.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class DnCnn(nn.Module):
    """Denoiser of spectra.

    Args:
        dilations: of each convolution, the first and the last without batch norm; theirs are 17
            without dilation.
        channels: of each; theirs is 64.
        kernel: taps of each, odd; theirs is 3.
        finds: `noise`, as theirs, or `flux`.
    """

    def __init__(
        self,
        dilations: Sequence[int] = (1,) * 17,
        channels: int = 64,
        kernel: int = 3,
        finds: str = "noise",
    ) -> None:
        super().__init__()
        if len(dilations) < 2 or min(dilations) < 1 or kernel % 2 == 0:
            raise ValueError("expected two dilations at least, of 1 or more, and an odd kernel")
        if finds not in ("noise", "flux"):
            raise ValueError(f"finds {finds}: expected noise or flux")
        sizes = {"dilations": list(dilations), "channels": channels, "kernel": kernel}
        self.config = {**sizes, "finds": finds}
        first, *others, last = ({"dilation": d, "padding": d * (kernel // 2)} for d in dilations)
        layers: list[nn.Module] = [nn.Conv1d(2, channels, kernel, **first), nn.ReLU()]
        for other in others:
            layers += [
                nn.Conv1d(channels, channels, kernel, bias=False, **other),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, 1, kernel, **last))

    def forward(self, noisy: Tensor, error: Tensor) -> Tensor:
        """Clean flux.

        Args:
            noisy: (batch, pixels), over its median.
            error: (batch, pixels), 1 sigma, the same unit.

        Returns:
            (batch, pixels).
        """
        x = torch.stack([noisy - 1, error], dim=1)  # (B, 2, P)
        found = self.layers(x)[:, 0]
        return noisy - found if self.config["finds"] == "noise" else 1 + found
