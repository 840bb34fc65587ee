"""Figures of the limits show the numbers they are given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from stargrav.plots.limits import against_magnitude, ranks, sigmas


@pytest.fixture
def ax():
    return Figure().subplots()


def test_published_values_stand_beside_the_medians(ax):
    mag, middle = np.array([18.0, 21.5, 23.0]), np.array([0.99, 0.8, 0.1])
    published = np.array([0.9993, 0.8742, np.nan])
    against_magnitude(mag, middle - 0.1, middle, middle + 0.1, published, ax)
    assert ax.lines[0].get_xydata() == pytest.approx(np.column_stack([mag, middle]))
    shown = np.ma.filled(ax.collections[-1].get_offsets(), np.nan)
    assert shown[:2] == pytest.approx(np.column_stack([mag, published])[:2])


def test_rank_histogram_keeps_the_counts_and_the_expected_range(ax):
    counts = np.array([60, 40, 52, 48])
    ranks(counts, 200, ax)
    assert (ax.patches[-1].get_data().values == counts).all()
    band = ax.patches[0]
    assert band.get_y() < 50 < band.get_y() + band.get_height()
    assert 20 < band.get_height() < 30  # 1.96 * 2 * sqrt(200 / 4 * 3 / 4) = 24


def test_sigmas_of_both_kinds_are_drawn(ax):
    snr, sd = np.array([1.0, 5.0, 20.0]), np.array([1.0, 0.5, 0.1])
    sigmas(snr, sd, 2 * sd, 1.15, ax)
    bound, own = (np.asarray(points.get_offsets())[:, 1] for points in ax.collections)
    assert own == pytest.approx(sd) and bound == pytest.approx(2 * sd)
