"""From a layer, channels at positions in wavelength, to the latent of a spectrum.

`global_mean` keeps one number per channel, `mean_max` the mean and the largest value,
`seg_mean_K` the means in K equal stretches of the spectrum. Lines that tell log g sit at their
own wavelengths: pooling over segments keeps apart what a mean over the spectrum mixes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SEGMENTS = "seg_mean_"
READOUT = ("enc_pre_latent", "seg_mean_8")  # layer and pooling of the main job


def pool(layer: Tensor, pooling: str) -> Tensor:
    """Pool a layer over its positions.

    Args:
        layer: (batch, channels, positions).
        pooling: `global_mean`, `mean_max` or `seg_mean_K`. Positions that do not divide by K are
            cut into segments that share their edge position.

    Returns:
        (batch, size(pooling, channels)); segments are ordered channel by channel.

    Raises:
        ValueError: there is no such pooling.
    """
    if pooling == "global_mean":
        return layer.mean(-1)
    if pooling == "mean_max":
        return torch.cat([layer.mean(-1), layer.amax(-1)], dim=1)
    return F.adaptive_avg_pool1d(layer, segments(pooling)).flatten(1)


def size(pooling: str, channels: int) -> int:
    """Length of the latent that a pooling makes of a layer with so many channels."""
    factor = {"global_mean": 1, "mean_max": 2}
    return channels * (factor[pooling] if pooling in factor else segments(pooling))


def segments(pooling: str) -> int:
    """K of `seg_mean_K`.

    Raises:
        ValueError: it is no such name.
    """
    count = pooling.removeprefix(SEGMENTS)
    if not (pooling.startswith(SEGMENTS) and count.isdigit() and int(count)):
        raise ValueError(f"pooling: found {pooling!r}, expected global_mean, mean_max, seg_mean_K")
    return int(count)
