r"""The exact posterior of a star's labels, by integration over the library.

The likelihood of a label vector costs little (`inference.likelihood`), and the prior is uniform
over the box of the labels. The integral is a sum over a scrambled Sobol sequence (Owen 1998,
J. Complexity 14, 466), computed once for all stars. Where too few of its points carry the weight,
`inference.proposal` draws label vectors for that star.

This is the limit for the *flux*, given its error bars. The `noiseless` error array is itself a
function of the clean spectrum, which the posterior does not use: a model that reads the error
array can exceed R2_Bayes, and an efficiency above 1 is the sign of that shortcut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor

from stargrav.inference.emulator import Emulator
from stargrav.inference.likelihood import Likelihood
from stargrav.inference.proposal import Refinement, effective_size, refine
from stargrav.labels import LABELS

POINTS = 2**16
LEAST_ESS = 200  # below it a star's label vectors are refined
_PORTION = 8192  # label vectors whose chi^2 is computed at a time
_STARS = 256  # refined together
MOVING = 16  # of those with components of their own, which are held for as many
_FIRST = 8  # share of the points that shows whether all of them can carry enough weight


@dataclass(frozen=True)
class Posterior:
    """What the flux of n stars says of their labels.

    Attributes:
        mean: (n, 5) posterior mean, order `LABELS`.
        sd: (n, 5) posterior standard deviation.
        ess: (n,) effective sample size of the integral.
        refined: (n,) whether label vectors of its own were drawn for the star.
        rank: (n, 5) posterior probability of a label below the true one; NaN without a truth.
        draws: (n, m, 5) label vectors drawn from the posterior; m is 0 unless they are asked for.
    """

    mean: np.ndarray
    sd: np.ndarray
    ess: np.ndarray
    refined: np.ndarray
    rank: np.ndarray
    draws: np.ndarray


class Integrator:
    """Posteriors of stars over one library.

    Args:
        emulator: the library as seen by the instrument.
        points: label vectors shared by all stars, a power of two.
        seed: of their scrambling and of the proposals.
        least_ess: stars below it get label vectors of their own.
        draws: label vectors that are drawn from each posterior, with repetition.
        free_level: whether the flux is known up to a factor near one, over which is integrated.
    """

    def __init__(
        self,
        emulator: Emulator,
        points: int = POINTS,
        seed: int = 42,
        least_ess: float = LEAST_ESS,
        draws: int = 0,
        free_level: bool = False,
    ) -> None:
        self.emulator = emulator
        self.draws = draws
        self.free_level = free_level
        self.least_ess = least_ess
        self.seed = seed
        device, dtype = emulator.vectors.device, emulator.vectors.dtype
        sobol = qmc.Sobol(len(emulator.free), scramble=True, seed=seed)
        unit = sobol.random_base2(int(np.log2(points)))
        self.unit = torch.from_numpy(unit).to(device, dtype)
        weights = emulator.weights(emulator.labels(self.unit))
        self.centre = weights.double().mean(dim=0)
        self.weights = (weights.double() - self.centre).to(dtype)

    def __call__(
        self,
        flux: Tensor,
        sigma: Tensor,
        truth: Tensor | None = None,
        progress: Callable[[int], object] | None = None,
        near: Tensor | None = None,
        vectors: Callable[[slice], Tensor] | None = None,
        added: Callable[[slice], Tensor | None] | None = None,
    ) -> Posterior:
        """Posteriors of stars.

        Args:
            flux: (n, p) noisy flux, in units of the clean flux's median, or nearly where the level
                is free.
            sigma: (n, p) 1-sigma error of its noise.
            truth: (n, 5) true labels, for their ranks.
            progress: told the number of stars that are done.
            near: (n, 1 + k) see `Likelihood`.
            vectors: of the stars in some rows, see `Likelihood`. Medians stay the emulator's, so
                that the level must be free.
            added: to the stars in some rows, see `Likelihood`.
        """
        moments = torch.zeros(len(flux), 3, len(LABELS), dtype=torch.float64)
        ess, refined = np.zeros(len(flux)), np.zeros(len(flux), dtype=bool)
        drawn = torch.zeros(len(flux), self.draws, len(LABELS))

        together = _STARS if vectors is None else MOVING

        def integrate(start: int) -> int:
            rows = slice(start, min(start + together, len(flux)))
            generator = torch.Generator(flux.device).manual_seed(self.seed + start)
            likelihood = Likelihood(
                self.emulator,
                flux[rows],
                sigma[rows],
                self.free_level,
                None if near is None else near[rows],
                None if vectors is None else vectors(rows),
                None if added is None else added(rows),
            )
            known = None if truth is None else truth[rows]
            out = moments[rows], ess[rows], refined[rows], drawn[rows]
            self._integrate(likelihood, known, *out, generator)
            return rows.stop - rows.start

        with _workers(flux.device) as pool:
            for count in pool.map(integrate, range(0, len(flux), together)):
                if progress is not None:
                    progress(count)
        mean, sd, rank = moments.numpy().transpose(1, 0, 2)
        return Posterior(mean, sd, ess, refined, rank, drawn.numpy())

    def log_likelihood(self, likelihood: Likelihood, row: int, points: int) -> Tensor:
        """log L (points,) of the first shared label vectors for one star, its maximum 0."""
        root, shift = likelihood[torch.tensor([row])].centred(self.centre, self.weights.dtype)
        chi2 = [
            torch.addmm(-shift, part, root[0]).square_().sum(dim=1)
            for part in self.weights[:points].split(_PORTION)
        ]
        found = torch.cat(chi2)
        return (found.min() - found) / 2

    def _integrate(
        self,
        likelihood: Likelihood,
        truth: Tensor | None,
        moments: Tensor,
        ess: np.ndarray,
        refined: np.ndarray,
        drawn: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Fill in moments and draws of some stars: from the shared points, or from their own."""
        poor: list[tuple[int, Tensor, Tensor]] = []
        first = len(self.unit) // _FIRST
        pick = torch.Generator(generator.device).manual_seed(generator.initial_seed())
        for row in range(len(moments)):
            log_l = self.log_likelihood(likelihood, row, first)
            if float(effective_size(log_l)) * _FIRST > self.least_ess / 2:
                log_l = self.log_likelihood(likelihood, row, len(self.unit))
            ess[row] = float(effective_size(log_l))
            if ess[row] >= self.least_ess:
                moments[row] = self._summary(self.unit, log_l, truth, row)
                drawn[row] = self._drawn(self.unit, log_l, pick)
            else:
                best = torch.topk(log_l, min(Refinement.start, first))
                poor.append((row, self.unit[best.indices], best.values))
        if not poor:
            return
        rows = torch.tensor([row for row, _, _ in poor])
        found = refine(
            self.emulator,
            likelihood[rows],
            torch.stack([unit for _, unit, _ in poor]),
            torch.stack([values for _, _, values in poor]),
            self.least_ess,
            generator,
        )
        for row, (unit, log_w) in zip(rows.tolist(), found, strict=True):
            ess[row], refined[row] = float(effective_size(log_w)), True
            moments[row] = self._summary(unit, log_w, truth, row)
            drawn[row] = self._drawn(unit, log_w, pick)

    def _drawn(self, unit: Tensor, log_w: Tensor, generator: torch.Generator) -> Tensor:
        """Label vectors (draws, 5) of a weighted sample, each as often as its weight says."""
        if not self.draws:
            return torch.zeros(0, len(LABELS))
        weight = torch.softmax(log_w.double(), dim=0)
        rows = torch.multinomial(weight, self.draws, replacement=True, generator=generator)
        return self.emulator.labels(unit[rows]).float().cpu()

    def _summary(self, unit: Tensor, log_w: Tensor, truth: Tensor | None, row: int) -> Tensor:
        """Mean, standard deviation and rank of the truth (3, 5) of a weighted sample."""
        keep = log_w > log_w.max() - 25.0
        weight = torch.softmax(log_w[keep].double(), dim=0)
        labels = self.emulator.labels(unit[keep]).double()
        mean = weight @ labels
        sd = (weight @ (labels - mean) ** 2).sqrt()
        if truth is None:
            return torch.stack([mean, sd, torch.full_like(mean, torch.nan)]).cpu()
        return torch.stack([mean, sd, weight @ (labels < truth[row]).double()]).cpu()


@contextmanager
def _workers(device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute on one core each: many small products gain little from several."""
    threads = torch.get_num_threads()
    count = threads if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # the threads' own number would stay that of all
