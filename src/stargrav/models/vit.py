"""Vision transformer of spectra: patches of pixels as tokens that attend to each other.

After Dosovitskiy et al. 2021 (arXiv:2010.11929). A patch becomes a token by a strided convolution;
patches of several lengths lie side by side. Where a token lies in wavelength is told by

    learned      a vector for each;
    sinusoidal   sines and cosines of log wavelength (Vaswani et al. 2017, arXiv:1706.03762);
    rotary       queries and keys turned by angles that grow with log wavelength, so that attention
                 depends on differences of it (Su et al. 2021, arXiv:2104.09864).

One further token, the first, belongs to no wavelength; by its distance to it a token's place is
known absolutely. The mean over all tokens is read out. Attention is PyTorch's fused kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

POSITIONS = ("learned", "sinusoidal", "rotary")
LONGEST = 1e4  # wave of a position's code, in units of tokens
EXPANSION = 4  # of a block's perceptron


class ViT(nn.Module):
    """Channels of a spectrum -> numbers.

    Args:
        pixels: of a spectrum.
        channels: of it.
        outputs: numbers that are read out.
        patches: lengths of the patches [pixels]; what is left over at the red end is not seen.
        width: of a token.
        depth: number of blocks.
        heads: of the attention.
        dropout: in each block.
        position: of `POSITIONS`.
        ends: vacuum wavelengths of the first and the last pixel [A].
        kept: numbers of the tokens that are seen; all if None.
        sensitivity: (tokens,) how much each says of log g; attention leans towards those that say
            much, by a gain that each head learns, the same in all blocks. None: it does not.

    Raises:
        ValueError: the sizes do not fit.
    """

    def __init__(
        self,
        pixels: int,
        channels: int = 1,
        outputs: int = 1,
        patches: Sequence[int] = (16,),
        width: int = 256,
        depth: int = 6,
        heads: int = 8,
        dropout: float = 0.0,
        position: str = "learned",
        ends: Sequence[float] = (7100.2, 8849.8),
        kept: Sequence[int] | None = None,
        sensitivity: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if position not in POSITIONS or width % (4 * heads) or max(patches) > pixels:
            found = f"position {position}, width {width}, heads {heads}, patches {patches}"
            raise ValueError(f"vit: found {found}")
        self.patches, self.position = tuple(patches), position
        self.embed = nn.ModuleList(nn.Conv1d(channels, width, size, size) for size in patches)
        places, scales = token_places(pixels, patches, ends)
        places = np.concatenate([[0.0], places])
        if position == "rotary":
            self.register_buffer("turns", _angles(places, width // heads), persistent=False)
        else:
            self.turns = None
        if position == "learned":
            self.place = nn.Parameter(0.02 * torch.randn(len(places), width))
        else:
            code = torch.zeros(len(places), width)
            if position == "sinusoidal":
                angles = _angles(places, width)
                code = torch.cat([angles.sin(), angles.cos()], dim=1)
            self.register_buffer("code", code, persistent=False)
            self.scale = nn.Parameter(0.02 * torch.randn(len(patches), width))
            self.register_buffer("scales", torch.tensor(scales), persistent=False)
        self.first = nn.Parameter(0.02 * torch.randn(width))
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.kept = None if kept is None else [0, *(1 + int(number) for number in kept)]
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        if sensitivity is None:
            self.gain = None
        else:
            values = torch.tensor([float(np.mean(sensitivity)), *sensitivity], dtype=torch.float32)
            lean = (values - values.mean()) / values.std().clamp_min(1e-6)
            self.register_buffer("lean", lean, persistent=False)
            self.gain = nn.Parameter(torch.full((heads,), 0.5))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def encode(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Tokens after the last block.

        Args:
            x: (batch, channels, pixels), standardised.
            hidden: (batch, tokens) of the tokens that are replaced by one that tells nothing.

        Returns:
            (batch, 1 + tokens, width), the further token first.
        """
        parts = [embed(x).transpose(1, 2) for embed in self.embed]  # (B, T_i, width)
        tokens = torch.cat(parts, dim=1)  # (B, T, width)
        if hidden is not None:
            tokens = torch.where(hidden[..., None], self.hidden, tokens)
        first = self.first.expand(len(x), 1, -1)
        tokens = torch.cat([first, tokens], dim=1) + self._places()  # (B, 1 + T, width)
        turns = self.turns
        lean = None if self.gain is None else (self.gain[:, None, None] * self.lean)[None]
        if self.kept is not None:
            tokens = tokens[:, self.kept]
            turns = None if turns is None else turns[self.kept]
            lean = None if lean is None else lean[..., self.kept]
        for block in self.blocks:
            tokens = block(tokens, turns, lean)
        return self.norm(tokens)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, pixels) -> (batch, outputs)."""
        return self.head(self.encode(x).mean(dim=1))

    def _places(self) -> Tensor:
        if self.position == "learned":
            return self.place
        return self.code + F.pad(self.scale[self.scales], (0, 0, 1, 0))


class Block(nn.Module):
    """Attention and a perceptron, each on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.asks = nn.Linear(width, 3 * width)  # queries, keys and values
        self.joins = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, EXPANSION * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(EXPANSION * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, turns: Tensor | None, lean: Tensor | None) -> Tensor:
        """(batch, tokens, width) -> the same; `turns` (tokens, width / heads / 2), `lean`
        (1, heads, 1, tokens) is added to the logits of attention."""
        asks = self.asks(self.norms[0](x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = asks.permute(2, 0, 3, 1, 4)  # each (B, heads, T, width / heads)
        if turns is not None:
            q, k = turned(q, turns), turned(k, turns)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=lean)
        x = x + self.dropout(self.joins(found.transpose(1, 2).flatten(2)))
        return x + self.mlp(self.norms[1](x))


def token_places(
    pixels: int, patches: Sequence[int], ends: Sequence[float]
) -> tuple[np.ndarray, list[int]]:
    """Where tokens lie in log wavelength, in units of the shortest patch, from 1 at the blue end.

    Args:
        pixels: of a spectrum, evenly spaced in wavelength.
        patches: lengths of the patches [pixels].
        ends: wavelengths of the first and the last pixel [A].

    Returns:
        (tokens,) places, patches of one length after those of another, and the number of each
        token's length in `patches`.
    """
    found, scales = [], []
    first, last = ends
    step = (last - first) / max(pixels - 1, 1)
    unit = np.log(last / first) / max(pixels // min(patches), 1)
    for number, size in enumerate(patches):
        centre = first + step * (np.arange(pixels // size) * size + (size - 1) / 2)
        found.append(1 + np.log(centre / first) / unit)
        scales += [number] * len(centre)
    return np.concatenate(found), scales


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """Pairs of components of x (..., tokens, d), turned by angles (tokens, d / 2)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _angles(places: np.ndarray, width: int) -> Tensor:
    """(tokens, width / 2) places times frequencies from 1 down to 1 / LONGEST."""
    rates = LONGEST ** -(np.arange(width // 2) / (width // 2))
    return torch.tensor(places[:, None] * rates, dtype=torch.float32)
