"""A library through pixels: any of them, at rest and moving."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stargrav.observation.instrument import PFS_MR
from stargrav.observation.simulate import Simulator
from stargrav.observation.transforms import stretch
from stargrav.observation.view import View, covered


def vectors(view):
    return torch.cat([view.library.mean[None], view.library.components])


def test_pixels_of_the_instrument_show_what_the_simulator_shows(library):
    simulator = Simulator(library)
    view = View(library, simulator.wave, PFS_MR.resolution)
    torch.testing.assert_close(vectors(view), vectors(simulator), atol=0, rtol=0)
    assert covered(library, simulator.wave, 5000.0) == slice(0, len(simulator.wave))


def test_wide_pixels_record_the_mean_of_narrow_ones(library):
    narrow = Simulator(library).wave
    whole = len(narrow) // 3 * 3
    wide = narrow[:whole].reshape(-1, 3).mean(axis=1)
    fine = vectors(View(library, narrow, 3000.0))
    expected = fine[:, :whole].reshape(len(fine), -1, 3).mean(dim=2)
    torch.testing.assert_close(
        vectors(View(library, wide, 3000.0)), expected, atol=2e-6, rtol=2e-6
    )


@pytest.mark.parametrize("velocity", [-200.0, 150.0])
def test_a_star_that_moves_shows_what_pixels_at_its_rest_wavelengths_show(library, velocity):
    wave = np.exp(np.linspace(np.log(7400), np.log(8500), 1500))  # uneven
    moving = View(library, wave, 4000.0).doppler.vectors(velocity)
    at_rest = vectors(View(library, wave / stretch(velocity), 4000.0))
    torch.testing.assert_close(moving, at_rest, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("growth", [0.999, 1.0, 1.001])
@pytest.mark.parametrize("resolution", [5000.0, 300.0])
def test_pixels_are_kept_whose_light_does_not_end_with_the_library(library, growth, resolution):
    """A longer library shows the same in them, and those left out are few."""
    at = library.wave.numpy()
    low, high = at[[len(at) // 4, -1]]
    part = replace(
        library,
        wave=library.wave[len(at) // 4 :],
        mean=library.mean[len(at) // 4 :],
        components=library.components[:, len(at) // 4 :],
    )
    steps = growth ** np.arange(4000)
    wave = low - 20.3 + np.cumsum(steps * (high - low + 40) / steps.sum())
    kept = covered(part, wave, resolution)
    inside = wave[kept]
    assert inside[0] - low < 2 * low / resolution + 2
    assert high - inside[-1] < 2 * high / resolution + 2
    inside = inside[inside < high - 100]
    one, other = (vectors(View(each, inside, resolution)) for each in (part, library))
    assert (one - other).abs().max() < 3e-3 * other.abs().max()
    assert covered(library, wave + 5000, resolution) == slice(0, 0)
    for few in (2, 3):
        assert covered(library, np.linspace(at[0] - 9, at[0] + 9, few), resolution).stop == 0
