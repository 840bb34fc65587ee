"""Labels of measured spectra with their uncertainty: the exact posterior over the library.

A measured spectrum is known up to its level, while spectra of the library have a median of one. It
is divided by the median of its best linear fit (`inference.likelihood`), which errs less than its
own, and the posterior integrates over what is left of the level. It takes sigma and the library as
exact. How well a spectrum can be
described at all is said by chi^2 of the linear fit, per degree of freedom: far above one, it is no
star of the library, or its sigma is too small, and its labels mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stargrav.inference.bayes import LEAST_ESS, POINTS, Integrator, Posterior
from stargrav.inference.emulator import Emulator
from stargrav.inference.likelihood import Likelihood
from stargrav.labels import LABELS
from stargrav.observation.simulate import median
from stargrav.physics.grid import Library

_STARS = 256  # whose level is found at a time
_EDGE = 1.5  # standard deviations of a mean from an edge: half a normal distribution has 1.32,
# one that is flat from edge to edge 1.73


def predict(
    flux: np.ndarray,
    error: np.ndarray,
    library: Library,
    points: int = POINTS,
    least_ess: float = LEAST_ESS,
    seed: int = 42,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Posterior means and standard deviations of all labels.

    Args:
        flux: (n, p) measured, at any level.
        error: (n, p) 1 sigma, in the unit of `flux`.
        library: as the instrument sees it, on the same p pixels (`Simulator.library`).
        points: label vectors of the integral, a power of two.
        least_ess: stars of a smaller effective sample size get label vectors of their own.
        seed: of the label vectors.
        device: where it computes.
        progress: told the number of spectra that are done.

    Returns:
        one row per spectrum: each label and its standard deviation `sd_<label>` (K, dex), chi2 per
        degree of freedom, the effective sample size `ess`, and in `edges` the labels whose
        posterior leans on an edge of the library, beyond which the star may lie.
    """
    emulator = Emulator(library, device)
    measured = [torch.as_tensor(np.array(each), device=device) for each in (flux, error)]
    y, sigma = (each.to(emulator.vectors.dtype) for each in measured)
    level, chi2 = _levels(emulator, y, sigma)
    integrator = Integrator(emulator, points, seed, least_ess, free_level=True)
    found = integrator(y / level[:, None], sigma / level[:, None], progress=progress)
    columns = {}
    for i, name in enumerate(LABELS):
        columns |= {name: found.mean[:, i], f"sd_{name}": found.sd[:, i]}
    columns |= {"chi2": chi2.cpu().numpy(), "ess": found.ess, "edges": _edges(emulator, found)}
    return pd.DataFrame(columns)


def _edges(emulator: Emulator, found: Posterior) -> list[str]:
    """Names of the labels, joined by spaces, whose mean is within `_EDGE` sd of an edge."""
    low, high = (edge.double().cpu().numpy() for edge in (emulator.low, emulator.high))
    near = np.minimum(found.mean - low, high - found.mean) < _EDGE * found.sd
    names = np.array(LABELS)[emulator.free]
    return [" ".join(names[row]) for row in near[:, emulator.free]]


def _levels(emulator: Emulator, flux: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Median of the best linear fit, and its chi^2 per degree of freedom, (n,) each."""
    found = []
    for y, s in zip(flux.split(_STARS), sigma.split(_STARS), strict=True):
        scale = median(y)[:, None]  # so that sums are of numbers near one
        fit = Likelihood(emulator, y / scale, s / scale).best.to(y.dtype) @ emulator.vectors
        free = y.shape[1] - len(emulator.vectors)
        chi2 = ((y / scale - fit) / (s / scale)).square().sum(dim=1) / free
        found.append((scale[:, 0] * median(fit), chi2))
    level, chi2 = (torch.cat(part) for part in zip(*found, strict=True))
    return level, chi2
