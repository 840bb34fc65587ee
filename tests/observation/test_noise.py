"""Counts and errors: the published SNR, and what must rise when conditions worsen."""

from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from stargrav.observation import sky
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.noise import (
    Conditions,
    NoiseModel,
    airmass,
    fibre_share,
    fixed_noise,
    observe,
)
from stargrav.observation.oh import oh_lines
from stargrav.observation.simulate import Simulator, draw_stars, median, snr
from stargrav.observation.transforms import pixel_edges

PUBLISHED = {18.0: 87.4, 20.0: 24.0, 21.5: 7.1, 22.0: 4.6, 22.5: 3.0, 23.0: 1.9}
REFERENCE = Path(__file__).parents[2] / "../shared/reference"
MODEL = NoiseModel(PFS_MR)
FLAT = torch.from_numpy((PFS_MR.wave / 8000) ** -2.0).float()[None]


def conditions(mag=21.5, seeing=1.0, zenith_angle=22.5, field_angle=0.325):
    given = np.broadcast_arrays(*map(np.atleast_1d, (mag, seeing, zenith_angle, field_angle)))
    return Conditions(*(values.astype(float) for values in given))


def median_snr(**given):
    at = conditions(**given)
    flux = FLAT.expand(len(at.mag), -1)
    return median(flux / MODEL.error(flux, at)).numpy()


def test_pixels_are_those_of_the_arm():
    wave = PFS_MR.wave
    assert len(wave) == 4096 and (wave[0], wave[-1]) == (7100.2, 8849.8)
    np.testing.assert_allclose(np.diff(wave), PFS_MR.step, rtol=1e-9)
    assert round(PFS_MR.step, 3) == 0.427


@pytest.mark.parametrize("mag", PUBLISHED)
def test_published_snr(mag, library):
    """Within the 10 % the specification allows, for a flat source and for stars."""
    assert median_snr(mag=mag)[0] == pytest.approx(PUBLISHED[mag], rel=0.1)
    rng = np.random.default_rng(0)
    stars = draw_stars(100, mag, library.ranges, rng, 1.0, 22.5, 0.325)
    assert float(snr(*Simulator(library)(stars))["median"].median()) == pytest.approx(
        PUBLISHED[mag], rel=0.1
    )


def test_snr_falls_with_magnitude_seeing_zenith_and_field_angle():
    assert (np.diff(median_snr(mag=np.arange(17, 25.0, 0.5))) < 0).all()
    assert (np.diff(median_snr(seeing=np.linspace(0.5, 1.5, 9))) < 0).all()
    assert (np.diff(median_snr(zenith_angle=np.linspace(0, 45, 9))) < 0).all()
    assert (np.diff(median_snr(field_angle=np.linspace(0, 0.65, 9))) < 0).all()


def test_bright_stars_are_limited_by_their_own_photons():
    """SNR ~ 10^(-0.2 m) where the star dominates, 10^(-0.4 m) where the background does."""
    bright, faint = (median_snr(mag=[m, m + 1]) for m in (12.0, 26.0))
    assert bright[0] / bright[1] == pytest.approx(10**0.2, rel=0.01)
    assert faint[0] / faint[1] == pytest.approx(10**0.4, rel=0.01)


def test_magnitude_and_not_the_unit_of_flux_sets_the_counts():
    at = conditions()
    electrons = MODEL.electrons_per_flux(FLAT, at) * FLAT
    again = MODEL.electrons_per_flux(1e8 * FLAT, at) * (1e8 * FLAT)
    torch.testing.assert_close(electrons, again, rtol=1e-5, atol=0)
    brighter = MODEL.electrons_per_flux(FLAT, conditions(mag=19.0)) * FLAT
    torch.testing.assert_close(brighter, 10 * electrons, rtol=1e-5, atol=0)


def test_the_fibre_takes_all_of_a_point_and_little_of_a_blur():
    diameter = np.full(4, 1.1)
    share = fibre_share(np.array([0.01, 0.5, 1.5, 30.0]), diameter)
    assert share[0] == pytest.approx(1, abs=1e-6) and share[-1] < 2e-3
    assert (np.diff(share) < 0).all()
    radius = np.linspace(0, 0.55, 20_001)  # integral of the Moffat profile itself
    core = 1.0 / (2 * np.sqrt(2 ** (1 / 4.765) - 1))
    profile = 3.765 / np.pi / core**2 * (1 + (radius / core) ** 2) ** -4.765
    whole = np.trapezoid(profile * 2 * np.pi * radius, radius)
    assert fibre_share(np.array([1.0]), diameter[:1])[0] == pytest.approx(whole, rel=1e-6)


def observed(mag, n=64, level=1.0, flux=FLAT, seed=1):
    """Flux, noiseless error, photon variance, noisy flux and observed error of n like stars."""
    flux, at = flux.expand(n, -1), conditions(mag=np.full(n, mag))
    error, photons = MODEL.error(flux, at), MODEL.photon_variance(flux, at)
    given = {"generator": torch.Generator().manual_seed(seed), "photon_variance": photons}
    return flux, error, photons, *observe(flux, error, level, **given)


@pytest.mark.parametrize("level", [0.5, 1.0])
def test_an_observed_error_is_no_second_observation(level):
    """Turned back into counts, it gives the noise of the flux itself wherever counts are left."""
    flux, error, photons, noisy, reported = (x.double() for x in observed(20.0, level=level))
    counted = flux + (reported**2 - error**2) / photons
    torch.testing.assert_close(counted, noisy.clamp(min=0), rtol=0, atol=2e-4)
    assert float((noisy - flux).std()) > 0.01  # a draw of its own would be off by as much


def test_given_the_noisy_spectrum_the_observed_error_tells_nothing_more():
    """Stars that differ, with noise that hides the difference: the same error is reported."""
    line = 0.3 * torch.exp(-(((torch.from_numpy(PFS_MR.wave) - 8500) / 5) ** 2)).float()
    away = 0.3 * torch.exp(-(((torch.from_numpy(PFS_MR.wave) - 8200) / 5) ** 2)).float()
    away *= (line @ MODEL._band) / (away @ MODEL._band)  # the same light in the i band
    one, two, at = FLAT, FLAT - line + away, conditions(mag=20.5)
    noisy, reported = [], []
    errors = [MODEL.error(flux, at) for flux in (one, two)]
    noise = torch.from_numpy(fixed_noise(0, 0, len(PFS_MR.wave)))[None]
    hiding = (one + errors[0] * noise - two) / errors[1]
    for flux, error, drawn in zip((one, two), errors, (noise, hiding), strict=True):
        photons = MODEL.photon_variance(flux, at)
        found = observe(flux, error, 1.0, drawn, photon_variance=photons)
        noisy.append(found[0])
        reported.append(found[1])
    torch.testing.assert_close(*noisy, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*reported, rtol=1e-5, atol=0)
    assert float((errors[0] / errors[1] - 1).abs().max()) > 0.01  # noiseless ones give it away


def test_observed_errors_are_unbiased_to_first_order():
    _, error, photons, _, reported = observed(20.0, n=400)
    ratio = (reported / error).double()
    scatter = (photons / error).double() / 2  # d error^2 = a sigma N(0, 1)
    assert float((ratio.mean(dim=0) - 1).abs().max()) < float(6 * scatter.max() / 20)
    assert float(ratio.mean()) == pytest.approx(1, abs=2e-4)
    assert float((ratio.std(dim=0) / scatter[0]).median()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("mag", [8.0, 15.0, 23.0, 27.0])
def test_observed_errors_are_positive_and_at_least_the_background(mag):
    flux, error, photons, noisy, reported = (x.double() for x in observed(mag, n=16))
    assert torch.isfinite(reported).all() and (reported > 0).all()
    if mag > 20:
        below = noisy < 0
        assert below.any()
        background = (error**2 - photons * flux).sqrt()
        torch.testing.assert_close(reported[below], background[below], rtol=1e-5, atol=0)


def test_without_noise_the_observed_error_is_the_noiseless_one():
    flux, error, _, noisy, reported = observed(21.5, level=0.0)
    assert torch.equal(noisy, flux)
    torch.testing.assert_close(reported, error, rtol=1e-6, atol=0)


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_noiseless_errors_and_the_noise_that_goes_with_them_bit_by_bit(level):
    """The formulas whose results are stored: none of their bits may change."""
    flux, error = FLAT.expand(4, -1), MODEL.error(FLAT, conditions()).expand(4, -1)
    noisy, reported = observe(flux, error, level, generator=torch.Generator().manual_seed(3))
    assert reported is error
    drawn = torch.randn(flux.shape, generator=torch.Generator().manual_seed(3))
    assert torch.equal(noisy, torch.addcmul(flux, drawn, error, value=level))
    fixed = np.stack([fixed_noise(5, star, flux.shape[1]) for star in range(4)])
    noisy, reported = observe(flux, error, level, torch.from_numpy(fixed))
    assert reported is error
    expected = flux.numpy() + np.float32(level) * error.numpy() * fixed
    np.testing.assert_array_equal(noisy.numpy(), expected)


def test_noise_of_seeds_stars_and_draws_is_apart():
    """Neighbours of any kind share none of it, and a long id is not cut."""
    keys = list(product((0, 1, 7), (0, 1, 7, 2**32), (0, 1, 7)))
    noise = np.stack([fixed_noise(seed, star, 4000, draw) for seed, star, draw in keys])
    alike = np.corrcoef(noise) - np.eye(len(keys))
    assert np.abs(alike).max() < 5 / np.sqrt(4000)
    assert len(np.unique(noise)) > 0.99 * noise.size
    np.testing.assert_array_equal(noise[0], fixed_noise(0, 0, 4000))


def test_the_sky_is_conserved_by_its_line_spread_function():
    edges = pixel_edges(PFS_MR.wave)
    wave, photons = oh_lines()
    far = (wave > edges[0] + 15) & (wave < edges[-1] - 15)
    expected = sky.OH_PHOTONS * photons[far].sum() + sky.O2_PHOTONS
    sharp = sky.line_emission(edges, 20_000.0)
    blurred = sky.line_emission(edges, 3_000.0)
    assert sharp.max() > 2 * blurred.max()
    edge = sky.OH_PHOTONS * photons[~far].sum()
    assert expected <= sharp.sum() <= expected + edge
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=0.02)


def test_brightest_airglow_lines_stand_where_atlases_have_them():
    """Osterbrock & Martel (1992, PASP 104, 76), wavelengths in air plus the refraction of air."""
    emission = sky.line_emission(pixel_edges(PFS_MR.wave), 5000.0)
    for air in (7276.4, 7750.6, 7913.7, 8344.6, 8399.2, 8430.2, 8827.1):
        window = np.abs(PFS_MR.wave - air * 1.000275) < 8
        peak = PFS_MR.wave[window][np.argmax(emission[window])]
        assert peak == pytest.approx(air * 1.000275, abs=0.6)


def test_the_sky_brightens_from_zenith_to_horizon():
    brightness = sky.brightening(np.array([0.0, 20.0, 45.0]))
    assert brightness[0] == pytest.approx(1) and (np.diff(brightness) > 0).all()
    assert brightness[2] < airmass(45.0)


def test_shape_of_the_exposure_time_calculator():
    """Positions and relative strengths of sky lines follow an independent calculation."""
    path = REFERENCE / "pfs_mr_noise.h5"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with h5py.File(path) as file:
        theirs = file["variance_per_exposure"][:]
    at = conditions(mag=20.0)
    electrons = MODEL.electrons_per_flux(FLAT, at)
    ours = (MODEL.error(FLAT, at) * electrons) ** 2 - electrons * FLAT
    ours = ours[0].numpy() / PFS_MR.exposures
    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.92
    for rank in (25, 50, 75):
        ratio = np.percentile(ours, rank) / np.percentile(theirs, rank)
        assert 0.8 < ratio < 1.3  # its sky has 0.73 of the throughput taken here
