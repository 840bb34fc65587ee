r"""Spectra onto a detector: broaden to a line spread function, shift, resample.

Arrays in, arrays out; each is linear in the flux, so that it may act on principal components.
A Gaussian line spread function of constant resolving power R = lambda / FWHM is a convolution on
a logarithmic wavelength grid, of width

    sigma_{ln lambda} = sqrt(R_to^{-2} - R_from^{-2}) / (2 sqrt(2 ln 2)).

A pixel records the mean of the flux over its width, the difference of the flux integral at its
edges (Carnall 2017, arXiv:1705.05165); the integral is that of the cubic spline through the flux.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d

from stargrav.constants import C_KM_S, FWHM_PER_SIGMA

_EVEN = 1e-6  # relative evenness of log steps below which a grid counts as logarithmic


def broaden(
    wave: np.ndarray, flux: np.ndarray, resolution_from: float, resolution_to: float
) -> np.ndarray:
    """Broaden spectra from one resolving power to a lower one.

    Args:
        wave: (p,) ascending wavelengths [Angstrom].
        flux: (..., p).
        resolution_from: lambda / FWHM of `flux` (inf for unbroadened).
        resolution_to: lambda / FWHM wanted; at or above `resolution_from` nothing is done.

    Returns:
        (..., p), dtype of `flux`.
    """
    width = resolution_to**-2.0 - resolution_from**-2.0
    if width <= 0:
        return flux
    sigma = np.sqrt(width) / FWHM_PER_SIGMA
    steps = np.diff(np.log(wave))
    step = steps.min()
    if steps.max() - step < _EVEN * step:
        return gaussian_filter1d(flux, sigma / step, axis=-1, mode="nearest", truncate=6.0)
    even = np.exp(np.linspace(np.log(wave[0]), np.log(wave[-1]), _points(wave, step)))
    even[0], even[-1] = wave[0], wave[-1]
    smooth = broaden(even, resample(wave, flux, even), resolution_from, resolution_to)
    return resample(even, smooth, wave)


def _points(wave: np.ndarray, step: float) -> int:
    return int(np.ceil(np.log(wave[-1] / wave[0]) / step)) + 1


def stretch(velocity: np.ndarray | float) -> np.ndarray | float:
    """Observed over emitted wavelength, 1 + z, at a radial velocity [km/s, away from us]."""
    beta = np.asarray(velocity) / C_KM_S
    return np.sqrt((1 + beta) / (1 - beta))


def shift(wave: np.ndarray, flux: np.ndarray, velocity: float) -> np.ndarray:
    """Spectra of stars moving away at `velocity`, on the same wavelengths.

    Args:
        wave: (p,) ascending wavelengths [Angstrom].
        flux: (..., p).
        velocity: radial velocity [km/s], positive to the red.

    Returns:
        (..., p); the outermost values are repeated where the shift leaves the range.
    """
    return resample(wave, flux, np.clip(wave / stretch(velocity), wave[0], wave[-1]))


def resample(
    wave: np.ndarray, flux: np.ndarray, new_wave: np.ndarray, conserve: bool = False
) -> np.ndarray:
    """Spectra on other wavelengths, by a cubic spline.

    Args:
        wave: (p,) ascending wavelengths [Angstrom].
        flux: (..., p).
        new_wave: (q,) ascending wavelengths [Angstrom] within the range of `wave`.
        conserve: mean over each new pixel instead of the value at its centre; its edges (see
            `pixel_edges`) must then lie within the range of `wave`.

    Returns:
        (..., q), dtype of `flux`.

    Raises:
        ValueError: `new_wave` reaches outside `wave`.
    """
    at = pixel_edges(new_wave) if conserve else np.asarray(new_wave)
    if at[0] < wave[0] or at[-1] > wave[-1]:
        raise ValueError(
            f"wavelengths {at[0]:.2f}..{at[-1]:.2f} outside {wave[0]:.2f}..{wave[-1]:.2f}"
        )
    spline = make_interp_spline(wave, flux, k=3, axis=-1)
    if not conserve:
        return spline(at).astype(flux.dtype)
    return (np.diff(spline.antiderivative()(at), axis=-1) / np.diff(at)).astype(flux.dtype)


def pixel_edges(wave: np.ndarray) -> np.ndarray:
    """Edges (p + 1,) of the pixels centred on `wave` (p,), half-way between the centres."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
