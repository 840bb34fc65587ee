"""Broadening, shifting and resampling: identities, conserved quantities, known widths."""

import numpy as np
import pytest

from stargrav.constants import C_KM_S, FWHM_PER_SIGMA
from stargrav.observation.transforms import (
    broaden,
    pixel_edges,
    resample,
    shift,
)

LOG = np.exp(np.linspace(np.log(8000), np.log(8400), 4001))
LINEAR = np.linspace(8000, 8400, 4001)


def line(wave, centre=8200.0, fwhm=0.3):
    sigma = fwhm / FWHM_PER_SIGMA
    return 1 - 0.6 * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)


def fwhm_of(wave, flux):
    depth, top = 1 - flux, np.argmin(flux)
    half = depth[top] / 2
    left = np.interp(half, depth[:top], wave[:top])
    right = np.interp(-half, -depth[top:], wave[top:])
    return right - left


@pytest.mark.parametrize("wave", [LOG, LINEAR])
def test_zero_width_is_the_identity(wave):
    flux = line(wave)
    assert broaden(wave, flux, 5000, 5000) is flux
    assert broaden(wave, flux, 5000, 9000) is flux


@pytest.mark.parametrize("wave", [LOG, LINEAR])
def test_a_sharp_line_gets_the_width_of_the_instrument_and_keeps_its_strength(wave):
    flux = line(wave)
    seen = broaden(wave, np.stack([flux, 2 * flux]), 8200 / 0.3, 5000)
    assert fwhm_of(wave, seen[0]) == pytest.approx(8200 / 5000, rel=2e-3)
    np.testing.assert_allclose(seen[1], 2 * seen[0], rtol=1e-12)
    strength, before = (np.trapezoid(1 - f, wave) for f in (seen[0], flux))
    assert strength == pytest.approx(before, rel=2e-3)


def test_two_steps_of_broadening_are_one():
    flux = line(LOG)
    twice = broaden(LOG, broaden(LOG, flux, 30_000, 8000), 8000, 4000)
    np.testing.assert_allclose(twice, broaden(LOG, flux, 30_000, 4000), atol=2e-4)


def test_a_shift_moves_a_line_by_its_velocity():
    flux = line(LOG, fwhm=1.0)
    moved = shift(LOG, flux, 60.0)
    at = np.sum(LOG * (1 - moved)) / np.sum(1 - moved)
    assert (at / 8200 - 1) * C_KM_S == pytest.approx(60.0, rel=1e-2)
    np.testing.assert_allclose(shift(LOG, flux, 0.0), flux, atol=1e-12)


def test_pixels_conserve_flux():
    flux = line(LOG, fwhm=1.0)
    pixels = np.linspace(8100, 8300, 151)
    edges = pixel_edges(pixels)
    binned = resample(LOG, flux, pixels, conserve=True)
    fine = np.linspace(edges[0], edges[-1], 400_001)
    whole = np.trapezoid(line(fine, fwhm=1.0), fine)
    assert np.sum(binned * np.diff(edges)) == pytest.approx(whole, rel=1e-6)
    sampled = resample(LOG, flux, pixels)
    assert sampled.min() < binned.min() - 0.01  # a pixel blurs what a point would see


def test_resampling_on_itself_changes_nothing_and_outside_is_refused():
    flux = line(LINEAR).astype(np.float32)
    same = resample(LINEAR, flux, LINEAR)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, flux, atol=1e-6)
    with pytest.raises(ValueError, match="outside"):
        resample(LINEAR, flux, np.linspace(7999, 8100, 10))
