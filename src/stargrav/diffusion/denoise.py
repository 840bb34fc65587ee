r"""Denoisers: the mean clean spectrum behind x_t, and what a network may predict instead of it.

    x_t = alpha x + sigma epsilon,    v = alpha epsilon - sigma x

(v of Salimans & Ho 2022, arXiv:2202.00512). Given x_t, any of x, epsilon and v follows from any
other, and so does the residual (x - m) / s, with m and s the mean and the deviation of x that a
normal prior leads to: a network that predicts it learns only what the best linear guess misses, at
all noise levels in numbers of the order of 1. With a prior of one variance for all directions the
residual is -v; the preconditioning of Karras et al. (2022, arXiv:2206.00364) is that case.

A model of measured stars may predict the `posterior_residual`, which is measured from what the
normal prior says of x given x_t and the measurement (`SpectrumGaussian.given`). Its network sees
that mean as the last channel of its condition.

`to_clean` and `from_clean` are the only place where they are converted: training makes its targets
with the one, samplers read the answers with the other.

A denoiser is whatever is called as denoiser(x_t, t) and has a `schedule`; samplers and guidance
ask for no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from stargrav.diffusion.schedule import Schedule
from stargrav.models.unet1d import UNet1d

Prediction = Literal["epsilon", "x", "v", "residual", "posterior_residual"]
RESIDUALS = ("residual", "posterior_residual")
PREDICTIONS: tuple[str, ...] = get_args(Prediction)
Prior = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]  # as SpectrumGaussian


class Denoiser(Protocol):
    """E[x | x_t].

    Attributes:
        schedule: what the times belong to.
    """

    schedule: Schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Mean of x (batch, pixels) given x_t (batch, pixels) at time t, a scalar above 0."""


def to_clean(
    value: Tensor,
    prediction: Prediction,
    x_t: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    prior: Prior | None = None,
) -> Tensor:
    """The clean x that a predicted value stands for.

    Args:
        value: (batch, pixels) of x, epsilon, v or a residual.
        prediction: which of them it is.
        x_t: (batch, pixels).
        alpha: of the schedule, positive; scalar or (batch, 1).
        sigma: the same.
        prior: what residuals are measured from.

    Returns:
        (batch, pixels).
    """
    if prediction == "epsilon":
        return (x_t - sigma * value) / alpha
    if prediction == "v":
        return alpha * x_t - sigma * value
    if prediction in RESIDUALS:
        mean, spread = prior(x_t, alpha, sigma)
        return mean + spread * value
    return value


def from_clean(
    x: Tensor,
    prediction: Prediction,
    x_t: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    prior: Prior | None = None,
) -> Tensor:
    """The inverse of `to_clean`: what is predicted where x is the clean spectrum; sigma > 0."""
    if prediction == "epsilon":
        return (x_t - alpha * x) / sigma
    if prediction == "v":
        return (alpha * x_t - x) / sigma
    if prediction in RESIDUALS:
        mean, spread = prior(x_t, alpha, sigma)
        return (x - mean) / spread
    return x


class NetworkDenoiser:
    """The mean that a network predicts.

    Args:
        network: called as network(x_t, log_snr, condition), log_snr (batch,); says by its
            `prediction` what it predicts, and has a `prior`.
        schedule: any; need not be that of the training.
        condition: (batch, channels, pixels) that the network is told besides.
        posterior: what is known of the stars from their measurement, by the network's prior, where
            the network predicts the posterior residual.

    Raises:
        ValueError: the network needs a posterior and has none.
    """

    def __init__(
        self,
        network: UNet1d,
        schedule: Schedule,
        condition: Tensor | None = None,
        posterior: Prior | None = None,
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.condition = condition
        self.prior = _start(network, posterior)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x | x_t, condition], (batch, pixels)."""
        alpha, sigma = (scale.to(x_t) for scale in self.schedule(t))
        log_snr = self.schedule.log_snr(t).to(x_t).expand(len(x_t))
        kind, prior = self.network.prediction, self.prior
        told = _told(kind, x_t, alpha, sigma, self.condition, prior)
        value = self.network(x_t, log_snr, told)
        return to_clean(value, kind, x_t, alpha, sigma, prior)


def prediction_loss(
    network: UNet1d,
    x: Tensor,
    t: Tensor,
    noise: Tensor,
    schedule: Schedule,
    condition: Tensor | None = None,
    posterior: Prior | None = None,
) -> Tensor:
    """Mean square error of what a network predicts (L_simple of Ho et al. 2020 for epsilon).

    Args:
        network: see `NetworkDenoiser`.
        x: (batch, pixels), clean.
        t: (batch,), above 0.
        noise: (batch, pixels), standard normal.
        schedule: of the noise.
        condition: (batch, channels, pixels) or None.
        posterior: see `NetworkDenoiser`.

    Returns:
        a scalar; 1 is what predicting nothing at all costs.
    """
    alpha, sigma = (scale[:, None].to(x) for scale in schedule(t))
    x_t = alpha * x + sigma * noise
    kind, prior = network.prediction, _start(network, posterior)
    # along the first axes x is some 30 times what is left at small t: too much for half precision
    with torch.autocast(x.device.type, enabled=False):
        target = from_clean(x, kind, x_t, alpha, sigma, prior)
        told = _told(kind, x_t, alpha, sigma, condition, prior)
    value = network(x_t, schedule.log_snr(t).to(x), told)
    return F.mse_loss(value, target)


def _start(network: UNet1d, posterior: Prior | None) -> Prior:
    """What residuals of a network are measured from."""
    if network.prediction != "posterior_residual":
        return network.prior
    if posterior is None:
        raise ValueError("a network that predicts the posterior residual needs a posterior")
    return posterior


def _told(
    prediction: Prediction,
    x_t: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    condition: Tensor | None,
    prior: Prior,
) -> Tensor | None:
    """The condition that a network is told at a time."""
    if prediction != "posterior_residual":
        return condition
    mean = prior(x_t, alpha, sigma)[0][:, None]
    return mean if condition is None else torch.cat([condition, mean], dim=1)
