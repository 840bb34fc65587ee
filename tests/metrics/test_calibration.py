"""Calibration metrics tell right posteriors from over- and under-confident and shifted ones."""

import numpy as np
import pytest
from scipy.stats import norm

from stargrav.metrics.calibration import (
    average,
    coverage,
    draw_ranks,
    interval_widths,
    pull_spread,
    pulls,
    rank_histogram,
    uniformity,
)

STARS = 4000


@pytest.fixture
def posterior():
    """mean, sd of posteriors, and truths that are draws from them."""
    rng = np.random.default_rng(0)
    mean, sd = rng.uniform(1, 5, STARS), rng.uniform(0.1, 1.0, STARS)
    return mean, sd, mean + sd * rng.normal(size=STARS)


def ranks(mean, sd, truth):
    return norm.cdf(truth, mean, sd)


def test_right_posteriors_pass(posterior):
    mean, sd, truth = posterior
    rank = ranks(mean, sd, truth)
    assert pull_spread(pulls(truth, mean, sd) ** 2) == pytest.approx(1, abs=0.045)  # 4 errors
    assert min(uniformity(rank).values()) > 1e-3
    for level in (0.68, 0.95):
        error = np.sqrt(level * (1 - level) / STARS)
        assert coverage(rank, level).mean() == pytest.approx(level, abs=4 * error)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_wrong_widths_are_found(posterior, factor):
    """factor < 1: overconfident, the truth is too often in the tails; > 1: the opposite."""
    mean, sd, truth = posterior
    rank = ranks(mean, factor * sd, truth)
    assert pull_spread(pulls(truth, mean, factor * sd) ** 2) == pytest.approx(
        1 / factor, rel=0.045
    )
    assert uniformity(rank)["chi2"] < 1e-6
    assert (coverage(rank, 0.68).mean() < 0.68) == (factor < 1)
    counts = rank_histogram(rank)
    assert (counts[[0, -1]].mean() > STARS / len(counts)) == (factor < 1)


def test_a_bias_is_found(posterior):
    mean, sd, truth = posterior
    assert uniformity(ranks(mean + 0.15 * sd, sd, truth))["ks"] < 1e-6


def test_weights_count_stars():
    squares = np.array([1.0, 4.0, 9.0])
    weights = np.array([[1, 1, 1], [0, 3, 0]])
    assert pull_spread(squares, weights) == pytest.approx([np.sqrt(14 / 3), 2.0])
    assert average(squares, weights) == pytest.approx([14 / 3, 4.0])
    assert average(squares) == pytest.approx(14 / 3)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_posteriors_known_by_draws_are_judged_as_those_known_by_formula(posterior, factor):
    mean, sd, truth = posterior
    m = 100
    rng = np.random.default_rng(1)
    draws = mean[:, None] + factor * sd[:, None] * rng.standard_normal((STARS, m))
    rank = draw_ranks(truth, draws)
    assert (uniformity(rank)["chi2"] > 1e-3) == (factor == 1)
    for level in (0.68, 0.95):
        found, error = coverage(rank, level).mean(), np.sqrt(level * (1 - level) / STARS)
        if factor == 1:  # ranks are multiples of 1 / (m + 1)
            assert found == pytest.approx(level, abs=4 * error + 1 / (m + 1))
        else:
            assert (found < level - 4 * error) == (factor < 1)
            assert (found > level + 4 * error) == (factor > 1)
        z = norm.ppf((1 + level) / 2)
        # quantiles of a hundred draws are a few percent too near to the middle
        width = interval_widths(draws, level) / (2 * z * factor * sd)
        # wider by some 4 %, since the ends of a hundred draws are uncertain themselves
        assert width.mean() == pytest.approx(1, abs=0.06)


def test_several_labels_at_once(posterior):
    mean, sd, truth = posterior
    draws = mean[:, None] + sd[:, None] * np.random.default_rng(1).standard_normal((STARS, 20))
    both = np.stack([draws, -draws], axis=-1)
    rank = draw_ranks(np.stack([truth, -truth], axis=-1), both)
    assert rank.shape == (STARS, 2) and np.allclose(rank.sum(axis=1), 1)
    assert np.allclose(interval_widths(both, 0.68)[:, 0], interval_widths(draws, 0.68))
