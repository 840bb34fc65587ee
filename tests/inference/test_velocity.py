"""Velocities measured from spectra, and what posteriors of labels make of them."""

from itertools import product

import numpy as np
import pytest
import torch

from stargrav.inference.emulator import Emulator
from stargrav.inference.likelihood import Likelihood
from stargrav.inference.predict import predict
from stargrav.inference.velocity import Motion, measured_velocities
from stargrav.labels import LABELS, RANGES
from stargrav.observation.doppler import radial_velocity
from stargrav.observation.simulate import Simulator, draw_stars
from stargrav.physics.grid import Library

N = 60


@pytest.fixture(scope="module")
def simulator():
    """Thirty lines on either side of a band that all stars have, deepened by T_eff and log g."""
    wave = 7085 * np.exp(np.arange(np.log(8865 / 7085) * 5e4) / 5e4)
    axes = [np.linspace(*RANGES[name], 4) for name in LABELS[:2]]
    labels = np.array([[*pair, 0, 0, 0] for pair in product(*axes)])
    low, high = np.array([RANGES[name] for name in LABELS[:2]]).T
    unit = (labels[:, :2] - low) / (high - low)
    rng = np.random.default_rng(0)
    centres, shares = rng.uniform(7110, 8840, 30), rng.uniform(0, 1, (30, 2))
    lines = np.exp(-0.5 * ((wave - centres[:, None]) / 0.6) ** 2)
    depth = 0.1 + 0.5 * (shares @ unit.T).T
    return Simulator(Library.from_grid(wave, 1 - depth @ lines, labels, 6, 20_000.0))


@pytest.fixture(scope="module")
def stars(simulator):
    """Stars that move, their noisy flux at some level and its error."""
    rng = np.random.default_rng(5)
    drawn = draw_stars(N, 21.0, simulator.library.ranges, rng, velocity=(-250, 250))
    flux, error = (each.numpy() for each in simulator(drawn))
    noisy = flux + error * rng.standard_normal(flux.shape, dtype=np.float32)
    return drawn, 37 * noisy, 37 * error


def pull(found, name, truth):
    return ((found[name] - truth) / found[f"sd_{name}"]).to_numpy()


def test_velocities_are_found_within_their_errors(simulator, stars):
    drawn, flux, error = stars
    found = predict(flux, error, simulator.library, points=2**12, motion=simulator.doppler)
    true = radial_velocity(drawn["redshift"].to_numpy())
    pulls = pull(found, "velocity", true)
    assert np.abs(pulls).max() < 4.5
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=0.25)
    assert found["sd_velocity"].max() < 10
    for name in LABELS[:2]:
        assert np.sqrt(np.mean(pull(found, name, drawn[name]) ** 2)) == pytest.approx(1, abs=0.25)
    assert found["chi2"].mean() == pytest.approx(1, abs=0.02)


def test_errors_of_velocities_tell_of_other_peaks(simulator):
    """Stars so faint that noise has a higher peak now and then: few pulls are large even so."""
    rng = np.random.default_rng(6)
    drawn = draw_stars(200, 24.5, simulator.library.ranges, rng, velocity=(-250, 250))
    flux, error = simulator(drawn)
    noisy = flux + error * torch.from_numpy(rng.standard_normal(flux.shape, dtype=np.float32))
    emulator = Emulator(simulator.library)
    weights = emulator.weights(emulator.labels(torch.rand(2000, len(emulator.free))))
    found = measured_velocities(noisy, error, simulator.doppler, weights)
    true = radial_velocity(drawn["redshift"].to_numpy())
    off = found.velocity - true
    assert (np.abs(off) > 100).sum() > 5 and (found.sd > 50).sum() > 5
    assert (np.abs(off / found.sd) > 4).mean() < 0.02
    assert np.sqrt(np.mean(np.square(off / found.sd))) == pytest.approx(1, abs=0.3)


def test_known_velocities_give_what_stars_at_rest_give(simulator, stars):
    """Pulls are right with the velocities, wrong without them; at rest nothing changes."""
    drawn, flux, error = stars
    true = radial_velocity(drawn["redshift"].to_numpy())
    known = predict(
        flux, error, simulator.library, points=2**12, motion=Motion(simulator.doppler, true)
    )
    few = slice(0, 12)  # the rest would take as long each
    without = predict(flux[few], error[few], simulator.library, points=2**10)
    pulls = (pull(known, "log_g", drawn["log_g"]), pull(without, "log_g", drawn["log_g"][few]))
    spread = [np.sqrt(np.mean(each**2)) for each in pulls]
    assert spread[0] == pytest.approx(1, abs=0.25) and spread[1] > 1.5
    assert without["misfit"].median() > known["misfit"].median() + 2
    still = Motion(simulator.doppler, np.zeros(N))
    at_rest, sigma = (each.numpy() for each in simulator(drawn.assign(redshift=0.0)))
    noise = np.random.default_rng(1).standard_normal(sigma.shape, dtype=np.float32)
    pair = [
        predict(at_rest + sigma * noise, sigma, simulator.library, points=2**12, motion=motion)
        for motion in (None, still)
    ]
    assert pair[1]["velocity"].eq(0).all() and "velocity" not in pair[0]
    np.testing.assert_allclose(pair[1]["chi2"], pair[0]["chi2"], rtol=2e-3)
    # label vectors of their own are drawn anew
    assert ((pair[1]["log_g"] - pair[0]["log_g"]).abs() < 0.4 * pair[0]["sd_log_g"]).all()
    np.testing.assert_allclose(pair[1]["sd_log_g"], pair[0]["sd_log_g"], rtol=0.25)


def test_what_may_be_added_is_integrated_over_exactly(simulator, stars):
    """chi^2 of label vectors is the least over the amplitudes, found by brute force."""
    _, flux, error = stars
    emulator = Emulator(simulator.library)
    y, sigma = (torch.from_numpy(each[:3] / 37).double() for each in (flux, error))
    added = np.random.default_rng(0).standard_normal((3, 2, y.shape[1])).cumsum(axis=2)
    added = torch.from_numpy(added / added.shape[2] ** 0.5).float()
    found = Likelihood(emulator, y.float(), sigma.float(), added=added)
    weights = emulator.weights(emulator.labels(torch.rand(5, len(emulator.free)))).double()
    for star in range(3):
        told = ((weights - found.best[star]) @ found.root[star]).square().sum(dim=1)
        rest = (y[star] - weights @ emulator.vectors.double()) / sigma[star]
        along = added[star].double() / sigma[star]
        amplitudes = torch.linalg.lstsq(along.T, rest.T).solution
        least = (rest - amplitudes.T @ along).square().sum(dim=1)
        torch.testing.assert_close(told - told[0], least - least[0], rtol=1e-3, atol=1e-2)
        fixed = rest.square().sum(dim=1)
        assert (fixed - fixed[0] - least + least[0]).abs().max() > 1  # it does matter


def test_posteriors_allow_for_the_error_of_a_measured_velocity(simulator, stars):
    """To first order it adds the label's slope by velocity, times its error, in quadrature."""
    drawn, flux, error = stars
    true = radial_velocity(drawn["redshift"].to_numpy())
    motions = [Motion(simulator.doppler, true, sd) for sd in (None, np.full(N, 5.0))]
    known, measured = (
        predict(flux, error, simulator.library, points=2**14, motion=motion) for motion in motions
    )
    ratio = measured["sd_log_g"] / known["sd_log_g"]
    assert ratio.min() > 0.8 and 1 <= ratio.median() < 1.2


def test_dead_fibres_and_a_lone_spectrum(simulator, stars):
    _, flux, error = (each[:2] for each in stars)
    dead = error.copy()
    dead[0] = 1e30
    found = predict(flux, dead, simulator.library, points=2**10, motion=simulator.doppler)
    alone = predict(flux[1:], error[1:], simulator.library, points=2**10, motion=simulator.doppler)
    assert found.loc[0].isna().all()
    assert found.loc[1, "velocity"] == pytest.approx(alone.loc[0, "velocity"], abs=1e-3)
