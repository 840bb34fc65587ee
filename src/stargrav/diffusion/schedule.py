r"""Noise schedules: how much of the spectrum and how much noise there is at a time t in 0..1.

    x_t = alpha_t x + sigma_t epsilon,    epsilon ~ N(0, I),    alpha_t^2 + sigma_t^2 = 1,

from the clean x at t = 0 to what is nearly noise at t = 1. Denoisers are told log SNR =
2 log(alpha_t / sigma_t) rather than t, so that one that was trained with a schedule serves with
another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

STEPS = 1000  # of Ho et al. (2020)
FINE = 4096  # times that the inverse of a schedule is tabulated at


class Schedule(ABC):
    """alpha and sigma as functions of time."""

    @abstractmethod
    def signal(self, t: Tensor) -> Tensor:
        """alpha_t^2 in double precision, falling from 1 at t = 0; same shape as t."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Scales of signal and noise.

        Args:
            t: times in 0..1, any shape.

        Returns:
            alpha and sigma, each of t's shape and type; alpha^2 + sigma^2 = 1.
        """
        signal = self.signal(t.double())
        return signal.sqrt().to(t.dtype), (1 - signal).sqrt().to(t.dtype)

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2), falling with t; infinite at t = 0."""
        signal = self.signal(t.double())
        return (signal.log() - torch.log1p(-signal)).to(t.dtype)

    def even(self, steps: int) -> Tensor:
        """Times 1 ... 0 at even distances, (steps + 1,) in double precision."""
        return torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)

    def even_in_snr(self, steps: int) -> Tensor:
        """Times 1 ... 0 at even distances in log SNR (Lu et al. 2022, arXiv:2211.01095).

        The last step leads from 1 / `STEPS` to 0, where log SNR is infinite.

        Args:
            steps: at least 2.

        Returns:
            (steps + 1,), double precision.
        """
        t = torch.linspace(1.0, 1.0 / STEPS, FINE, dtype=torch.float64)
        found = self.log_snr(t).numpy()
        wanted = np.linspace(found[0], found[-1], steps)
        times = torch.from_numpy(np.interp(wanted, found, t.numpy()))
        return torch.cat([times, times.new_zeros(1)])


@dataclass(frozen=True)
class LinearBeta(Schedule):
    """The schedule of Ho et al. (2020, arXiv:2006.11239, section 4).

    alpha^2 after step i of `steps` is the product of 1 - beta_j over j <= i, with beta rising
    linearly; it belongs to t = i / steps, and its logarithm is linear in between.

    Args:
        first: beta of the first step.
        last: beta of the last.
        steps: their number.
    """

    first: float = 1e-4
    last: float = 0.02
    steps: int = STEPS

    @cached_property
    def _log_signal(self) -> Tensor:
        beta = torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)
        return torch.cat([beta.new_zeros(1), torch.log1p(-beta).cumsum(0)])

    def signal(self, t: Tensor) -> Tensor:
        """Interpolated in the logarithm."""
        log = self._log_signal.to(t.device)
        place = t.clamp(0, 1) * (len(log) - 1)
        below = place.long().clamp(max=len(log) - 2)
        return torch.lerp(log[below], log[below + 1], place - below).exp()


@dataclass(frozen=True)
class Cosine(Schedule):
    """The schedule of Nichol & Dhariwal (2021, arXiv:2102.09672, eq. 17).

    alpha_t = cos(a_t) / cos(a_0) with a_t rising linearly up to arccos(`least`), where they clip
    beta so as not to end at no signal at all.

    Args:
        offset: their s, which keeps the first steps from being too small.
        least: alpha at t = 1, before the division.
    """

    offset: float = 0.008
    least: float = 1e-3

    def signal(self, t: Tensor) -> Tensor:
        """By the formula above."""
        widest = np.arccos(self.least)
        start = self.offset / (1 + self.offset) * widest
        angle = start + (widest - start) * t.clamp(0, 1)
        return (angle.cos() / np.cos(start)).square()


SCHEDULES: dict[str, type[Schedule]] = {"linear": LinearBeta, "cosine": Cosine}
