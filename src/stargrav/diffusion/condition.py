r"""What a conditional model is told of a star besides x_t, in numbers of the order of 1.

noisy     the measured spectrum, standardised as the clean ones are
error     log of its error over their scale, halved
ivar      its inverse variance, as the share w = 1 / (1 + (error / scale)^2) of a measurement
          in the mean of it and of a spectrum known to 1 scale: 0 where the pixel tells nothing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stargrav.models.gaussian import SpectrumGaussian, SpectrumPosterior
from stargrav.models.unet1d import UNet1d

CONDITIONS = ("noisy", "error", "ivar")


def condition(
    names: Sequence[str], batch: Mapping[str, Tensor], prior: SpectrumGaussian
) -> Tensor | None:
    """Channels of a condition.

    Args:
        names: of `CONDITIONS`.
        batch: noisy (batch, pixels) and its error (batch, pixels), positive, in flux.
        prior: of the standardisation.

    Returns:
        (batch, channels, pixels) in the order of the names; None if there are none.

    Raises:
        ValueError: a name is none of them.
    """
    found = []
    for name in names:
        relative = batch["error"] / prior.scale
        if name == "noisy":
            found.append(prior.standardise(batch["noisy"]))
        elif name == "error":
            found.append(relative.log() / 2)
        elif name == "ivar":
            found.append(1 / (1 + relative.square()))
        else:
            expected = ", ".join(CONDITIONS)
            raise ValueError(f"condition: found {name!r}, expected one of {expected}")
    return torch.stack(found, dim=1) if found else None


def posterior(network: UNet1d, batch: Mapping[str, Tensor]) -> SpectrumPosterior | None:
    """What the normal prior of a network says of the stars of a batch (see `condition`).

    None where what the network predicts does not ask for it.
    """
    if network.prediction != "posterior_residual":
        return None
    prior = network.prior
    return prior.given(prior.standardise(batch["noisy"]), batch["error"] / prior.scale)
