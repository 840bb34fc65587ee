"""A U-Net over the pixels of a spectrum that is told how noisy its input is.

Ronneberger et al. (2015, arXiv:1505.04597) in one dimension, with the residual blocks and the
sinusoidal features of Ho et al. (2020, arXiv:2006.11239): at each level two convolutions whose
channels are scaled and shifted by the noise level, attention at the coarsest one. Ho et al. tell
the number of a step; here it is log SNR, which means the same under any schedule.

A pixel is a wavelength, and what is likely there differs from place to place: a learned number for
each pixel and channel joins the first layer.

Spectra that the answer depends on besides (the noisy one, its error) come as further channels, or
as tokens that the coarsest level attends to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargrav.models.gaussian import SpectrumGaussian

CONDITIONING = ("channels", "cross_attention")
GROUPS = 8  # of channels that are normalised together
FREQUENCIES = 32
LONGEST = 40.0  # period of the slowest feature, in log SNR


class UNet1d(nn.Module):
    """Network of a diffusion model of spectra.

    Attributes:
        prior: standardises spectra, and knows their normal distribution.
        prediction: what the network is trained to predict (see `diffusion.denoise`).

    Args:
        pixels: of a spectrum.
        prediction: `epsilon`, `x`, `v`, `residual` or `posterior_residual`.
        axes: of the prior.
        channels: of the levels, fine to coarse, each a multiple of 8.
        kernel: taps of a convolution, odd.
        stride: between levels.
        heads: of the attention at the coarsest level; 0 for none.
        condition: spectra that the answer depends on besides.
        conditioning: how it is told of them, `channels` or `cross_attention`.
        patch: pixels in a token of the latter.
    """

    def __init__(
        self,
        pixels: int,
        prediction: str = "epsilon",
        axes: int = 0,
        channels: Sequence[int] = (64, 128, 256, 512),
        kernel: int = 5,
        stride: int = 2,
        heads: int = 4,
        condition: int = 0,
        conditioning: str = "channels",
        patch: int = 32,
    ) -> None:
        super().__init__()
        if conditioning not in CONDITIONING:
            expected = ", ".join(CONDITIONING)
            raise ValueError(f"conditioning: found {conditioning!r}, expected one of {expected}")
        if any(size % GROUPS for size in channels) or kernel % 2 == 0:
            raise ValueError(f"expected channels in multiples of {GROUPS} and an odd kernel")
        self.config = {
            "pixels": pixels,
            "prediction": prediction,
            "axes": axes,
            "channels": list(channels),
            "kernel": kernel,
            "stride": stride,
            "heads": heads,
            "condition": condition,
            "conditioning": conditioning,
            "patch": patch,
        }
        self.prior = SpectrumGaussian(pixels, axes)
        self.prediction = prediction
        self.by_channels = conditioning == "channels"
        told = 4 * channels[0]
        self.noise_level = NoiseLevel(told)
        first = nn.Conv1d(1 + condition * self.by_channels, channels[0], kernel, 1, kernel // 2)
        self.first = first
        self.place = nn.Parameter(torch.zeros(channels[0], pixels))
        self.down = nn.ModuleList(Block(size, size, kernel, told) for size in channels)
        self.shrink = nn.ModuleList(
            nn.Conv1d(fine, coarse, 2 * stride - 1, stride, stride - 1)
            for fine, coarse in pairwise(channels)
        )
        self.middle = Block(channels[-1], channels[-1], kernel, told)
        self.attention = Attention(channels[-1], heads) if heads else None
        self.tokens = self.listening = None
        if condition and not self.by_channels:
            self.tokens = Tokens(condition, channels[-1], -(-pixels // patch), patch)
            self.listening = Attention(channels[-1], max(1, heads))
        self.up = nn.ModuleList(
            Block(coarse + fine, fine, kernel, told) for fine, coarse in pairwise(channels)
        )
        self.last = nn.Sequential(
            nn.GroupNorm(GROUPS, channels[0]),
            nn.SiLU(),
            nn.Conv1d(channels[0], 1, kernel, 1, kernel // 2),
        )
        nn.init.zeros_(self.last[-1].weight)
        nn.init.zeros_(self.last[-1].bias)

    def forward(self, x_t: Tensor, log_snr: Tensor, condition: Tensor | None = None) -> Tensor:
        """What is predicted of standardised spectra.

        Args:
            x_t: (batch, pixels), with noise.
            log_snr: (batch,), log(alpha^2 / sigma^2) of that noise.
            condition: (batch, condition, pixels), of the order of 1.

        Returns:
            (batch, pixels).
        """
        x = x_t[:, None]  # (B, 1, P)
        if condition is not None and self.by_channels:
            x = torch.cat([x, condition], dim=1)
        level = self.noise_level(log_snr)  # (B, told)
        x = self.first(x) + self.place  # (B, C0, P)
        skips = []
        for number, block in enumerate(self.down):
            if number:
                x = self.shrink[number - 1](x)
            x = block(x, level)  # (B, Ci, P / stride^i)
            skips.append(x)
        x = self.middle(skips.pop(), level)
        if self.attention is not None:
            x = self.attention(x, x)
        if self.tokens is not None:
            x = self.listening(x, self.tokens(condition))
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = F.interpolate(x, skip.shape[-1], mode="nearest")
            x = block(torch.cat([x, skip], dim=1), level)
        return self.last(x)[:, 0]


class NoiseLevel(nn.Module):
    """Sines and cosines of log SNR, through two layers.

    Args:
        outputs: length of what comes out.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        rates = torch.logspace(0, math.log10(LONGEST), FREQUENCIES) * 2 * math.pi / LONGEST
        self.register_buffer("rates", rates, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, outputs), nn.SiLU(), nn.Linear(outputs, outputs), nn.SiLU()
        )

    def forward(self, log_snr: Tensor) -> Tensor:
        """(batch,) -> (batch, outputs)."""
        phase = log_snr[:, None] * self.rates
        return self.layers(torch.cat([phase.sin(), phase.cos()], dim=1))


class Block(nn.Module):
    """Two convolutions beside a short cut, scaled and shifted by the noise level between them.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: taps.
        told: length of the noise level's features.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, told: int) -> None:
        super().__init__()
        self.before = nn.Sequential(
            nn.GroupNorm(GROUPS, inputs),
            nn.SiLU(),
            nn.Conv1d(inputs, outputs, kernel, 1, kernel // 2),
        )
        self.modulation = nn.Linear(told, 2 * outputs)
        self.norm = nn.GroupNorm(GROUPS, outputs)
        self.after = nn.Conv1d(outputs, outputs, kernel, 1, kernel // 2)
        self.short = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(batch, inputs, positions) -> (batch, outputs, positions)."""
        scale, shift = self.modulation(level)[..., None].chunk(2, dim=1)
        y = self.norm(self.before(x)) * (1 + scale) + shift
        return self.short(x) + self.after(F.silu(y))


class Attention(nn.Module):
    """Positions that attend to each other, or to tokens (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        channels: of both.
        heads: of the attention.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.attend = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """(batch, channels, positions) and (batch, channels, tokens) -> as the first."""
        asking, told = (self.norm(part).transpose(1, 2) for part in (x, source))
        return x + self.attend(asking, told, told, need_weights=False)[0].transpose(1, 2)


class Tokens(nn.Module):
    """Spectra cut into patches.

    Args:
        spectra: side by side.
        channels: of a token.
        count: of tokens.
        patch: pixels in each; what is missing at the red end is filled with zeros.
    """

    def __init__(self, spectra: int, channels: int, count: int, patch: int) -> None:
        super().__init__()
        self.cut = nn.Conv1d(spectra, channels, patch, patch)
        self.place = nn.Parameter(0.02 * torch.randn(channels, count))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, spectra, pixels) -> (batch, channels, count)."""
        patch = self.cut.stride[0]
        return self.cut(F.pad(x, (0, -x.shape[-1] % patch))) + self.place
