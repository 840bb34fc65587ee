r"""Samplers: from noise at t = 1 to a spectrum at t = 0, asking a denoiser on the way.

One step from t to s < t, with x the denoiser's mean at t and
epsilon = (x_t - alpha_t x) / sigma_t:

*ancestral* (Ho et al. 2020, arXiv:2006.11239) and *ddim* (Song et al. 2021, arXiv:2010.02502)

    x_s = alpha_s x + sigma_s (sqrt(1 - eta tau) epsilon + sqrt(eta tau) z),    z ~ N(0, I),
    tau = 1 - (alpha_t sigma_s / (alpha_s sigma_t))^2,

with eta = 1 and 0: the first needs about a thousand steps, the second follows the same
distribution by an ordinary differential equation, to first order in the step;

*dpm_solver*, DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, algorithm 2), solves that
equation to second order. With h the step in log(alpha / sigma), h' the one before and x' its mean,

    x_s = sigma_s / sigma_t x_t + alpha_s (1 - exp(-h)) (x + (x - x') h / (2 h')).

The step to t = 0, where sigma is 0, is x itself in all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stargrav.diffusion.denoise import Denoiser
from stargrav.diffusion.schedule import STEPS, Schedule
from stargrav.models.gaussian import SpectrumGaussian, SpectrumPosterior

Run = Callable[[Denoiser, Tensor, Tensor, torch.Generator | None], Tensor]


def scales(schedule: Schedule, times: Tensor) -> list[tuple[float, float]]:
    """alpha and sigma of each time, as numbers."""
    alpha, sigma = schedule(times.double())
    return list(zip(alpha.tolist(), sigma.tolist(), strict=True))


def leap(
    x_t: Tensor,
    mean: Tensor,
    now: tuple[float, float],
    then: tuple[float, float],
    eta: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One step of `ancestral` or `ddim`.

    Args:
        x_t: (batch, pixels).
        mean: E[x | x_t], the same shape.
        now: alpha and sigma of t.
        then: alpha and sigma of s.
        eta: how much of the noise is drawn anew.
        generator: of that noise.

    Returns:
        x_s, the same shape.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = now, then
    fresh = eta * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)
    x_s = alpha_s * mean + sigma_s * math.sqrt(1 - fresh) / sigma_t * (x_t - alpha_t * mean)
    if sigma_s * fresh == 0:
        return x_s
    noise = torch.randn(x_t.shape, generator=generator, device=x_t.device, dtype=x_t.dtype)
    return x_s + sigma_s * math.sqrt(fresh) * noise


def ancestral(
    denoiser: Denoiser,
    x: Tensor,
    times: Tensor,
    generator: torch.Generator | None = None,
    eta: float = 1.0,
) -> Tensor:
    """Sample by steps that forget.

    Args:
        denoiser: E[x | x_t].
        x: (batch, pixels), x_t of the first time.
        times: falling, such as 1 ... 0.
        generator: of the noise.
        eta: see above.

    Returns:
        (batch, pixels), x_t of the last time.
    """
    steps = scales(denoiser.schedule, times)
    for t, now, then in zip(times.to(x.device), steps, steps[1:], strict=False):
        x = leap(x, denoiser(x, t), now, then, eta, generator)
    return x


def ddim(
    denoiser: Denoiser, x: Tensor, times: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Sample by first-order steps without noise of their own; arguments as for `ancestral`."""
    return ancestral(denoiser, x, times, eta=0.0)


def dpm_solver(
    denoiser: Denoiser, x: Tensor, times: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Sample by second-order steps; arguments as for `ancestral`.

    The first step, which has none before it, is of first order.
    """
    steps = scales(denoiser.schedule, times)
    before: tuple[Tensor, float] | None = None
    for t, (alpha_t, sigma_t), (alpha_s, sigma_s) in zip(
        times.to(x.device), steps, steps[1:], strict=False
    ):
        mean = denoiser(x, t)
        if sigma_s == 0:
            return alpha_s * mean
        step = math.log(alpha_s / sigma_s * sigma_t / alpha_t)
        ahead = mean
        if before is not None:
            ahead = mean + (mean - before[0]) * (step / (2 * before[1]))
        x = sigma_s / sigma_t * x - alpha_s * math.expm1(-step) * ahead
        before = mean, step
    return x


@dataclass(frozen=True)
class Sampler:
    """A way to sample.

    Attributes:
        run: as `ancestral`.
        spacing: of its times, `even` or `even_in_snr` (see `schedule`).
        steps: that it needs, each asking the denoiser once.
    """

    run: Run
    spacing: Literal["even", "even_in_snr"]
    steps: int

    def times(self, schedule: Schedule, steps: int | None = None) -> Tensor:
        """(steps + 1,) times from 1 to 0, double precision."""
        return getattr(schedule, self.spacing)(steps or self.steps)


SAMPLERS = {
    "ancestral": Sampler(ancestral, "even", STEPS),
    "ddim": Sampler(ddim, "even_in_snr", 250),
    "dpm_solver": Sampler(dpm_solver, "even_in_snr", 50),
}


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    shape: tuple[int, int],
    sampler: Sampler,
    generator: torch.Generator,
    steps: int | None = None,
    prior: SpectrumGaussian | SpectrumPosterior | None = None,
) -> Tensor:
    """Spectra from nothing but noise.

    A little of the spectra is left at t = 1, and along their first principal axis, with a variance
    of thousands, it is more than a little (Lin et al. 2024, arXiv:2305.08891): with linear betas
    that of x_t is 1.1. `prior` puts it there.

    Args:
        denoiser: E[x | x_t].
        shape: (batch, pixels).
        sampler: of `SAMPLERS`, or another.
        generator: of all noise; its device is the samples'.
        steps: the sampler's own number if not given.
        prior: normal distribution of the spectra that is joined by the noise at t = 1; of stars
            that have been measured it is that of theirs: what starts elsewhere is remembered.

    Returns:
        (batch, pixels), standardised as the spectra that the denoiser was trained on.
    """
    x = torch.randn(shape, generator=generator, device=generator.device)
    times = sampler.times(denoiser.schedule, steps)
    if prior is not None:
        alpha, sigma = scales(denoiser.schedule, times[:1])[0]
        x = sigma * x + alpha * prior.draw(len(x), generator)
    return sampler.run(denoiser, x, times, generator)
