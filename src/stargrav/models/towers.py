"""Towers: networks that read a whole spectrum, windows of it, or both beside global features.

A local tower looks at windows of the spectrum around given pixels (those that matter to a ridge,
say) with one small network for all of them; what a window tells is weighed by where it lies. A
two-tower network joins it with features of the whole spectrum. A dilated network passes over all
pixels with filters whose taps lie `dilation` pixels apart (Yu & Koltun 2016, arXiv:1511.07122), so
that it sees far with few weights.

All are `models.heads.Standardised`: (batch, inputs) -> (batch, outputs) in the labels' units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from stargrav.models.config import configured
from stargrav.models.heads import Standardised
from stargrav.models.student import SegmentMean

FUSIONS = ("concat", "film", "cross_attention")


class Windows(nn.Module):
    """Windows of a spectrum; what reaches beyond an end repeats the last pixel there.

    Args:
        pixels: of the spectrum.
        places: (k,) the pixels that the windows are centred on.
        width: of a window, odd.
    """

    def __init__(self, pixels: int, places: Sequence[int], width: int) -> None:
        super().__init__()
        offsets = torch.arange(width) - width // 2
        index = (torch.tensor(places)[:, None] + offsets).clamp(0, pixels - 1)
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels) -> (batch, k, width)."""
        return x[:, self.index]


class WindowCnn(nn.Module):
    """Two convolutions and a linear layer, the same for each window.

    Args:
        width: of a window.
        outputs: numbers that a window is told by.
        channels: of the two convolutions.
        kernel: taps of each; the first keeps every second position.
    """

    def __init__(
        self, width: int, outputs: int = 4, channels: Sequence[int] = (16, 32), kernel: int = 5
    ) -> None:
        super().__init__()
        first, second = channels
        left = (width - kernel) // 2 + 1 - (kernel - 1)
        self.layers = nn.Sequential(
            nn.Conv1d(1, first, kernel, stride=2),
            nn.GELU(),
            nn.Conv1d(first, second, kernel),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(second * left, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, k, width) -> (batch, k, outputs)."""
        batch, k, width = x.shape
        return self.layers(x.reshape(batch * k, 1, width)).view(batch, k, -1)


class LocalCnn(Standardised):
    """A shared network over windows; what they tell goes through one hidden layer.

    Args:
        inputs: pixels of the spectrum.
        places: pixels that the windows are centred on.
        outputs: number of labels.
        width: of a window.
        numbers: that each window is told by.
        hidden: width of the hidden layer.
        dropout: share of its units left out in training.
    """

    @configured
    def __init__(
        self,
        inputs: int,
        places: Sequence[int],
        outputs: int = 1,
        width: int = 17,
        numbers: int = 4,
        hidden: int = 24,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, outputs)
        self.layers = nn.Sequential(
            Windows(inputs, places, width),  # (B, k, width)
            WindowCnn(width, numbers),  # (B, k, numbers)
            nn.Flatten(),
            nn.GELU(),
            nn.Linear(numbers * len(places), hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )


class LocalTransformer(Standardised):
    """Windows as tokens that attend to each other (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        inputs: pixels of the spectrum.
        places: pixels that the windows are centred on.
        outputs: number of labels.
        width: of a window.
        size: of a token.
        heads: of the attention.
        depth: number of layers.
        dropout: in each of them.
    """

    @configured
    def __init__(
        self,
        inputs: int,
        places: Sequence[int],
        outputs: int = 1,
        width: int = 17,
        size: int = 56,
        heads: int = 4,
        depth: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, outputs)
        blocks = [
            nn.TransformerEncoderLayer(
                size, heads, 2 * size, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        ]
        self.layers = nn.Sequential(
            Windows(inputs, places, width),  # (B, k, width)
            nn.Linear(width, size),
            Placed(len(places), size),
            *blocks,  # (B, k, size)
            TokenMean(),
            nn.LayerNorm(size),
            nn.Linear(size, 2 * size),
            nn.GELU(),
            nn.Linear(2 * size, outputs),
        )


class Placed(nn.Module):
    """Adds to each token what is learnt of its place."""

    def __init__(self, tokens: int, size: int) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(tokens, size))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, size) -> the same."""
        return x + self.place


class TokenMean(nn.Module):
    """The mean token."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, size) -> (batch, size)."""
        return x.mean(dim=1)


class DilatedCnn(Standardised):
    """Filters of one width or of several side by side, then two dilated convolutions.

    Args:
        inputs: pixels of the spectrum.
        outputs: number of labels.
        kernels: taps of the filters that see the pixels, odd; several are a multi-scale block.
        dilation: pixels, or positions, from tap to tap in each layer.
        channels: of each layer; the first are shared out among the kernels.
        stride: of each layer.
        segments: means that are taken of each channel in the end.
        dropout: share of the means left out in training.
    """

    DEEPER = 5  # taps of the two further convolutions

    @configured
    def __init__(
        self,
        inputs: int,
        outputs: int = 1,
        kernels: Sequence[int] = (15,),
        dilation: int = 1,
        channels: int = 16,
        stride: int = 4,
        segments: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, outputs)
        if channels % len(kernels) or not all(kernel % 2 for kernel in kernels):
            raise ValueError(f"kernels: found {kernels}, expected odd ones that share {channels}")
        layers: list[nn.Module] = []
        for size, after in ((channels, 2 * channels), (2 * channels, 2 * channels)):
            pad = dilation * (self.DEEPER // 2)
            layers += [nn.Conv1d(size, after, self.DEEPER, stride, pad, dilation), nn.GELU()]
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, inputs)),
            SideBySide(channels // len(kernels), kernels, stride, dilation),
            nn.GELU(),
            *layers,  # (B, 2 channels, positions)
            SegmentMean(segments),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * segments, outputs),
        )

    @property
    def receptive_field(self) -> int:
        """Pixels from the first to the last that a position before the means depends on."""
        stride, dilation = self.config["stride"], self.config["dilation"]
        first = (max(self.config["kernels"]) - 1) * dilation
        return 1 + first + (self.DEEPER - 1) * dilation * (stride + stride**2)


class SideBySide(nn.Module):
    """Convolutions of one spectrum with kernels of several widths, channels side by side."""

    def __init__(self, channels: int, kernels: Sequence[int], stride: int, dilation: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Conv1d(1, channels, kernel, stride, dilation * (kernel // 2), dilation)
            for kernel in kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, pixels) -> (batch, channels * kernels, positions)."""
        return torch.cat([scale(x) for scale in self.scales], dim=1)


class TwoTower(Standardised):
    """A spectrum's windows and features of the whole, read by a tower each and fused.

    `concat` lays the two side by side; `film` lets the global one scale and shift the local one
    (Perez et al. 2018, arXiv:1709.07871); in `cross_attention` the global one asks the windows
    (Vaswani et al. 2017).

    Args:
        inputs: pixels of the spectrum and features behind them.
        features: how many those are.
        places: pixels that the windows are centred on.
        fusion: of `FUSIONS`.
        outputs: number of labels.
        width: of a window.
        numbers: that each window is told by.
        hidden: what each tower comes to.
        dropout: share of hidden units left out in training.
    """

    @configured
    def __init__(
        self,
        inputs: int,
        features: int,
        places: Sequence[int],
        fusion: str = "concat",
        outputs: int = 1,
        width: int = 17,
        numbers: int = 4,
        hidden: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(inputs, outputs)
        if fusion not in FUSIONS:
            raise ValueError(f"fusion: found {fusion!r}, expected one of {', '.join(FUSIONS)}")
        attends = fusion == "cross_attention"
        parts: dict[str, nn.Module] = {
            "whole": nn.Sequential(
                nn.Linear(features, 2 * hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(2 * hidden, hidden),
                nn.GELU(),
            ),
            "windows": nn.Sequential(
                Windows(inputs - features, places, width),
                WindowCnn(width, hidden if attends else numbers),
            ),
        }
        if attends:
            parts["placed"] = Placed(len(places), hidden)
            parts["attention"] = nn.MultiheadAttention(hidden, 4, batch_first=True)
        else:
            flat = nn.Linear(numbers * len(places), hidden)
            parts["local"] = nn.Sequential(nn.Flatten(), nn.GELU(), flat, nn.GELU())
        if fusion == "film":
            parts["modulation"] = nn.Linear(hidden, 2 * hidden)
        joined = hidden if fusion == "film" else 2 * hidden
        parts["head"] = nn.Sequential(
            nn.Linear(joined, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )
        self.layers = Fused(inputs - features, fusion, parts)


class Fused(nn.ModuleDict):
    """Runs both towers of `TwoTower` and fuses them.

    Args:
        pixels: of the spectrum, before the features.
        fusion: of `FUSIONS`.
        parts: `whole` and `windows`, `local` or `placed` and `attention`, `modulation` for
            `film`, `head`.
    """

    def __init__(self, pixels: int, fusion: str, parts: Mapping[str, nn.Module]) -> None:
        super().__init__(parts)
        self.pixels, self.fusion = pixels, fusion

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels + features) -> (batch, outputs)."""
        whole = self.whole(x[:, self.pixels :])  # (B, hidden)
        windows = self.windows(x[:, : self.pixels])  # (B, k, numbers)
        if self.fusion == "cross_attention":
            tokens = self.placed(windows)
            asked, _ = self.attention(whole[:, None], tokens, tokens, need_weights=False)
            return self.head(torch.cat([whole, asked[:, 0]], dim=1))
        local = self.local(windows)  # (B, hidden)
        if self.fusion == "film":
            scale, shift = self.modulation(whole).chunk(2, dim=1)
            return self.head((1 + scale) * local + shift)
        return self.head(torch.cat([whole, local], dim=1))
