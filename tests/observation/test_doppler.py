"""The library from stars that move: where lines stand, and what is left of its light."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stargrav.constants import C_KM_S
from stargrav.errors import InputError
from stargrav.observation.doppler import Doppler, radial_velocity
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.simulate import Simulator, draw_stars, median
from stargrav.observation.transforms import stretch


@pytest.fixture(scope="module")
def simulator(library):
    return Simulator(library)


def test_velocity_and_redshift_are_one_another():
    velocity = np.array([-3e4, -250.0, 0.0, 1.0, 300.0, 1e5])
    np.testing.assert_allclose(radial_velocity(stretch(velocity) - 1), velocity, atol=1e-6)
    assert stretch(0.0) == 1
    assert stretch(30.0) == pytest.approx(1 + 30 / C_KM_S, rel=1e-8)


def test_at_rest_it_is_what_the_simulator_shows(simulator):
    found = simulator.doppler.vectors(0.0)
    shown = torch.cat([simulator.library.mean[None], simulator.library.components])
    torch.testing.assert_close(found, shown, atol=2e-6, rtol=2e-6)
    assert simulator.doppler.covered(0.0).all()


@pytest.mark.parametrize("velocity", [-280.0, 35.0, 280.0])
def test_lines_move_by_the_doppler_shift_and_keep_their_strength(library, velocity):
    """A narrow line, seen from a star that moves: centroid, width and equivalent width."""
    wave = library.wave.numpy()
    line = 1 - 0.5 * np.exp(-0.5 * ((wave - 8000) / 0.3) ** 2)
    one = replace(library, mean=torch.from_numpy(line).float())
    pixels = PFS_MR.cut(wave[0], wave[-1]).wave
    seen, moments = Doppler(one, pixels, PFS_MR.resolution), []
    for speed in (0.0, velocity):
        depth = 1 - seen.vectors(speed)[0].double().numpy()
        centre = (depth * pixels).sum() / depth.sum()
        width = np.sqrt((depth * (pixels - centre) ** 2).sum() / depth.sum())
        moments.append((centre, width, depth.sum()))
    at_rest, moving = np.array(moments)
    assert np.all(np.abs(moving / at_rest / stretch(velocity) - 1) < [1e-6, 2e-3, 1e-4])


def test_simulated_stars_show_their_redshift(simulator, library):
    rng = np.random.default_rng(3)
    stars = draw_stars(4, 21.5, library.ranges, rng, velocity=(-250, 250))
    velocity = radial_velocity(stars["redshift"].to_numpy())
    assert np.abs(velocity).max() <= 250 and np.ptp(velocity) > 50
    flux, error = simulator(stars)
    torch.testing.assert_close(median(flux), torch.ones(4))
    assert (error > 0).all()
    still, _ = simulator(stars.assign(redshift=0.0))
    for moved, rest, speed in zip(flux, still, velocity, strict=True):
        back = np.interp(simulator.wave * stretch(speed), simulator.wave, moved)
        inner = slice(100, -100)
        assert np.corrcoef(back[inner], rest[inner])[0, 1] > 0.98
    with pytest.raises(InputError, match="velocity: found 2998 km/s"):
        simulator(stars.assign(redshift=stretch(2998.0) - 1))


def test_pixels_without_light_of_the_library_are_told(simulator):
    doppler = simulator.doppler
    blue, red = (doppler.covered(velocity) for velocity in (-2000.0, 2000.0))
    assert blue[0] and not blue[-1] and red[-1] and not red[0]
    shown = doppler.vectors(2000.0)
    lost = int(np.flatnonzero(red)[0])
    assert torch.equal(shown[:, :lost], shown[:, lost : lost + 1].expand(-1, lost))
    with pytest.raises(InputError, match="light at 120000 km/s"):
        doppler.vectors(120_000.0)
