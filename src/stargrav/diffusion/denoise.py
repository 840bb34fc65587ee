r"""Denoisers: the mean clean spectrum behind x_t, and what a network may predict instead of it.

    x_t = alpha x + sigma epsilon,    v = alpha epsilon - sigma x

(v of Salimans & Ho 2022, arXiv:2202.00512). Given x_t, any of x, epsilon and v follows from any
other. `to_clean` and `from_clean` are the only place where they are converted: training makes its
targets with the one, samplers read the answers with the other.

A denoiser is whatever is called as denoiser(x_t, t) and has a `schedule`; samplers and guidance
ask for no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from stargrav.diffusion.schedule import Schedule

Prediction = Literal["epsilon", "x", "v"]
PREDICTIONS: tuple[str, ...] = get_args(Prediction)


class Denoiser(Protocol):
    """E[x | x_t].

    Attributes:
        schedule: what the times belong to.
    """

    schedule: Schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Mean of x (batch, pixels) given x_t (batch, pixels) at time t, a scalar above 0."""


def to_clean(
    value: Tensor, prediction: Prediction, x_t: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """The clean x that a predicted value stands for.

    Args:
        value: (batch, pixels) of x, epsilon or v.
        prediction: which of them it is.
        x_t: (batch, pixels).
        alpha: of the schedule, positive; scalar or (batch, 1).
        sigma: the same.

    Returns:
        (batch, pixels).
    """
    if prediction == "epsilon":
        return (x_t - sigma * value) / alpha
    if prediction == "v":
        return alpha * x_t - sigma * value
    return value


def from_clean(
    x: Tensor, prediction: Prediction, x_t: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """The inverse of `to_clean`: x, epsilon or v of a clean x; sigma is positive."""
    if prediction == "epsilon":
        return (x_t - alpha * x) / sigma
    if prediction == "v":
        return (alpha * x_t - x) / sigma
    return x


class NetworkDenoiser:
    """The mean that a network predicts.

    Args:
        network: called as network(x_t, log_snr, condition), log_snr (batch,).
        schedule: any; need not be that of the training.
        prediction: what the network was trained to predict.
        condition: (batch, channels, pixels) that the network is told besides.
    """

    def __init__(
        self,
        network: nn.Module | Callable[..., Tensor],
        schedule: Schedule,
        prediction: Prediction = "epsilon",
        condition: Tensor | None = None,
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.prediction = prediction
        self.condition = condition

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x | x_t, condition], (batch, pixels)."""
        alpha, sigma = (scale.to(x_t) for scale in self.schedule(t))
        log_snr = self.schedule.log_snr(t).to(x_t).expand(len(x_t))
        value = self.network(x_t, log_snr, self.condition)
        return to_clean(value, self.prediction, x_t, alpha, sigma)


def noised(
    x: Tensor, t: Tensor, schedule: Schedule, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Spectra with the noise of their times.

    Args:
        x: (batch, pixels), clean.
        t: (batch,), above 0.
        schedule: of the noise.
        noise: (batch, pixels), standard normal.

    Returns:
        x_t (batch, pixels), alpha (batch, 1), sigma (batch, 1).
    """
    alpha, sigma = (scale[:, None].to(x) for scale in schedule(t))
    return alpha * x + sigma * noise, alpha, sigma


def prediction_loss(
    network: nn.Module | Callable[..., Tensor],
    x: Tensor,
    t: Tensor,
    noise: Tensor,
    schedule: Schedule,
    prediction: Prediction = "epsilon",
    condition: Tensor | None = None,
) -> Tensor:
    """Mean square error of what a network predicts (L_simple of Ho et al. 2020 for epsilon).

    Args:
        network: see `NetworkDenoiser`.
        x: (batch, pixels), clean.
        t: (batch,), above 0.
        noise: (batch, pixels), standard normal.
        schedule: of the noise.
        prediction: what the network predicts.
        condition: (batch, channels, pixels) or None.

    Returns:
        a scalar; for epsilon and v, 1 is what predicting nothing at all costs.
    """
    x_t, alpha, sigma = noised(x, t, schedule, noise)
    target = from_clean(x, prediction, x_t, alpha, sigma)
    value = network(x_t, schedule.log_snr(t).to(x), condition)
    return torch.nn.functional.mse_loss(value, target)
