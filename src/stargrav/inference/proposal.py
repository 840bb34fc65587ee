r"""Label vectors where a star's posterior lies: population Monte Carlo with a tempered likelihood.

A sample of points with weights w_i = L(theta_i)^beta / q(theta_i) is replaced by a new one, drawn
from a mixture of Student-t kernels about K of its points, whose covariance is that of the sample,

    q(theta) = sum_j share_j / K sum_c t_nu(theta; theta_c, h_j^2 Sigma)

(Cappe et al. 2004, J. Comput. Graph. Stat. 13, 907). Each round takes the largest exponent beta
that leaves enough effective points; once beta is 1, rounds go on until the effective sample size
is the one asked for. The wide kernels (h_2) guard against weights that the narrow ones would miss.
Whatever the proposal, the weights are exact: points outside the box of the prior have none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stargrav.inference.emulator import Emulator

if TYPE_CHECKING:
    from stargrav.inference.bayes import Likelihood


@dataclass(frozen=True)
class Refinement:
    """How the rounds go."""

    start: int = 2048  # best shared points that the first round is drawn from
    kernels: int = 64
    widths: tuple[float, float] = (0.55, 1.6)
    shares: tuple[float, float] = (0.85, 0.15)
    freedom: float = 5.0
    spread: float = 60.0  # effective points that a round must keep
    draws: int = 1024
    rounds: int = 24


def refine(
    emulator: Emulator,
    likelihood: Likelihood,
    unit: Tensor,
    log_l: Tensor,
    least_ess: float,
    generator: torch.Generator,
    how: Refinement = Refinement(),  # noqa: B008 - frozen
) -> list[tuple[Tensor, Tensor]]:
    """Weighted label vectors of stars, of the effective sample size that is asked for.

    Args:
        emulator: the library.
        likelihood: of the s stars.
        unit: (s, m, d) points of the unit cube, uniformly drawn, that are likely.
        log_l: (s, m) their log-likelihood.
        least_ess: asked for; a star that does not reach it in the last round keeps its best one.
        generator: of the draws.

    Returns:
        for each star, points (n, d) and log-weights (n,).
    """
    found: list[tuple[Tensor, Tensor]] = [(unit[i], log_l[i]) for i in range(len(unit))]
    best = torch.zeros(len(unit))
    active = torch.arange(len(unit))
    log_q = torch.zeros_like(log_l)
    draws = how.draws
    for number in range(how.rounds):
        beta = exponent(log_l, log_q, how.spread)
        mixture = Mixture(unit, beta[:, None] * log_l - log_q, how, generator)
        if number >= how.rounds // 2:
            draws = 4 * how.draws
        unit = mixture.draw(draws, generator)
        log_q = mixture.log_density(unit)
        log_l = log_posterior(emulator, likelihood[active], mixture.centres, unit)
        size = effective_size(log_l - log_q).cpu()
        for i, row in enumerate(active.tolist()):
            if size[i] > best[row]:
                best[row] = size[i]
                found[row] = (unit[i], log_l[i] - log_q[i])
        going = torch.nonzero(size < least_ess)[:, 0]
        if not len(going):
            break
        active, unit, log_l, log_q = active[going], unit[going], log_l[going], log_q[going]
    return found


class Mixture:
    """Student-t kernels about resampled points of weighted samples.

    Args:
        unit: (s, m, d) points.
        log_w: (s, m) log-weights.
        how: number, widths and shares of the kernels.
        generator: of the resampling.

    Attributes:
        centres: (s, K, d) of the kernels.
    """

    def __init__(
        self, unit: Tensor, log_w: Tensor, how: Refinement, generator: torch.Generator
    ) -> None:
        self.how = how
        weight = torch.softmax(log_w.double(), dim=1)
        mean = (weight[:, :, None] * unit).sum(dim=1, keepdim=True)
        away = unit - mean
        covariance = (weight[:, :, None] * away).transpose(1, 2) @ away
        tiny = torch.eye(unit.shape[2], dtype=torch.float64, device=unit.device) * 1e-16
        self.root = torch.linalg.cholesky(covariance + tiny)
        shape = (len(unit), 1)
        start = torch.rand(shape, generator=generator, device=unit.device, dtype=torch.float64)
        steps = torch.arange(how.kernels, device=unit.device)
        chosen = torch.searchsorted(weight.cumsum(dim=1), (steps + start) / how.kernels)
        chosen = chosen.clamp(max=unit.shape[1] - 1)
        self.centres = unit.gather(1, chosen[:, :, None].expand(-1, -1, unit.shape[2]))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(s, count, d) points, equally many about each centre."""
        stars, _, size = self.centres.shape
        device, how = self.centres.device, self.how
        shape = (stars, count, size)
        normal = torch.randn(shape, generator=generator, device=device, dtype=torch.float64)
        half = torch.full((stars, count), how.freedom / 2, dtype=torch.float64, device=device)
        chi2 = 2 * torch._standard_gamma(half, generator=generator)
        wide = torch.rand((stars, count), generator=generator, device=device) < how.shares[1]
        width = torch.where(wide, how.widths[1], how.widths[0])
        scale = width * (how.freedom / chi2).sqrt()
        step = (normal * scale[:, :, None]) @ self.root.transpose(1, 2)
        centre = torch.arange(count, device=device) % how.kernels
        return self.centres[:, centre] + step

    def log_density(self, unit: Tensor) -> Tensor:
        """log q (s, n) at points (s, n, d), but for a constant of each star."""
        size, nu = unit.shape[2], self.how.freedom
        middle = self.centres.mean(dim=1, keepdim=True)
        places = [
            torch.linalg.solve_triangular(self.root, (x - middle).transpose(1, 2), upper=False)
            for x in (unit, self.centres)
        ]
        near = torch.cdist(*(x.transpose(1, 2).float() for x in places)).square_()
        density = torch.zeros_like(near)
        for width, share in zip(self.how.widths, self.how.shares, strict=True):
            kernel = torch.addcdiv(torch.ones_like(near), near, near.new_tensor(nu * width**2))
            density += kernel.pow_(-(nu + size) / 2).mul_(share / width**size)
        return density.mean(dim=2).log().double()


def log_posterior(
    emulator: Emulator, likelihood: Likelihood, centres: Tensor, unit: Tensor
) -> Tensor:
    """log L (s, n) at points (s, n, d) of the unit cube, -inf outside of it."""
    regions = emulator.labels(centres)
    coefficients = emulator.coefficients(regions.flatten(0, 1)).unflatten(0, regions.shape[:2])
    pixels = emulator.middle_pixels(coefficients)
    inside = ((unit >= 0) & (unit <= 1)).all(dim=2)
    weights = emulator.weights_near(emulator.labels(unit.clamp(0, 1)), pixels)
    root, shift = likelihood.centred(weights[:, 0].double(), weights.dtype)
    chi2 = ((weights - weights[:, :1]) @ root - shift[:, None]).square_().sum(dim=2).double()
    return torch.where(inside, -chi2 / 2, -math.inf)


def exponent(log_l: Tensor, log_q: Tensor, least: float) -> Tensor:
    """Largest exponent (s,) of the likelihood, up to 1, that keeps an effective sample size.

    It grows with the exponent up to that of the distribution the points were drawn from, and
    falls from there on, so that exponents are tried from 1 downwards; where none keeps enough, the
    one that keeps most is taken.

    Args:
        log_l: (s, m) log-likelihood.
        log_q: (s, m) log-density that the points were drawn from.
        least: the effective sample size.
    """
    usable = log_l.clamp(min=-1e30)
    tried = torch.logspace(0, -8, 41, base=10, dtype=log_l.dtype, device=log_l.device)
    sizes = torch.stack([effective_size(beta * usable - log_q) for beta in tried], dim=1)
    enough = (sizes >= least).to(torch.int8)
    first = torch.where(enough.any(dim=1), enough.argmax(dim=1), sizes.argmax(dim=1))
    return tried[first]


def effective_size(log_w: Tensor) -> Tensor:
    """Kish's effective sample size (sum w)^2 / sum w^2 over the last axis."""
    weight = (log_w - log_w.amax(dim=-1, keepdim=True)).exp().double()
    return weight.sum(dim=-1) ** 2 / weight.square().sum(dim=-1)
