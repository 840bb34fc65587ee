"""The linear denoiser: as good as the best linear one, from noisy spectra alone."""

import numpy as np
import pytest

from stargrav.models.wiener import WienerPca

PIXELS, TRUE = 60, 3
RNG = np.random.default_rng(0)
AXES = np.linalg.qr(RNG.standard_normal((PIXELS, TRUE)))[0].T * np.array([[2.0], [1.0], [0.7]])
SKY = 0.1 + 0.9 * (np.arange(PIXELS) % 10 == 0)  # bright lines of the sky


def spectra(n, seed):
    rng = np.random.default_rng(seed)
    flux = 1 + rng.standard_normal((n, TRUE)) @ AXES
    error = SKY * rng.uniform(0.5, 2, (n, 1))
    return flux, flux + error * rng.standard_normal(flux.shape), error


@pytest.fixture(scope="module")
def fitted():
    _, noisy, error = spectra(20_000, 1)
    return WienerPca(axes=12).fit(noisy, error)


def test_it_finds_the_components_below_the_noise(fitted):
    signal = (fitted.axes_ * fitted.error_) / SKY.mean()
    assert len(fitted.axes_) >= TRUE
    inside = np.linalg.lstsq(AXES.T, signal[:TRUE].T, rcond=None)
    left = np.linalg.norm(signal[:TRUE] - (AXES.T @ inside[0]).T)
    assert left < 0.05 * np.linalg.norm(signal[:TRUE])


def test_it_is_nearly_as_good_as_the_exact_posterior_mean(fitted):
    flux, noisy, error = spectra(300, 2)
    expected = []
    for y, e in zip(noisy, error, strict=True):
        gain = AXES.T @ np.linalg.inv(AXES / e**2 @ AXES.T + np.eye(TRUE)) @ (AXES / e**2)
        expected.append(1 + gain @ (y - 1))
    found = fitted.denoise(noisy, error)
    best, ours, none = (np.mean((x - flux) ** 2) for x in (np.array(expected), found, noisy))
    assert best <= ours < 1.1 * best  # twelve axes were looked for, three are there
    assert ours < 0.1 * none


def test_noise_does_not_pass_for_components():
    """Of 800 stars with 60 pixels each, noise alone has directions of 1.6 times its variance."""
    _, noisy, error = spectra(800, 4)
    many, few = (WienerPca(axes=axes).fit(noisy, error) for axes in (40, TRUE))
    assert len(many.axes_) <= TRUE + 2
    flux, noisy, error = spectra(2000, 5)
    left, best = (np.mean((x.denoise(noisy, error) - flux) ** 2) for x in (many, few))
    assert left < 1.1 * best


def test_signals_are_as_large_as_they_are(fitted):
    """Along each direction, of clean spectra in the unit of the noise."""
    clean = (spectra(20_000, 6)[0] - fitted.mean_) / fitted.error_
    true = (clean @ fitted.axes_[:TRUE].T).var(axis=0)
    assert fitted.signal_[:TRUE] == pytest.approx(true, rel=0.05)
    few = WienerPca(axes=12).fit(*spectra(600, 7)[1:])
    true = (((spectra(20_000, 6)[0] - few.mean_) / few.error_) @ few.axes_[:TRUE].T).var(axis=0)
    assert few.signal_[:TRUE] == pytest.approx(true, rel=0.2)


def test_spectra_without_components_come_back_as_the_mean():
    _, noisy, error = spectra(40, 8)
    model = WienerPca(axes=5).fit(noisy, 100 * error)
    assert len(model.axes_) == 0
    assert np.allclose(model.denoise(noisy, error), model.mean_)


def test_each_star_is_denoised_by_its_own_errors(fitted):
    """A pixel whose error is huge is not listened to, one without error is believed."""
    _, noisy, error = spectra(1, 3)
    spoilt, deaf = noisy.copy(), error.copy()
    spoilt[0, 7] += 50
    deaf[0, 7] = 1e4
    without = fitted.denoise(noisy, deaf)
    assert np.allclose(fitted.denoise(spoilt, deaf), without, atol=1e-3)
    assert np.abs(fitted.denoise(spoilt, error) - without).max() > 1
    assert np.allclose(fitted.denoise(noisy, 1e4 * error), fitted.mean_, atol=1e-2)
