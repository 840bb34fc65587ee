r"""Radial velocities of spectra, by a linear model of the library.

The weights u of the library's mean and components (`inference.emulator`) are taken as normal, with
the mean m and covariance C that they have over the labels, and with a free level. A spectrum y,
divided by its level, then has at each velocity v of a grid the evidence

    2 ln p(y | v) = b' H^-1 b - ln det H + const.,
    H = B_v S^-1 B_v' + C^-1,    b = B_v S^-1 y + C^-1 m,

with B_v the mean and components as seen from a star that moves. A parabola through its largest
values on a finer grid gives the velocity, and its curvature the standard deviation.
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
        best = grid[int(np.argmax([_evidence(y, s, each, *prior) for each in coarse]))]
        fine = [_evidence(y, s, doppler.vectors(best + v)[:, seen], *prior) for v in around]
        found[:, row] = _peak(best + around, np.array(fine))
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


def _peak(grid: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Where the parabola through the largest value and its neighbours peaks, and its width."""
    best = int(np.clip(np.argmax(values), 1, len(grid) - 2))
    below, at, above = values[best - 1 : best + 2]
    step, bend = grid[1] - grid[0], 2 * at - below - above
    if bend <= 0:
        return float(grid[best]), np.inf
    return float(grid[best] + step * (above - below) / (2 * bend)), step * np.sqrt(2 / bend)
