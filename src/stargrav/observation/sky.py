r"""The night sky at new moon: a continuum, OH airglow and the O2 (0-1) atmospheric band.

The continuum (zodiacal light and airglow) has constant AB surface brightness. OH lines are those
of `oh`. The O2 b-X (0-1) band at 8600-8700 Angstrom follows from molecular constants (Huber &
Herzberg 1979, Constants of Diatomic Molecules): for each even J of the upper level, two lines in
P (N = J + 1 below) and two in R (N = J - 1),

    nu = nu_0 + B' J (J + 1) - B'' N (N + 1) [+ 2 lambda_ss where J is the same below],
    photons ~ L(J) exp(-h c B' J (J + 1) / k T),  T = 190 K,

with the spin splitting lambda_ss = 1.98 cm^-1 of the ground state and Hund's case (b) strengths L.
All of it brightens away from the zenith as in Krisciunas & Schaefer (1991, PASP 103, 1033).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from stargrav.constants import FWHM_PER_SIGMA, HC_CM_K
from stargrav.observation.oh import oh_lines

# These three are fitted to the public PFS exposure time calculator's output and the published SNR
# values (docs/decisions.md).
CONTINUUM_AB = 21.1  # per arcsec^2
OH_PHOTONS = 0.052  # photons / s / m^2 / arcsec^2 of a line of unit intensity in `oh`
O2_PHOTONS = 4.53  # photons / s / m^2 / arcsec^2 of the whole O2 (0-1) band
ROTATION_K = 190.0
_NU_0, _B_UPPER, _B_LOWER, _SPIN = 11_564.52, 1.391_4, 1.421_9, 1.98  # cm^-1


def o2_lines() -> tuple[np.ndarray, np.ndarray]:
    """Vacuum wavelengths (n,) [Angstrom] and shares (n,) of the lines of the O2 (0-1) band."""
    upper = np.arange(0, 40, 2)
    lines = []
    for lower, same, strengths in (
        (upper + 1, False, upper + 1.0),
        (upper + 1, True, upper + 0.5),
        (upper - 1, False, upper * 1.0),
        (upper - 1, True, upper + 0.5),
    ):
        nu = _NU_0 + _B_UPPER * upper * (upper + 1) - _B_LOWER * lower * (lower + 1)
        nu = nu + (_SPIN if same else 0.0)
        thermal = np.exp(-HC_CM_K * _B_UPPER * upper * (upper + 1) / ROTATION_K)
        lines.append(np.array([1e8 / nu, strengths * thermal])[:, lower > 0])
    wave, photons = np.concatenate(lines, axis=1)
    return wave, photons / photons.sum()


def line_emission(edges: np.ndarray, resolution: float) -> np.ndarray:
    """Airglow lines through a Gaussian line spread function, photons per pixel.

    Args:
        edges: (p + 1,) pixel edges [Angstrom, vacuum].
        resolution: lambda / FWHM.

    Returns:
        (p,) photons per second, m^2 and arcsec^2 in each pixel, at the zenith.
    """
    oh_wave, oh_photons = oh_lines()
    o2_wave, o2_share = o2_lines()
    centre = np.concatenate([oh_wave, o2_wave])
    photons = np.concatenate([OH_PHOTONS * oh_photons, O2_PHOTONS * o2_share])
    sigma = centre / resolution / FWHM_PER_SIGMA
    below = ndtr((edges[:, None] - centre) / sigma)  # (p + 1, lines)
    return np.diff(below, axis=0) @ photons


def brightening(zenith_angle: np.ndarray, extinction: float = 0.05) -> np.ndarray:
    """Sky brightness relative to the zenith.

    Args:
        zenith_angle: (n,) [degree].
        extinction: magnitudes per airmass.

    Returns:
        (n,); Krisciunas & Schaefer (1991), equations 2 and 3 for a moonless sky.
    """
    path = (1 - 0.96 * np.sin(np.radians(zenith_angle)) ** 2) ** -0.5
    return path * 10 ** (-0.4 * extinction * (path - 1))
