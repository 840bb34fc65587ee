r"""Label vectors where a star's posterior lies: adaptive importance sampling with local kernels.

The likelihood is chi^2 = |r(theta)|^2 with known derivatives J = dr/dtheta, so that near a point c
the posterior resembles a Gaussian of precision H_c = J'J + P, P that of the prior. Each round
draws points from a mixture of Student-t kernels about K places,

    q_t(theta) = sum_j share_j / K sum_c t_nu(theta; c, h_j^2 H_c^-1),

whose shapes follow curved and bounded posteriors from place to place, and weighs the points of all
rounds by w = L(theta) / sum_t q_t(theta) (adaptive multiple importance sampling, Cornuet et al.
2012, Scand. J. Stat. 39, 798): a place that one round has missed has its weight corrected by the
next. The places of a round are points drawn with these weights, with L^beta for L where few of
them carry it; those of the first are the likeliest shared points, or, where these are too
far off, what Levenberg-Marquardt steps lead to from them. Local shapes alone would stay
within one mode, so that some kernels of each round, the guards, stand at places of a flattened
likelihood and have the covariance of all of these. Rounds go on until the effective sample size is
the one asked for. Points outside the box of the prior have no weight.

A mode that no descent has found is missed by all rounds, and the effective sample size does not
show it. Two things do: chi^2 at the truth is that of 1 + k normal deviates, so that the best
place must not have a much larger one; and descents that reach the best place rarely may as well
have missed a better one. In both cases more points descend, and for longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import chi2
from torch import Tensor

from stargrav.inference.emulator import Emulator
from stargrav.inference.likelihood import Likelihood

PRIOR = 12.0  # precision of a uniform distribution on 0..1


@dataclass(frozen=True)
class Refinement:
    """How the rounds go."""

    start: int = 1024  # best shared points that the first places are taken from
    near: float = 0.2  # exponent above which they serve as they are
    descents: int = 32  # points that descend at a time where they do not
    steps: tuple[int, ...] = (6, 12, 12, 12)  # of Levenberg-Marquardt, while modes may be missing
    chance: float = 1e-4  # that chi^2 at the truth is larger than one that is believed
    agreed: int = 8  # descents that lead to the best place
    near_best: float = 5.0  # log-likelihood below the best that counts as the best place
    kernels: int = 32
    guards: int = 8  # of these
    flat: float = 0.5  # exponent of the guards' likelihood, of that of the others
    widths: tuple[float, float] = (0.7, 2.0)
    shares: tuple[float, float] = (0.85, 0.15)
    freedom: float = 5.0
    spread: float = 30.0  # effective points that places are drawn from
    draws: int = 512
    rounds: int = 30


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
        least_ess: asked for; a star may stay below it when all rounds are over.
        generator: of the draws.

    Returns:
        for each star, points (n, d) and log-weights (n,).
    """
    found: list[tuple[Tensor, Tensor]] = [(unit[i], log_l[i]) for i in range(len(unit))]
    centres, beta, wide = places(
        emulator, likelihood, unit.double(), log_l.double(), how, generator
    )
    sample = Sample(torch.arange(len(unit), device=unit.device))
    for _ in range(how.rounds):
        local = Local(emulator, likelihood[sample.stars], centres)
        mixture = Mixture(local, beta, wide, how)
        points = mixture.draw(how.draws, generator)
        sample.add(points, local.log_likelihood(points), mixture)
        log_w = sample.log_weights()
        short = effective_size(log_w) < least_ess
        for i in torch.nonzero(~short)[:, 0].tolist():
            found[int(sample.stars[i])] = (sample.unit[i], log_w[i])
        if not short.any():
            return found
        sample = sample.of(short)
        beta = exponent(sample.log_l, sample.log_q, how.spread)
        centres, wide = chosen(sample.unit, sample.log_l, sample.log_q, beta, how, generator)
    for i, log_w in enumerate(sample.log_weights()):
        found[int(sample.stars[i])] = (sample.unit[i], log_w)
    return found


def places(
    emulator: Emulator,
    likelihood: Likelihood,
    unit: Tensor,
    log_l: Tensor,
    how: Refinement,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Places (s, K, d) of the first round, its exponents (s,) and the guards' precision."""
    beta = exponent(log_l, 0.0, how.spread)
    centres, wide = chosen(unit, log_l, torch.zeros_like(log_l), beta, how, generator)
    far = torch.nonzero(beta < how.near)[:, 0]
    if len(far):
        log_w = beta[far, None] * log_l[far]
        local = how.kernels - how.guards
        centres[far, :local] = ends(
            emulator, likelihood[far], unit[far], log_w, local, how, generator
        )
        beta[far] = 1.0
    return centres, beta, wide


def ends(
    emulator: Emulator,
    likelihood: Likelihood,
    unit: Tensor,
    log_w: Tensor,
    count: int,
    how: Refinement,
    generator: torch.Generator,
) -> Tensor:
    """Places (s, count, d) that descents lead to, from different points each.

    Args:
        emulator: the library.
        likelihood: of the s stars.
        unit: (s, m, d) points.
        log_w: (s, m) their log-weights; heavy ones descend first.
        count: of places; a likely one that several descents lead to counts several times.
        how: the number of descents and of their steps.
        generator: of the choice.
    """
    order = shuffled(log_w, generator)
    found = torch.empty(len(unit), count, unit.shape[2], dtype=unit.dtype, device=unit.device)
    rows = torch.arange(len(unit), device=unit.device)
    places, value = found[:, :0], log_w[:, :0]
    for number, steps in enumerate(how.steps):
        turn = torch.arange(how.descents, device=unit.device) + number * how.descents
        part = order[rows][:, turn % order.shape[1]]
        start = unit[rows].gather(1, part[:, :, None].expand(-1, -1, unit.shape[2]))
        for _ in range(steps):
            start, log_l = descended(emulator, likelihood[rows], start)
        places, value = torch.cat([places, start], dim=1), torch.cat([value, log_l], dim=1)
        share = exponent(value, 0.0, 0.4 * how.descents)
        found[rows] = resampled(places, share[:, None] * value, count, generator)
        doubt = doubtful(value, likelihood.root.shape[-1], how)
        if not doubt.any():
            break
        rows, places, value = rows[doubt], places[doubt], value[doubt]
    return found


def doubtful(value: Tensor, size: int, how: Refinement) -> Tensor:
    """Whether the best mode of stars (s,) may be missing from where descents ended.

    Args:
        value: (s, m) log-likelihood of the ends, -chi^2 / 2.
        size: degrees of freedom of chi^2 at the truth.
        how: what is believed.
    """
    best = value.amax(dim=1)
    agreed = (value > best[:, None] - how.near_best).sum(dim=1)
    return (-2 * best > chi2.isf(how.chance, size)) | (agreed < how.agreed)


def chosen(
    unit: Tensor,
    log_l: Tensor,
    log_q: Tensor,
    beta: Tensor,
    how: Refinement,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Places (s, K, d) of a round, those of the guards last, and the guards' precision (s, d, d).

    Args:
        unit: (s, m, d) points.
        log_l: (s, m) their log-likelihood.
        log_q: (s, m) log-density that they were drawn from.
        beta: (s,) exponent of the likelihood.
        how: number of kernels and guards.
        generator: of the choice.
    """
    usable = beta[:, None] * log_l.clamp(min=-1e30)
    local = resampled(unit, usable - log_q, how.kernels - how.guards, generator)
    weight = torch.softmax(how.flat * usable - log_q, dim=1)
    guards = resampled(unit, weight.log(), how.guards, generator)
    away = unit - (weight[:, :, None] * unit).sum(dim=1, keepdim=True)
    covariance = (weight[:, :, None] * away).transpose(1, 2) @ away
    tiny = torch.eye(unit.shape[2], dtype=unit.dtype, device=unit.device) * 1e-14
    return torch.cat([local, guards], dim=1), torch.linalg.inv(covariance + tiny)


class Sample:
    """The points of all rounds of some stars.

    Args:
        stars: (s,) their numbers.

    Attributes:
        unit: (s, n, d) points.
        log_l: (s, n) log-likelihood.
        log_q: (s, n) logarithm of the sum of the rounds' densities.
    """

    def __init__(self, stars: Tensor) -> None:
        self.stars = stars
        self.unit = self.log_l = self.log_q = None
        self._mixtures: list[Mixture] = []

    def add(self, unit: Tensor, log_l: Tensor, mixture: Mixture) -> None:
        """Take in the points (s, m, d) of a round, drawn from `mixture`."""
        self._mixtures.append(mixture)
        log_q = torch.stack([each.log_density(unit) for each in self._mixtures]).logsumexp(0)
        if self.unit is None:
            self.unit, self.log_l, self.log_q = unit, log_l, log_q
            return
        before = torch.logaddexp(self.log_q, mixture.log_density(self.unit))
        self.unit = torch.cat([self.unit, unit], dim=1)
        self.log_l = torch.cat([self.log_l, log_l], dim=1)
        self.log_q = torch.cat([before, log_q], dim=1)

    def log_weights(self) -> Tensor:
        """(s, n) log-weights of the posterior."""
        return self.log_l - self.log_q

    def of(self, rows: Tensor) -> Sample:
        """Those of some of the stars."""
        found = Sample(self.stars[rows])
        found.unit, found.log_l, found.log_q = self.unit[rows], self.log_l[rows], self.log_q[rows]
        found._mixtures = [mixture[rows] for mixture in self._mixtures]
        return found


class Local:
    """The likelihood of stars and its derivatives about some centres.

    Args:
        emulator: the library.
        likelihood: of the s stars.
        centres: (s, K, d) points of the unit cube.

    Attributes:
        centres: the same.
        residual: (s, K, k) r, whose square is chi^2 but for a constant.
        slope: (s, K, d, k) its derivative by the coordinates of the unit cube.
    """

    def __init__(self, emulator: Emulator, likelihood: Likelihood, centres: Tensor) -> None:
        self.emulator, self.centres = emulator, centres
        labels = emulator.labels(centres)
        value, slope = emulator.slopes(labels.flatten(0, 1))
        value, slope = (x.unflatten(0, centres.shape[:2]) for x in (value, slope))
        self._pixels = emulator.middle_pixels(value)
        weights, middle = emulator.divided(value, self._pixels)
        self._about = weights[:, :1]
        self._root, self._shift = likelihood.centred(weights[:, 0], weights.dtype)
        self.residual = self._residual(weights)
        lift = emulator.median_slopes(slope, self._pixels)
        change = torch.cat([torch.zeros_like(slope[..., :1]), slope], dim=-1)
        change = (change - weights[:, :, None] * lift[..., None]) / middle[:, :, None, None]
        span = (emulator.high - emulator.low)[emulator.free]
        self.slope = (change * span[:, None]) @ self._root[:, None]

    def log_likelihood(self, unit: Tensor) -> Tensor:
        """log L (s, n) at points (s, n, d) of the unit cube, -inf outside of it."""
        inside = ((unit >= 0) & (unit <= 1)).all(dim=2)
        labels = self.emulator.labels(unit.clamp(0, 1))
        value = self.emulator.coefficients(labels.flatten(0, 1)).unflatten(0, unit.shape[:2])
        weights, _ = self.emulator.divided(value, self._pixels)
        chi2 = self._residual(weights).square().sum(dim=2).double()
        return torch.where(inside, -chi2 / 2, -math.inf)

    def _residual(self, weights: Tensor) -> Tensor:
        return (weights - self._about) @ self._root - self._shift[:, None]


def descended(
    emulator: Emulator, likelihood: Likelihood, centres: Tensor
) -> tuple[Tensor, Tensor]:
    """Points (s, K, d) after a Levenberg-Marquardt step each, the best of several lengths.

    A coordinate at the edge of the unit cube that would leave it stays there.

    Returns:
        the points, and their log-likelihood (s, K).
    """
    local = Local(emulator, likelihood, centres)
    slope = local.slope.double()
    gradient = (slope @ local.residual.double()[..., None])[..., 0]
    square = slope @ slope.transpose(2, 3)
    held = ((centres <= 0) & (gradient > 0)) | ((centres >= 1) & (gradient < 0))
    free = (~held).double()
    square = square * free[..., None] * free[..., None, :]
    size = square.diagonal(dim1=2, dim2=3)
    tried = [centres]
    for damping in (1e-3, 0.1, 3.0):
        lhs = square + torch.diag_embed(damping * size + PRIOR)
        step = torch.linalg.solve(lhs, gradient * free)
        tried.append((centres - step).clamp(0, 1))
    log_l = local.log_likelihood(torch.cat(tried[1:], dim=1)).unflatten(1, (len(tried) - 1, -1))
    here = -local.residual.square().sum(dim=2).double() / 2
    value, best = torch.cat([here[:, None], log_l], dim=1).max(dim=1)
    longest = best[:, None, :, None].expand(-1, -1, -1, centres.shape[2])
    return torch.stack(tried, dim=1).gather(1, longest)[:, 0], value


class Mixture:
    """For each star, Student-t kernels about K centres, each of its own shape.

    Args:
        local: the likelihood about the centres.
        beta: (s,) exponent of the likelihood.
        wide: (s, d, d) precision of the guards' kernels, the last ones.
        how: widths and shares of the kernels.
    """

    def __init__(self, local: Local, beta: Tensor, wide: Tensor, how: Refinement) -> None:
        self.how, self.centres = how, local.centres
        slope = local.slope.double()
        unity = torch.eye(slope.shape[2], dtype=torch.float64, device=slope.device)
        precision = beta[:, None, None, None] * slope @ slope.transpose(2, 3) + PRIOR * unity
        precision[:, how.kernels - how.guards :] = wide[:, None]
        self.root = torch.linalg.cholesky(precision).transpose(2, 3)  # |root (x - c)|: distance

    def __getitem__(self, rows: Tensor) -> Mixture:
        """Those of some of the stars."""
        found = object.__new__(Mixture)
        found.how, found.centres, found.root = self.how, self.centres[rows], self.root[rows]
        return found

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(s, count, d) points, equally many about each centre."""
        stars, _, size = self.centres.shape
        how, place = self.how, {"device": self.centres.device, "dtype": self.centres.dtype}
        normal = torch.randn((stars, count, size), generator=generator, **place)
        half = torch.full((stars, count), how.freedom / 2, **place)
        chi2 = 2 * torch._standard_gamma(half, generator=generator)
        wide = torch.rand((stars, count), generator=generator, **place) < how.shares[1]
        width = torch.where(wide, how.widths[1], how.widths[0])
        normal = normal * (width * (how.freedom / chi2).sqrt())[:, :, None]
        centre = torch.arange(count, device=normal.device) % how.kernels
        step = torch.linalg.solve_triangular(self.root[:, centre], normal[..., None], upper=True)
        return self.centres[:, centre] + step[..., 0]

    def log_density(self, unit: Tensor) -> Tensor:
        """log q (s, n) at points (s, n, d), but for a constant that all mixtures share."""
        size, nu = unit.shape[2], self.how.freedom
        middle = self.centres.mean(dim=1, keepdim=True)
        place = (self.root @ (self.centres - middle)[..., None])[..., 0].flatten(1).float()
        turned = (unit - middle).float() @ self.root.flatten(1, 2).transpose(1, 2).float()
        near = (turned - place[:, None]).square_().unflatten(2, (-1, size)).sum(dim=3)
        volume = self.root.diagonal(dim1=2, dim2=3).log().sum(dim=2)
        largest = volume.amax(dim=1, keepdim=True)
        volume = (volume - largest).exp().float()
        density = torch.zeros_like(near)
        for width, share in zip(self.how.widths, self.how.shares, strict=True):
            kernel = (near / (nu * width**2)).add_(1).log_().mul_(-(nu + size) / 2).exp_()
            density.add_(kernel, alpha=share / width**size)
        return (density @ volume[..., None])[..., 0].log().double() + largest


def resampled(unit: Tensor, log_w: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Points (s, count, d) drawn from weighted ones (s, m, d) by systematic resampling."""
    weight = torch.softmax(log_w, dim=1)
    shape = (len(unit), 1)
    start = torch.rand(shape, generator=generator, device=unit.device, dtype=unit.dtype)
    steps = torch.arange(count, device=unit.device)
    rows = torch.searchsorted(weight.cumsum(dim=1), (steps + start) / count)
    rows = rows.clamp(max=unit.shape[1] - 1)
    return unit.gather(1, rows[:, :, None].expand(-1, -1, unit.shape[2]))


def shuffled(log_w: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers (s, m) of weighted points in the order of draws without replacement.

    By the exponential variables of Efraimidis and Spirakis 2006, Inf. Process. Lett. 97, 181.
    """
    wait = torch.empty_like(log_w).exponential_(generator=generator)
    return torch.argsort(log_w - wait.log(), dim=1, descending=True)


def exponent(log_l: Tensor, log_q: Tensor | float, least: float) -> Tensor:
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
    tried = torch.logspace(0, -6, 37, dtype=log_l.dtype, device=log_l.device)
    sizes = torch.stack([effective_size(beta * usable - log_q) for beta in tried], dim=1)
    enough = (sizes >= least).to(torch.int8)
    first = torch.where(enough.any(dim=1), enough.argmax(dim=1), sizes.argmax(dim=1))
    return tried[first]


def effective_size(log_w: Tensor) -> Tensor:
    """Kish's effective sample size (sum w)^2 / sum w^2 over the last axis."""
    weight = (log_w - log_w.amax(dim=-1, keepdim=True)).exp().double()
    return weight.sum(dim=-1) ** 2 / weight.square().sum(dim=-1)
