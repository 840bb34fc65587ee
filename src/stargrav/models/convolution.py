"""Causal convolution by overlap-save Fourier tiles, and the plain form it must equal.

A causal convolution with K taps, y_t = b + sum_k w_k x_{t - k}, of C channels costs K C^2
multiplications per position. Cut into tiles of T samples that overlap by K - 1, it is a
product in Fourier space, Y_f = W_f X_f, of about 2 T / (T - K + 1) C^2 multiplications
(Stockham 1966, overlap-save). With 25 taps that is several times less work, exact to
rounding, and every step of it is a matrix product or an FFT that CPU libraries do well.
Accelerators have no such need: there the convolution runs as a channels-last 2-D one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 256
SHORT_KERNEL = 7
FAST_LENGTHS = sorted({2**a * 3**b * 5**c for a in range(1, 9) for b in (0, 1, 2) for c in (0, 1)})


def tile_length(positions: int, kernel: int) -> int:
    """Length of a tile: one that the FFT is fast at, no longer than the signal needs.

    Args:
        positions: length of the signal.
        kernel: number of taps.

    Returns:
        an even length of at least twice the overlap, samples.
    """
    wanted = min(positions + kernel - 1, max(TILE, 8 * kernel))
    wanted = max(wanted, 2 * (kernel - 1))
    return next(length for length in FAST_LENGTHS if length >= wanted)


def causal_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Causal convolution: output position t sees the inputs at t, t - 1, ... t - K + 1.

    Args:
        x: (batch, channels, positions).
        weight: (outputs, channels, taps), the last tap acting on position t itself.
        bias: (outputs,).

    Returns:
        (batch, outputs, positions).
    """
    by_fourier = x.device.type == "cpu" and x.dtype == torch.float32
    if by_fourier and not torch.is_autocast_enabled("cpu") and weight.shape[-1] > SHORT_KERNEL:
        return fourier_convolution(x, weight, bias)
    return channels_last_convolution(x, weight, bias)


def channels_last_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`causal_convolution` as a 2-D convolution of height 1 in channels-last memory order.

    Args and returns as `causal_convolution`.
    """
    padded = F.pad(x, (weight.shape[-1] - 1, 0)).unsqueeze(2)
    padded = padded.contiguous(memory_format=torch.channels_last)
    weight = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    return F.conv2d(padded, weight, bias).squeeze(2)


def fourier_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`causal_convolution` by overlap-save tiles.

    Args and returns as `causal_convolution`; float32 only.
    """
    batch, channels, positions = x.shape
    outputs, _, kernel = weight.shape
    length = tile_length(positions, kernel)
    step = length - kernel + 1
    tiles = -(-positions // step)
    # One block more than there are tiles: a tile is its block and the head of the next.
    blocks = F.pad(x, (kernel - 1, (tiles + 1) * step - positions - kernel + 1))
    blocks = blocks.view(batch, channels, tiles + 1, step)
    overlapping = torch.cat([blocks[:, :, :-1], blocks[:, :, 1:, : kernel - 1]], dim=-1)
    spectrum = torch.fft.rfft(overlapping)  # (B, C, tiles, F)
    spectrum = spectrum.permute(3, 0, 2, 1).reshape(-1, batch * tiles, channels)
    response = torch.fft.rfft(weight.flip(-1), n=length).permute(2, 1, 0)  # (F, C, O)
    product = torch.bmm(spectrum, response.contiguous())
    product = product.view(-1, batch, tiles, outputs).permute(1, 3, 2, 0)  # (B, O, tiles, F)
    valid = torch.fft.irfft(product, n=length)[..., kernel - 1 :]
    valid = valid.reshape(batch, outputs, tiles * step)[..., :positions]
    return valid + bias[:, None]
