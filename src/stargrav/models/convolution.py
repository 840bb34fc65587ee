"""Causal convolutions that are fast on a processor.

A causal convolution y_t = b + sum_k w_k x_(t - k) of C channels with K taps costs K C^2
multiplications per position. Two forms of it are faster than the plain 1-D one:

*direct*: as a 2-D convolution of height 1 in channels-last memory order, where the channels of a
position lie side by side. The form for few taps, for training and for accelerators.

*tiled*: cut into tiles of T samples that overlap by K - 1, the convolution is a product in Fourier
space, Y_f = W_f X_f, of about 2 T / (T - K + 1) C^2 multiplications (overlap-save, Stockham 1966).
With 25 taps that is an eighth of the work. The form for long kernels without gradients.

Signals are (batch, channels, 1, positions) in both, channels-last in memory in the first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TILES = (48, 64, 96, 128, 192, 256)  # lengths that the FFT is fast at and that fit the caches
LONG = 13  # taps from which on tiles are faster
AT_ONCE = 8192  # positions of a signal whose tiles fit the caches


def direct_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Causal convolution: position t sees the inputs at t, t - 1, ... t - K + 1.

    Args:
        x: (batch, channels, 1, positions), channels-last.
        weight: (outputs, channels, taps), the last tap acting on position t itself.
        bias: (outputs,).

    Returns:
        (batch, outputs, 1, positions), channels-last.
    """
    weight = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    return F.conv2d(F.pad(x, (weight.shape[-1] - 1, 0)), weight, bias)


def tile_length(positions: int, kernel: int) -> int:
    """The length of tile that covers a signal with the fewest samples.

    Args:
        positions: length of the signal.
        kernel: number of taps.

    Returns:
        samples in a tile, more than twice the overlap.
    """
    able = [length for length in TILES if length >= 2 * (kernel - 1)]
    if not able:
        return 1 << (4 * kernel).bit_length()
    return min(able, key=lambda length: -(-positions // (length - kernel + 1)) * length)


def response(weight: Tensor, length: int) -> Tensor:
    """Fourier response of a kernel over tiles.

    Args:
        weight: (outputs, channels, taps).
        length: samples in a tile.

    Returns:
        (length / 2 + 1, channels, outputs), complex.
    """
    return torch.fft.rfft(weight.flip(-1), n=length).permute(2, 1, 0).contiguous()


def tiled_convolution(x: Tensor, spectrum: Tensor, kernel: int, bias: Tensor) -> Tensor:
    """`direct_convolution` by tiles in Fourier space.

    Args:
        x: (batch, channels, 1, positions), contiguous.
        spectrum: of the kernel, see `response`.
        kernel: number of taps.
        bias: (outputs,).

    Returns:
        (batch, outputs, 1, positions), contiguous.
    """
    batch, channels, _, positions = x.shape
    outputs = len(bias)
    rows = max(1, AT_ONCE // positions)
    if rows < batch:
        parts = x.split(rows)
        return torch.cat([tiled_convolution(part, spectrum, kernel, bias) for part in parts])
    length = 2 * (len(spectrum) - 1)
    step = length - kernel + 1
    tiles = -(-positions // step)
    padded = F.pad(x[:, :, 0], (kernel - 1, tiles * step - positions))
    cut = padded.unfold(-1, length, step).transpose(1, 2)  # (B, tiles, C, T)
    found = torch.fft.rfft(cut).permute(3, 0, 1, 2).reshape(-1, batch * tiles, channels)
    product = torch.bmm(found, spectrum)  # (F, B tiles, O)
    product[0] += length * bias  # a constant is a zero frequency
    product = product.permute(1, 2, 0).view(batch, tiles, outputs, -1)
    valid = torch.fft.irfft(product, n=length)[..., kernel - 1 :].transpose(1, 2)
    whole = valid.reshape(batch, outputs, tiles * step)[..., :positions]
    return whole.unsqueeze(2)
