"""The simulator: what it promises about flux, error, noise and the stars it draws."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stargrav.data.sources import open_source
from stargrav.errors import InputError
from stargrav.labels import LABELS, RANGES
from stargrav.observation.noise import Conditions, fixed_noise, observe
from stargrav.observation.simulate import (
    Simulator,
    draw_stars,
    median,
    snr,
)
from stargrav.observation.transforms import broaden, resample

BOSZ = Path(__file__).parents[2] / "../shared/reference/bosz_r5000_8000-9000.h5"


@pytest.fixture(scope="module")
def simulator(library):
    return Simulator(library)


def stars(n, library, seed=0, **given):
    return draw_stars(n, "mag205_225", library.ranges, np.random.default_rng(seed), **given)


def test_flux_has_median_one_and_errors_are_positive(simulator, library):
    flux, error = simulator(stars(50, library))
    assert flux.dtype == error.dtype == torch.float32 and flux.shape == (50, 4096)
    np.testing.assert_allclose(np.median(flux, axis=1), 1, atol=1e-6)
    assert (error > 0).all() and torch.isfinite(flux).all()


def test_the_instrument_acts_on_components_as_on_spectra(simulator, library):
    labels = torch.tensor(stars(5, library)[list(LABELS)].to_numpy())
    wave = library.wave.numpy()
    direct = library.flux_at(labels).numpy()
    direct = resample(wave, broaden(wave, direct, 10_000, 5000), simulator.wave, conserve=True)
    direct /= np.median(direct, axis=1, keepdims=True)
    np.testing.assert_allclose(simulator.flux(labels), direct, atol=1e-5)


def test_one_star_at_a_time_is_the_same(simulator, library):
    table = stars(4, library)
    flux, error = simulator(table)
    alone = [simulator(table.iloc[[i]]) for i in range(4)]
    torch.testing.assert_close(torch.cat([f for f, _ in alone]), flux)
    torch.testing.assert_close(torch.cat([e for _, e in alone]), error)


def test_flux_is_differentiable_by_the_labels(simulator):
    labels = torch.tensor([[4800.0, 2.5, -0.7, 0.1, 0.0]], dtype=torch.float64)
    moved = labels.clone().requires_grad_()
    weights = torch.linspace(-1, 1, 4096, dtype=torch.float64) ** 2
    (simulator.flux(moved)[0] * weights).sum().backward()
    step = torch.tensor([[0.0, 1e-3, 0.0, 0.0, 0.0]], dtype=torch.float64)
    difference = simulator.flux(labels + step) - simulator.flux(labels - step)
    slope = float((difference[0] * weights).sum() / 2e-3)
    assert float(moved.grad[0, 1]) == pytest.approx(slope, rel=1e-3)


def test_noise_is_as_large_as_the_error_says(simulator, library):
    flux, error = simulator(stars(200, library))
    for level in (0.1, 1.0):
        noisy, _ = observe(flux, error, level, generator=torch.Generator().manual_seed(3))
        pull = (noisy - flux) / (level * error)
        assert float(pull.mean()) == pytest.approx(0, abs=0.01)
        assert float(pull.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(observe(flux, error, 0.0)[0], flux)


def test_noise_repeats_with_its_generator(simulator, library):
    flux, error = simulator(stars(3, library))
    first, second, other = (
        observe(flux, error, 1.0, generator=torch.Generator().manual_seed(seed))[0]
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_observed_errors_are_those_of_the_stars_own_noise(simulator, library):
    """Of seed and id, whatever other stars are simulated with them."""
    observing, table = Simulator(library, error="observed"), stars(6, library)
    flux, error = observing(table, seed=9)
    clean, sigma = simulator(table)
    assert torch.equal(flux, clean) and not torch.equal(error, sigma)
    noise = torch.from_numpy(fixed_noise(9, 4, flux.shape[1]))
    photons = simulator.noise.photon_variance(flux, Conditions.of(table))[4]
    _, expected = observe(clean[4], sigma[4], 1.0, noise, photon_variance=photons)
    torch.testing.assert_close(error[4], expected, rtol=1e-6, atol=0)
    assert torch.equal(observing(table, seed=9)[1], error)
    torch.testing.assert_close(observing(table.iloc[4:], seed=9)[1], error[4:])
    assert not torch.equal(observing(table, seed=10)[1], error)


def test_snr_in_both_ways():
    flux, error = torch.tensor([[3.0, 4.0, 4.0, 3.0]]), torch.tensor([[1.0, 1.0, 2.0, 3.0]])
    ratio = snr(flux, error)
    assert float(ratio["norm"]) == pytest.approx(np.sqrt(50 / 15))
    assert float(ratio["median"]) == pytest.approx(2.5)


@pytest.mark.parametrize("pixels", [7, 8])
def test_median_is_numpys(pixels):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, (200, pixels)).astype(np.float32)
    expected = np.median(values, axis=1)
    tensor = torch.tensor(values)
    np.testing.assert_array_equal(median(tensor), expected)
    np.testing.assert_array_equal(median(tensor.requires_grad_()).detach(), expected)


def test_drawn_labels_are_uniform_and_independent():
    table = draw_stars(20_000, "mag205_225", rng=np.random.default_rng(1))
    names = [*LABELS, "mag", "seeing", "zenith_angle", "field_angle"]
    spans = [*RANGES.values(), (20.5, 22.5), (0.5, 1.5), (0, 45), (0, 0.65)]
    for name, (low, high) in zip(names, spans, strict=True):
        unit = (table[name] - low) / (high - low)
        assert unit.between(0, 1).all()
        counts = np.histogram(unit, bins=10, range=(0, 1))[0]
        assert ((counts - 2000) ** 2 / 2000).sum() < 27.9  # chi-squared, 9 degrees, p = .001
    links = np.corrcoef(table[names].to_numpy().T) - np.eye(len(names))
    assert np.abs(links).max() < 4 / np.sqrt(20_000)


def test_a_draw_begins_a_longer_one():
    short, long = (draw_stars(n, rng=np.random.default_rng(2)) for n in (10, 1000))
    assert long.head(10).equals(short)


def test_named_fixed_and_spanned_magnitudes():
    rng = np.random.default_rng(0)
    assert (draw_stars(5, "mag215", rng=rng).mag == 21.5).all()
    assert (draw_stars(5, 18.0, rng=rng, seeing=0.7).seeing == 0.7).all()
    assert draw_stars(50, (19.0, 20.0), rng=rng).mag.between(19, 20).all()
    with pytest.raises(InputError, match="magnitude: found 'mag20', expected mag215 or"):
        draw_stars(5, "mag20")
    with pytest.raises(InputError, match="mag: found 22.0 to 20.0"):
        draw_stars(5, (22.0, 20.0))


def test_labels_off_the_library_are_refused(simulator, library):
    table = stars(3, library)
    table.loc[1, "log_g"] = 5.5
    with pytest.raises(InputError, match="fake.h5: log_g of star 1: found 5.5, expected 1 to 5"):
        simulator(table)


def test_a_library_elsewhere_in_the_spectrum_is_refused(library):
    infrared = library.transformed(lambda flux: flux, library.wave.numpy() + 9000)
    with pytest.raises(InputError, match="fake.h5: wave: found 16080.* A, expected .*overlap"):
        Simulator(infrared)
    with pytest.raises(InputError, match="error: found 'real'"):
        Simulator(library, error="real")


def test_real_bosz_spectra_simulate_where_they_cover_the_arm():
    if not BOSZ.is_file():
        pytest.skip(f"{BOSZ} is absent")
    library = open_source(BOSZ)
    simulator = Simulator(library)
    assert 8000 < simulator.wave[0] < 8001.5 and simulator.wave[-1] == 8849.8
    table = stars(100, library)
    assert table.T_eff.between(5500, 6000).all() and (table.C_M == 0).all()
    flux, error = simulator(table)
    triplet = (np.abs(simulator.wave[:, None] - [8500.4, 8544.4, 8664.5]) < 1.5).any(axis=1)
    assert float(flux[:, triplet].mean()) < 0.75 * float(flux[:, ~triplet].mean())
    assert 2 < float(snr(flux, error)["median"].median()) < 15
