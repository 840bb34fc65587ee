r"""What the detector counts, and the error that follows.

In all exposures together, a star of flux f (median 1) and magnitude i leaves S = c f electrons in
a pixel, with

    c = N_i A t n dlambda lambda eta(lambda) v(field) a(seeing, field) 10^{-0.4 k(lambda) X},

N_i fixed by the photons of the star in the HSC i band. Sky (B), dark current (D) and read noise
(R) add to the variance, and sky subtraction leaves a share r of the sky in each exposure:

    sigma^2 = S + B + rows (D + n R^2) + n (r B / n)^2,    error = sigma / c.

This is the error that spectra scatter by, noisy = f + noise_level error N(0, 1). `noiseless` data
report it as it is, and with it a noise-free copy of the spectrum. A reduction pipeline only has
the counts that came out, and `observed` data report what it would estimate from them:

    reported^2 = (error^2 - a f) + a max(noisy, 0),    a = 1 / c,

the variance of everything but the star, plus the star's photon noise at its noisy counts. Beyond
the noisy spectrum itself this tells nothing about the star.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from stargrav.constants import AB_ZERO_POINT_JY, H_CGS
from stargrav.observation.instrument import Instrument
from stargrav.observation.sky import CONTINUUM_AB, brightening, line_emission
from stargrav.observation.transforms import pixel_edges

ERRORS = ("noiseless", "observed")
_NOISE = 1  # nothing else that is drawn from a seed is noise of a star
_MOFFAT_BETA = 4.765  # turbulence (Trujillo et al. 2001, MNRAS 328, 977)
_HSC_I = (6924.0, 8498.0, 50.0)  # half-power wavelengths and softness [Angstrom], Kawanomoto+ 2018


@dataclass(frozen=True)
class Conditions:
    """What stars are observed under; each (n,).

    Attributes:
        mag: HSC i, AB.
        seeing: FWHM at the zenith [arcsec].
        zenith_angle: [degree].
        field_angle: distance from the field centre [degree].
    """

    mag: np.ndarray
    seeing: np.ndarray
    zenith_angle: np.ndarray
    field_angle: np.ndarray

    @classmethod
    def of(cls, table: Mapping) -> Conditions:
        """From the columns of a table, or anything that gives arrays by name."""
        return cls(*(np.asarray(table[f.name], dtype=float) for f in fields(cls)))

    def __getitem__(self, rows: np.ndarray | slice) -> Conditions:
        """Those of some of the stars."""
        return Conditions(*(getattr(self, f.name)[rows] for f in fields(self)))


def airmass(zenith_angle: np.ndarray) -> np.ndarray:
    """Plane-parallel airmass (n,) at zenith angles (n,) [degree]."""
    return 1 / np.cos(np.radians(zenith_angle))


def extinction(wave: np.ndarray) -> np.ndarray:
    """Magnitudes per airmass (p,) above Mauna Kea at `wave` (p,) [Angstrom].

    Rayleigh scattering and aerosols of Buton et al. (2013, A&A 549, A8), without ozone.
    """
    micron = wave / 1e4
    return 0.0056 * micron**-4.05 + 0.0086 * micron**-1.24


def fibre_share(fwhm: np.ndarray, diameter: np.ndarray) -> np.ndarray:
    """Share of a centred point source's light that enters a fibre.

    Args:
        fwhm: (n,) of a Moffat profile, beta 4.765 [arcsec].
        diameter: (n,) of the fibre [arcsec].

    Returns:
        (n,) in 0..1.
    """
    core = fwhm / (2 * np.sqrt(2 ** (1 / _MOFFAT_BETA) - 1))
    return 1 - (1 + (diameter / 2 / core) ** 2) ** (1 - _MOFFAT_BETA)


def ab_photons(wave: np.ndarray, mag: np.ndarray | float) -> np.ndarray:
    """Photons per second, cm^2 and Angstrom of a source of constant AB magnitude."""
    return AB_ZERO_POINT_JY * 1e-23 * 10 ** (-0.4 * mag) / (H_CGS * wave)


class NoiseModel:
    """Electrons and errors of one instrument.

    A star's magnitude fixes its mean flux in HSC i over the pixels of the instrument; where a
    library covers a part of the arm only, over the covered pixels.

    Args:
        instrument: whose pixels, telescope and detector are meant.
        device: where the spectra are.
    """

    def __init__(self, instrument: Instrument, device: torch.device | str = "cpu") -> None:
        self.instrument = instrument
        self.device = torch.device(device)
        wave = instrument.wave
        position = 2 * (wave - instrument.blue) / (instrument.red - instrument.blue) - 1
        efficiency = np.polyval(np.polyfit((-1, 0, 1), instrument.throughput, 2), position)
        light = instrument.area * instrument.exposure_time * instrument.exposures * efficiency
        photons = light * instrument.step * ab_photons(wave, 0.0)
        low, high, soft = _HSC_I
        band = 1 / (1 + np.exp((low - wave) / soft)) / (1 + np.exp((wave - high) / soft))
        sky = ab_photons(wave, CONTINUUM_AB) * instrument.step
        sky = sky + 1e-4 * line_emission(pixel_edges(wave), instrument.resolution)
        self._star = self._tensor(photons * wave**2)  # of AB 0, for flux ~ wave^-2
        self._band = self._tensor(band * wave / (band @ (1 / wave)))
        self._extinction = self._tensor(-0.4 * np.log(10) * extinction(wave))
        self._sky = self._tensor(light * sky)
        detector = instrument.dark * instrument.exposure_time + instrument.read_noise**2
        self._detector = instrument.rows * instrument.exposures * detector

    def electrons_per_flux(self, flux: Tensor, conditions: Conditions) -> Tensor:
        """Electrons c (n, p) that unit flux leaves in each pixel, over all exposures.

        Args:
            flux: (n, p), in any unit per wavelength; its unit is that of the answer.
            conditions: of the n stars.
        """
        at = self._at_field(conditions.field_angle)
        path = airmass(conditions.zenith_angle)
        fwhm = np.hypot(conditions.seeing * path**0.6, at["spot"])
        star = 10 ** (-0.4 * conditions.mag) * at["vignetting"] * fibre_share(fwhm, at["fibre"])
        star = self._tensor(star) / (flux @ self._band)
        dimming = torch.exp(self._tensor(path)[:, None] * self._extinction)
        return star[:, None] * dimming.mul_(self._star)

    def sky_electrons(self, conditions: Conditions) -> Tensor:
        """Electrons (n, p) of the sky in each pixel, over all exposures."""
        at = self._at_field(conditions.field_angle)
        light = at["vignetting"] * np.pi / 4 * at["fibre"] ** 2
        return self._tensor(light * brightening(conditions.zenith_angle))[:, None] * self._sky

    def photon_variance(self, flux: Tensor, conditions: Conditions) -> Tensor:
        """Variance a (n, p) of the star's own photons per unit of flux, in the unit of `flux`.

        Args:
            flux: (n, p) noiseless flux.
            conditions: of the n stars.
        """
        return self.electrons_per_flux(flux, conditions).reciprocal_()

    def error(self, flux: Tensor, conditions: Conditions) -> Tensor:
        """1-sigma error (n, p) of the noiseless counts, in the unit of `flux`.

        Args:
            flux: (n, p) noiseless flux.
            conditions: of the n stars.
        """
        electrons = self.electrons_per_flux(flux, conditions)
        star = flux * electrons
        sky = self.sky_electrons(conditions)
        share = self.instrument.sky_residual**2 / self.instrument.exposures
        variance = (sky * share).add_(1).mul_(sky).add_(self._detector)  # all but the star
        return (star + variance).sqrt_().div_(electrons)

    def _at_field(self, field_angle: np.ndarray) -> dict[str, np.ndarray]:
        """Vignetting, fibre and image size (n,) at field angles (n,) [degree]."""
        nodes = self.instrument.field
        return {
            key: np.interp(field_angle, nodes, getattr(self.instrument, key))
            for key in ("vignetting", "fibre", "spot")
        }

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)


def fixed_noise(seed: int, star: int, pixels: int, draw: int = 0) -> np.ndarray:
    """Standard normal noise (pixels,), float32, that belongs to a star's draw for good.

    No two of seed, star (its id, below 2^63) and draw share any of it.
    """
    low, high = int(star) % 2**32, int(star) // 2**32
    rng = np.random.default_rng([seed, low, high, draw, _NOISE])
    return rng.standard_normal(pixels, dtype=np.float32)


def observe(
    flux: Tensor,
    error: Tensor,
    noise_level: float,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    photon_variance: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Noisy spectra and the errors that are reported with them.

    Args:
        flux: (n, p) noiseless flux.
        error: (n, p) error of the noiseless counts, unit of `flux`.
        noise_level: 0 leaves the flux as it is, 1 is the full noise.
        noise: (n, p) standard normal; drawn where it is not given.
        generator: of the draw, on the device of `flux`.
        photon_variance: (n, p), see `NoiseModel`, for the error estimated from the noisy counts;
            without it `error` itself is reported.

    Returns:
        noisy (n, p) and reported error (n, p), positive; unit of `flux`.
    """
    if noise_level == 0:
        noisy = flux.clone()
    elif noise is None:
        noise = torch.randn(flux.shape, generator=generator, device=flux.device, dtype=flux.dtype)
        noisy = torch.addcmul(flux, noise, error, value=noise_level)
    else:
        noisy = flux + noise_level * error * noise
    if photon_variance is None:
        return noisy, error
    moved = noisy.clamp(min=0).sub_(flux)
    return noisy, moved.mul_(photon_variance).addcmul_(error, error).sqrt_()
