r"""Radial velocities of spectra, by a linear model of the library.

The weights u of the library's mean and components (`inference.emulator`) are taken as normal, with
the mean m and covariance C that they have over the labels, and with a free level. A spectrum y,
divided by its level, then has at each velocity v of a grid the evidence

    2 ln p(y | v) = b' H^-1 b - ln det H + const.,
    H = B_v S^-1 B_v' + C^-1,    b = B_v S^-1 y + C^-1 m,

with B_v the mean and components as seen from a star that moves. A parabola through its largest
values on a finer grid gives the velocity. The standard deviation is that about it of the posterior
with a flat prior: of the normal distribution that the parabola stands for, and of what other peaks
of the coarse grid weigh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stargrav.observation.doppler import Doppler

FASTEST = 300.0  # km/s
_STEP = 20.0  # km/s, a third of the line spread function's width
_FINE = 4.0
_LEVEL = 0.1  # standard deviation of the level
_AROUND = 6  # fine steps on either side of the best coarse one
REACH = FASTEST + _AROUND * _FINE  # km/s, at which the library is asked at most
_UNSEEN = 1e3  # factor of the error of a pixel whose light the library does not have


@dataclass(frozen=True)
class Motion:
    """Radial velocities of n stars, and the library at them.

    Attributes:
        doppler: the library at any velocity.
        velocity: (n,) km/s, away from us.
        sd: (n,) their standard deviations where they were measured from the spectra themselves,
            which the posterior of the labels then integrates over; None where they are known.
    """

    doppler: Doppler
    velocity: np.ndarray
    sd: np.ndarray | None = None

    def of(self, rows: slice | Tensor) -> Motion:
        """Of some of the stars."""
        at = rows if isinstance(rows, slice) else rows.cpu().numpy()
        return Motion(self.doppler, self.velocity[at], None if self.sd is None else self.sd[at])

    def vectors(self) -> Tensor:
        """(n, 1 + k, p) mean and components at the stars' velocities."""
        return torch.stack([self.doppler.vectors(velocity) for velocity in self.velocity])

    def slopes(self, weights: Tensor) -> Tensor:
        """Derivatives (n, p) of spectra by velocity [per km/s], weights (n, 1 + k)."""
        found = []
        for u, velocity in zip(weights, self.velocity, strict=True):
            sides = (self.doppler.vectors(velocity + side) for side in (-_FINE, _FINE))
            low, high = (u @ each.to(u) for each in sides)
            found.append((high - low) / (2 * _FINE))
        return torch.stack(found)

    def sigma(self, error: Tensor) -> Tensor:
        """Errors (n, p), far larger where the library has no light at a star's velocity."""
        seen = np.stack([self.doppler.covered(velocity) for velocity in self.velocity])
        return torch.where(torch.from_numpy(seen).to(error.device), error, _UNSEEN * error)


def measured_velocities(
    flux: Tensor,
    sigma: Tensor,
    doppler: Doppler,
    weights: Tensor,
    fastest: float = FASTEST,
    progress: Callable[[int], object] | None = None,
) -> Motion:
    """Velocities of spectra.

    Args:
        flux: (n, p) at a level of about one.
        sigma: (n, p) its 1-sigma error, far larger where a pixel is bad.
        doppler: the library at any velocity.
        weights: (m, 1 + k) of spectra all over the library, more than they have numbers each.
        fastest: km/s, of the search, either way.
        progress: told the number of spectra that are done.
    """
    steps = int(np.ceil(fastest / _STEP))
    grid = _STEP * np.arange(-steps, steps + 1)
    around = _FINE * np.arange(-_AROUND, _AROUND + 1)
    last = grid[-1] + around[-1]
    seen = torch.from_numpy(doppler.covered(-last) & doppler.covered(last))
    coarse = [doppler.vectors(velocity)[:, seen] for velocity in grid]
    prior = _normal(weights)
    found = np.empty((2, len(flux)))
    for row, (y, s) in enumerate(zip(flux[:, seen], sigma[:, seen], strict=True)):
        values = np.array([_evidence(y, s, each, *prior) for each in coarse])
        near = grid[int(np.argmax(values))] + around
        fine = [_evidence(y, s, doppler.vectors(v)[:, seen], *prior) for v in near]
        apart = (grid < near[0]) | (grid > near[-1])
        found[:, row] = _posterior(near, np.array(fine), grid[apart], values[apart])
        if progress is not None:
            progress(1)
    return Motion(doppler, *found)


def _normal(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (1 + k,) and precision (1 + k, 1 + k) of weights whose level is not known."""
    mean, spread = weights.double().mean(dim=0), torch.cov(weights.double().T)
    spread += _LEVEL**2 * torch.outer(mean, mean)
    size = spread.diagonal().sqrt()  # of very different sizes; what is never seen stays possible
    alike = spread / torch.outer(size, size) + 1e-6 * torch.eye(len(mean), device=mean.device)
    return mean, torch.linalg.inv(alike) / torch.outer(size, size)


def _evidence(
    flux: Tensor, sigma: Tensor, vectors: Tensor, mean: Tensor, precision: Tensor
) -> float:
    """2 ln p(y | v) but for a constant."""
    scaled = vectors.to(flux) / sigma
    root = torch.linalg.cholesky((scaled @ scaled.T).double() + precision)
    told = scaled.double() @ (flux / sigma).double() + precision @ mean
    found = torch.cholesky_solve(told[:, None], root)[:, 0]
    return float(told @ found - 2 * root.diagonal().log().sum())


def _posterior(
    near: np.ndarray, fine: np.ndarray, grid: np.ndarray, values: np.ndarray
) -> tuple[float, float]:
    """Velocity at the peak of evidence near it, and the standard deviation about it.

    Args:
        near: (m,) velocities about the peak, evenly spaced.
        fine: (m,) 2 ln p there.
        grid: velocities apart from it, `_STEP` apart.
        values: 2 ln p there.
    """
    best = int(np.clip(np.argmax(fine), 1, len(near) - 2))
    below, at, above = fine[best - 1 : best + 2]
    step, bend = near[1] - near[0], 2 * at - below - above
    if bend <= 0:
        return float(near[best]), np.inf
    velocity = near[best] + step * (above - below) / (2 * bend)
    width = step * np.sqrt(2 / bend)
    peak = at + (above - below) ** 2 / (8 * bend)
    weight, own = _STEP * np.exp((values - peak) / 2), np.sqrt(2 * np.pi) * width
    spread = own * width**2 + weight @ (grid - velocity) ** 2
    return float(velocity), float(np.sqrt(spread / (own + weight.sum())))
