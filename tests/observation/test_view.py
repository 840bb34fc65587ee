"""A library through pixels: any of them, at rest and moving."""

import numpy as np
import pytest
import torch

from stargrav.observation.instrument import PFS_MR
from stargrav.observation.simulate import Simulator
from stargrav.observation.transforms import pixel_edges, stretch
from stargrav.observation.view import View, covered


def vectors(view):
    return torch.cat([view.library.mean[None], view.library.components])


def test_pixels_of_the_instrument_show_what_the_simulator_shows(library):
    simulator = Simulator(library)
    view = View(library, simulator.wave, PFS_MR.resolution)
    torch.testing.assert_close(vectors(view), vectors(simulator), atol=0, rtol=0)
    assert covered(library, simulator.wave) == slice(0, len(simulator.wave))


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
def test_pixels_are_kept_if_their_edges_are_within_the_library(library, growth):
    low, high = library.wave[[0, -1]].tolist()
    steps = 0.5 * growth ** np.arange(5000)
    wave = low - 50.3 + np.cumsum(steps * (high - low + 100) / steps.sum())
    kept = covered(library, wave)
    edges = pixel_edges(wave[kept])
    assert low <= edges[0] and edges[-1] <= high
    step = np.diff(wave)[[kept.start, kept.stop - 1]]
    assert edges[0] - low < 2 * step[0] and high - edges[-1] < 2 * step[1]
    assert covered(library, wave + 5000) == slice(0, 0)
