r"""Guidance: samples of the clean spectrum given a measured one, by a model that never saw noise.

For y = x + error n, n ~ N(0, I), with an error for each pixel, E[x | x_t, y] is wanted where the
denoiser gives m = E[x | x_t]. If x given x_t is normal with covariance V, it is exactly

    m + V (V + diag(error^2))^-1 (y - m).                                                      (1)

*GaussianProduct* takes V diagonal, V_i = s_i^2: pixel by pixel the product of two Gaussians,
(s_i^2 y_i + error_i^2 m_i) / (s_i^2 + error_i^2). Exact for independent pixels.

*MomentMatching* (Rozet et al. 2024, arXiv:2405.13712) takes V = sigma_t^2 / alpha_t dm/dx_t, which
is the true covariance (Tweedie), and solves (1) by conjugate gradients, each of which costs a
gradient of the denoiser. Exact for a normal prior, whatever its covariance. The derivative of a
network need be neither symmetric nor positive, and sigma_t^2 / alpha_t makes much of it where
noise is large: conjugate gradients then diverge. With `prior`, V is that of a normal distribution
of the spectra, known without a gradient, and the network gives the mean alone.

Both are denoisers, and combine with any sampler.

*dps*, diffusion posterior sampling (Chung et al. 2023, arXiv:2209.14687, algorithm 1), takes
p(y | x_t) to be p(y | x = m), as if m were known without error, and follows ancestral steps by

    x_s <- x_s - strength grad_(x_t) |(y - m) / error|.

That is no posterior, and its samples are biased even where all else is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stargrav.diffusion.denoise import Denoiser, Prior
from stargrav.diffusion.sample import Run, leap, scales
from stargrav.diffusion.schedule import Schedule
from stargrav.models.blindspot import Prediction, gaussian_product

SMALLEST = 1e-12  # of a squared residual that is still worth a step


class GaussianProduct:
    """E[x | x_t, y] for pixels that are independent given x_t.

    Args:
        denoiser: E[x | x_t].
        measured: (batch, pixels) y, standardised.
        error: (batch, pixels), in the unit of y.
        variance: of the pixels of x given x_t, called with alpha and sigma, such as
            `SpectrumGaussian.pixel_variance`.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        measured: Tensor,
        error: Tensor,
        variance: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        self.denoiser = denoiser
        self.measured = measured
        self.error = error
        self.variance = variance

    @property
    def schedule(self) -> Schedule:
        """The denoiser's own."""
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """(batch, pixels)."""
        alpha, sigma = (scale.to(x_t) for scale in self.schedule(t))
        spread = self.variance(alpha, sigma).sqrt()
        known = Prediction(self.denoiser(x_t, t), spread)
        return gaussian_product(known, self.measured, self.error).mean


class MomentMatching:
    """E[x | x_t, y] with the covariance that the denoiser itself, or a normal prior, implies.

    Args:
        denoiser: E[x | x_t], differentiable if there is no prior.
        measured: (batch, pixels) y, standardised.
        error: (batch, pixels), in the unit of y, positive.
        iterations: of conjugate gradients; as many as there are directions in which x given x_t
            is less certain than y are enough.
        prior: normal distribution whose covariance is taken; the denoiser's own if None.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        measured: Tensor,
        error: Tensor,
        iterations: int = 5,
        prior: Prior | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.measured = measured
        self.error = error
        self.iterations = iterations
        self.prior = prior

    @property
    def schedule(self) -> Schedule:
        """The denoiser's own."""
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """(batch, pixels)."""
        alpha, sigma = (scale.to(x_t) for scale in self.schedule(t))
        with torch.set_grad_enabled(self.prior is None):
            x_t = x_t.detach().requires_grad_(self.prior is None)
            mean = self.denoiser(x_t, t)

        def covariance(v: Tensor) -> Tensor:
            if self.prior is not None:  # its mean is linear in x_t, and its own derivative
                return sigma**2 / alpha * self.prior(v, alpha, sigma)[0]
            (product,) = torch.autograd.grad(mean, x_t, v, retain_graph=True)
            return sigma**2 / alpha * product

        # in units of the error, (V' + I) u = (y - m)' has eigenvalues from 1 on
        residual = (self.measured - mean.detach()) / self.error
        u, direction = torch.zeros_like(residual), residual
        squared = residual.square().sum(-1, keepdim=True)
        for _ in range(self.iterations):
            image = direction + covariance(direction / self.error) / self.error
            step = squared / (direction * image).sum(-1, keepdim=True).clamp(min=SMALLEST)
            u = u + step * direction
            residual = residual - step * image
            before, squared = squared, residual.square().sum(-1, keepdim=True)
            direction = residual + squared / before.clamp(min=SMALLEST) * direction
        return mean.detach() + covariance(u / self.error)


def dps(measured: Tensor, error: Tensor, strength: float = 1.0) -> Run:
    """A way to sample, for `Sampler(dps(...), "even", 1000)`.

    Args:
        measured: (batch, pixels) y, standardised.
        error: (batch, pixels), in the unit of y, positive.
        strength: of the steps towards y.

    Returns:
        called as `ancestral`; the denoiser has to be differentiable.
    """

    def run(
        denoiser: Denoiser, x: Tensor, times: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        steps = scales(denoiser.schedule, times)
        for t, now, then in zip(times.to(x.device), steps, steps[1:], strict=False):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                mean = denoiser(x, t)
                missed = ((measured - mean) / error).norm(dim=-1).sum()
            (gradient,) = torch.autograd.grad(missed, x)
            x = leap(x, mean, now, then, generator=generator).detach() - strength * gradient
        return x.detach()

    return run
