"""Labels of measured spectra with their uncertainty: the exact posterior over the library.

A measured spectrum is known up to its level, while spectra of the library have a median of one. It
is divided by the level of its best linear fit (`inference.likelihood`), or by that of the labels
found where this is far from it, and the posterior integrates over what is left of the level. It
takes sigma and the library as exact, and the library's own range of labels as the prior.

Two numbers say whether a spectrum is one of the library's. chi^2 of the linear fit, per degree of
freedom: far above one, no mixture of the library's spectra describes it, or its sigma is too
small. And the misfit: by how much chi^2 of the labels that are reported exceeds that of the linear
fit, less what its further parameters explain of noise, in standard deviations of that. It is large
where a mixture can follow what no star of the library does: a wrong velocity, a bent continuum.

A star that moves is compared with the library as seen at its velocity. Where this was measured
from the spectrum itself (`inference.velocity`), the posterior integrates over it as well, to first
order about the measured one. So it does, where it is asked to, over a smooth factor by which the
flux may be off: a polynomial of the pixels, whose degree says how far a calibration is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stargrav.errors import InputError
from stargrav.inference.bayes import LEAST_ESS, MOVING, POINTS, Integrator, Posterior
from stargrav.inference.emulator import Emulator
from stargrav.inference.likelihood import Likelihood, modelled, without
from stargrav.inference.velocity import Motion, measured_velocities
from stargrav.labels import LABELS
from stargrav.observation.doppler import Doppler
from stargrav.observation.simulate import median
from stargrav.physics.grid import Library

_STARS = 256  # whose level is found at a time
_BEST = 0.02  # share of the pixels whose error a spectrum's others are held against
_BAD = 100.0  # times that error, or a part of it, from where a pixel does not count
_NOTHING = 1e4  # times that error, which is what such a pixel is given
_SEEN = 1e-3  # least SNR of the pixel that has most
_HELD = 0.9  # share of good pixels from where a linear fit tells the level
_FAR = 0.01  # relative change of the level after which the posterior is found anew, near there
_SPREAD = 4096  # spectra that show how those of the library differ
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
    motion: Motion | Doppler | None = None,
    continuum: int = 0,
    usable: np.ndarray | None = None,
) -> pd.DataFrame:
    """Posterior means and standard deviations of all labels.

    Args:
        flux: (n, p) measured, at any level.
        error: (n, p) 1 sigma, in the unit of `flux`; far larger than elsewhere where a pixel is
            bad.
        library: as the instrument sees it, on the same p pixels (`Simulator.library`).
        points: label vectors of the integral, a power of two.
        least_ess: stars of a smaller effective sample size get label vectors of their own.
        seed: of the label vectors.
        device: where it computes.
        progress: told the number of spectra that are done.
        motion: velocities of the n stars, or what they are measured with; at rest if None.
        continuum: degree of a polynomial that the flux may be off by, over which is integrated.
        usable: (n, p) pixels that are not masked; all of them if None.

    Returns:
        one row per spectrum: each label and its standard deviation `sd_<label>` (K, dex), the
        velocity of stars that move and `sd_velocity` (km/s), chi2 per degree of freedom and the
        misfit of the labels (see above), the effective sample size `ess`, and in `edges` the
        labels whose posterior leans on an edge of the library, beyond which the star may lie. NaN
        where too few pixels are good.

    Raises:
        InputError: no spectrum has enough good pixels.
    """
    emulator = Emulator(library, device, whole=True)
    usable = np.ones(flux.shape, dtype=bool) if usable is None else usable
    unit = _smallest(error, usable)  # single precision does not hold the square of 1e-20
    measured = [torch.as_tensor(each / unit, device=device) for each in (flux, error)]
    y, sigma = (each.to(emulator.vectors.dtype) for each in measured)
    good = torch.as_tensor(usable, device=device)
    if isinstance(motion, Motion):
        sigma = motion.sigma(sigma)
    good = good & (sigma < _BAD) & (sigma > 1 / _BAD)
    # a dead fibre may have a huge error throughout
    told = torch.where(good, y.abs() / sigma, 0.0).amax(dim=1) > _SEEN
    rows = torch.nonzero(told & (good.sum(dim=1) >= fewest_pixels(library)))[:, 0]
    if not len(rows):
        expected = f"{fewest_pixels(library)} or more in one"
        raise InputError("spectra", "good pixels", "too few in all", expected)
    y, sigma, good = _blanked(y[rows], sigma[rows], good[rows])
    measuring = isinstance(motion, Doppler)
    if isinstance(motion, Motion):
        motion = motion.of(rows)
    elif measuring:
        motion = _motion(emulator, y, sigma, motion, progress)
        sigma = motion.sigma(sigma)
        y, sigma, good = _blanked(y, sigma, good & (sigma < _BAD))
    spectra = _Measured(y, sigma, good, motion, _polynomials(continuum, emulator.vectors))
    table = _found(emulator, spectra, (points, seed, least_ess), progress)
    if progress is not None:  # those that are left out, in the measuring of velocities as well
        progress((len(flux) - len(rows)) * (2 if measuring else 1))
    return table.set_axis(rows.tolist()).reindex(range(len(flux)))


def fewest_pixels(library: Library) -> int:
    """Good pixels that a spectrum needs: two for each number of the linear model."""
    return 2 * (1 + len(library.components))


def _smallest(error: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Errors (n, 1), float64, that few of the usable ones are below; 1 where there are none."""
    count = usable.sum(axis=1, keepdims=True)
    ranked = np.sort(np.where(usable, error, np.inf), axis=1)
    found = np.take_along_axis(ranked, (_BEST * np.maximum(count - 1, 0)).astype(int), axis=1)
    return np.where(count > 0, found, 1.0).astype(float)


def _blanked(y: Tensor, sigma: Tensor, good: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flux and errors whose bad pixels tell nothing, whatever stood there, and which are good."""
    middle = torch.where(good, y, torch.nan).nanmedian(dim=1, keepdim=True).values
    return torch.where(good, y, middle), torch.where(good, sigma, _NOTHING), good


@dataclass(frozen=True)
class _Measured:
    """Spectra of which enough pixels are good.

    Attributes:
        flux, sigma, good: (n, p).
        motion: of the stars; None at rest.
        smooth: (m, p) what the shape of their flux may be off by, m may be 0.
    """

    flux: Tensor
    sigma: Tensor
    good: Tensor
    motion: Motion | None
    smooth: Tensor

    def of(self, rows: slice | Tensor) -> _Measured:
        """Some of them."""
        motion = None if self.motion is None else self.motion.of(rows)
        parts = (each[rows] for each in (self.flux, self.sigma, self.good))
        return _Measured(*parts, motion, self.smooth)

    def portions(self) -> Iterator[_Measured]:
        """So many at a time that their components can be held."""
        together = _STARS if self.motion is None else MOVING
        for start in range(0, len(self.flux), together):
            yield self.of(slice(start, start + together))

    def vectors(self, emulator: Emulator) -> Tensor:
        """Mean and components of the library, (1 + k, p), or (n, 1 + k, p) at the velocities."""
        if self.motion is None:
            return emulator.vectors
        return self.motion.vectors().to(emulator.vectors)

    @property
    def uncertain(self) -> bool:
        """Whether anything but noise may have been added to the spectra."""
        measured = self.motion is not None and self.motion.sd is not None
        return measured or len(self.smooth) > 0

    def added(self, emulator: Emulator, weights: Tensor | None) -> Tensor | None:
        """What may have been added (n, m, p), by spectra near: the library's mean if None."""
        if not self.uncertain:
            return None
        vectors = self.vectors(emulator)
        if weights is None:
            model = (vectors[..., 0, :] / median(emulator.vectors[:1])).expand_as(self.flux)
        else:
            model = modelled(weights, vectors).to(self.flux)
        found = model[:, None] * self.smooth
        if weights is not None and self.motion is not None and self.motion.sd is not None:
            found = torch.cat([found, self.motion.slopes(weights)[:, None].to(found)], dim=1)
        return found if found.shape[1] else None


def _polynomials(degree: int, like: Tensor) -> Tensor:
    """Legendre polynomials (degree, p) from the first on, over the pixels."""
    place = np.linspace(-1, 1, like.shape[1])
    found = np.polynomial.legendre.legvander(place, degree).T[1:]
    return torch.from_numpy(found.copy()).to(like)


def _motion(
    emulator: Emulator,
    y: Tensor,
    sigma: Tensor,
    doppler: Doppler,
    progress: Callable[[int], object] | None,
) -> Motion:
    """Velocities of spectra, measured from them."""
    unit = torch.quasirandom.SobolEngine(len(emulator.free)).draw(_SPREAD)
    weights = emulator.weights(emulator.labels(unit.to(y)))
    level = _level(y, emulator.vectors[0] / median(emulator.vectors[:1]), sigma)[:, None]
    return measured_velocities(y / level, sigma / level, doppler, weights, progress=progress)


def _found(
    emulator: Emulator,
    spectra: _Measured,
    how: tuple[int, int, float],
    progress: Callable[[int], object] | None,
) -> pd.DataFrame:
    """The table of the spectra."""
    integrator = Integrator(emulator, *how, free_level=True)
    level, free_chi2 = _levels(emulator, spectra)
    found = _posterior(integrator, spectra, level, None, progress)
    best, chi2 = _of_labels(emulator, found.mean, spectra)
    far = ((best / level - 1).abs() > _FAR) | (spectra.good.double().mean(dim=1) < _HELD)
    far = torch.nonzero(far | spectra.uncertain)[:, 0]
    if len(far):
        at = torch.as_tensor(found.mean[far.cpu().numpy()]).to(spectra.flux)
        again = _posterior(integrator, spectra.of(far), best[far], emulator.weights(at), None)
        for name in ("mean", "sd", "ess"):
            getattr(found, name)[far.cpu().numpy()] = getattr(again, name)
        _, chi2[far] = _of_labels(emulator, again.mean, spectra.of(far))
    columns = {}
    for i, name in enumerate(LABELS):
        columns |= {name: found.mean[:, i], f"sd_{name}": found.sd[:, i]}
    motion = spectra.motion
    if motion is not None:
        sd = np.zeros(len(level)) if motion.sd is None else motion.sd
        columns |= {"velocity": motion.velocity, "sd_velocity": sd}
    freedom = spectra.good.sum(dim=1) - len(emulator.vectors) - len(spectra.smooth)
    more = len(emulator.vectors) - len(emulator.free) - 1  # parameters of the linear fit
    misfit = (chi2 - free_chi2 - more) / np.sqrt(2 * max(more, 1))
    columns |= {"chi2": (free_chi2 / freedom).cpu().numpy(), "misfit": misfit.cpu().numpy()}
    return pd.DataFrame({**columns, "ess": found.ess, "edges": _edges(emulator, found)})


def _posterior(
    integrator: Integrator,
    spectra: _Measured,
    level: Tensor,
    near: Tensor | None,
    progress: Callable[[int], object] | None,
) -> Posterior:
    """Posteriors of spectra whose levels are known nearly, as are their weights, if any."""
    emulator, scale = integrator.emulator, level[:, None]

    def added(rows: slice) -> Tensor | None:
        return spectra.of(rows).added(emulator, None if near is None else near[rows])

    return integrator(
        spectra.flux / scale,
        spectra.sigma / scale,
        progress=progress,
        near=near,
        vectors=None
        if spectra.motion is None
        else lambda rows: spectra.of(rows).vectors(emulator),
        added=added if spectra.uncertain else None,
    )


def _edges(emulator: Emulator, found: Posterior) -> list[str]:
    """Names of the labels, joined by spaces, whose mean is within `_EDGE` sd of an edge."""
    low, high = (edge.double().cpu().numpy() for edge in (emulator.low, emulator.high))
    near = np.minimum(found.mean - low, high - found.mean) < _EDGE * found.sd
    names = np.array(LABELS)[emulator.free]
    return [" ".join(names[row]) for row in near[:, emulator.free]]


def _levels(emulator: Emulator, spectra: _Measured) -> tuple[Tensor, Tensor]:
    """Median of the best linear fit, and its chi^2 over good pixels, (n,) each.

    Where many pixels are bad nothing holds that fit there: the level over the library's mean
    spectrum is near enough to begin with.
    """
    found = []
    middle = median(emulator.vectors[:1])
    for part in spectra.portions():
        vectors, added = part.vectors(emulator), part.added(emulator, None)
        scale = _level(part.flux, vectors[..., 0, :] / middle, part.sigma)[:, None]
        y, s = part.flux / scale, part.sigma / scale  # so that sums are of numbers near one
        shown = None if part.motion is None else vectors
        best = Likelihood(emulator, y, s, vectors=shown, added=added).best.to(y.dtype)
        fit = modelled(best, vectors)
        fitted = vectors.expand(len(y), *vectors.shape[-2:])
        if added is not None:
            fitted = torch.cat([fitted, added], dim=1)
        # each of them takes a degree of freedom, however alike pixels make them
        chi2 = (_least((y / s).double(), fitted, s).square() * part.good).sum(dim=1)
        held = part.good.double().mean(dim=1) > _HELD
        found.append((scale[:, 0] * torch.where(held, median(fit), 1.0), chi2))
    level, chi2 = (torch.cat(part) for part in zip(*found, strict=True))
    return level, chi2


def _of_labels(
    emulator: Emulator, labels: np.ndarray, spectra: _Measured
) -> tuple[Tensor, Tensor]:
    """Level that suits spectra of labels (n, 5) best, and chi^2 over good pixels, (n,) each."""
    found = []
    at = torch.as_tensor(labels).to(spectra.flux)
    for part in spectra.portions():
        weights = emulator.weights(at[: len(part.flux)])
        at = at[len(part.flux) :]
        model, added = modelled(weights, part.vectors(emulator)), part.added(emulator, weights)
        # the level is that of what is left of the model beside what may have been added
        apart = [_least(each / part.sigma, added, part.sigma) for each in (part.flux, model)]
        level = (apart[0] * apart[1]).sum(dim=1) / apart[1].square().sum(dim=1)
        residual = apart[0] - level[:, None] * apart[1]
        found.append((level, (residual.square() * part.good).double().sum(dim=1)))
    level, chi2 = (torch.cat(part) for part in zip(*found, strict=True))
    return level, chi2


def _least(whitened: Tensor, added: Tensor | None, sigma: Tensor) -> Tensor:
    """Whitened spectra (n, p) less the best of what may have been added, (n, m, p) unwhitened."""
    if added is None:
        return whitened
    parts = zip(whitened, added, sigma, strict=True)
    return torch.cat([without(each[None], more / s) for each, more, s in parts])


def _level(flux: Tensor, model: Tensor, sigma: Tensor) -> Tensor:
    """Factor (n,) of a model that comes nearest to spectra (n, p)."""
    return (flux * model / sigma**2).sum(dim=1) / (model / sigma).square().sum(dim=-1)
