r"""Likelihoods that the denoiser is trained with, per pixel and up to nothing: they are complete.

The network predicts mean mu and spread s of the clean flux x from the other pixels; the pixel's
own measurement y = x + sigma n joins as a Gaussian product (`models.blindspot`).

    T1  clean spectrum known: Laplace likelihood of x under the product's mean and spread,
    E1  only y known: Laplace likelihood of y with mean mu and variance s^2 + sigma^2,
    E2  the same with a Gaussian.

E1 and E2 are self-supervised: as mu is blind to y, the noise in y cannot be learnt (Laine et al.
2019, eq. 5; Krull et al. 2019). Spread stands for the standard deviation throughout; a Laplace
distribution of deviation d has the scale d / sqrt 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from stargrav.models.blindspot import Prediction, gaussian_product

NARROWEST = 1e-6  # deviation below which a likelihood is not sharpened further


def laplace_nll(value: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Mean negative log likelihood of a Laplace distribution.

    Args:
        value: (...), where the distribution is evaluated.
        mean: (...).
        deviation: (...), standard deviation.

    Returns:
        scalar, nats per value.
    """
    scale = deviation.clamp_min(NARROWEST) / math.sqrt(2.0)
    return ((value - mean).abs() / scale + torch.log(2.0 * scale)).mean()


def gaussian_nll(value: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Mean negative log likelihood of a Gaussian; arguments as `laplace_nll`."""
    deviation = deviation.clamp_min(NARROWEST)
    squared = ((value - mean) / deviation) ** 2
    return (0.5 * squared + torch.log(deviation) + 0.5 * math.log(2.0 * math.pi)).mean()


def t1(prediction: Prediction, clean: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """Laplace likelihood of the denoised spectrum against the clean one.

    Args:
        prediction: of the network.
        clean: (batch, pixels).
        noisy: (batch, pixels).
        sigma: (batch, pixels), 1 sigma of the noise in `noisy`.

    Returns:
        scalar, nats per pixel.
    """
    joined = gaussian_product(prediction, noisy, sigma)
    return laplace_nll(clean, joined.mean, joined.spread)


def e1(prediction: Prediction, clean: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """Laplace likelihood of the noisy pixel; arguments as `t1`, `clean` is not looked at."""
    return laplace_nll(noisy, prediction.mean, torch.hypot(prediction.spread, sigma))


def e2(prediction: Prediction, clean: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian likelihood of the noisy pixel; arguments as `t1`, `clean` is not looked at."""
    return gaussian_nll(noisy, prediction.mean, torch.hypot(prediction.spread, sigma))


LOSSES: dict[str, Callable[[Prediction, Tensor, Tensor, Tensor], Tensor]] = {
    "T1": t1,
    "E1": e1,
    "E2": e2,
}
