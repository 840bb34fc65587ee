"""Two-sample tests pass equal distributions and find unequal ones."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.neighbors import KNeighborsClassifier

from stargrav.metrics.two_sample import (
    classifier_test,
    energy_test,
    relative_energy_distances,
)

N = 600


def normal(seed, scale=1.0, shift=0.0):
    return shift + scale * np.random.default_rng(seed).standard_normal((N, 3))


def test_energy_distance_is_what_it_says():
    x, y = normal(0), normal(1)[:400] + 0.3
    expected = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert energy_test(x, y, 0, permutations=2).value == pytest.approx(expected)


def test_p_values_of_equal_distributions_are_uniform():
    found = [energy_test(normal(i)[:60], normal(100 + i)[:60], i, 99).p for i in range(60)]
    assert abs(np.mean(found) - 0.5) < 4 * 0.2887 / np.sqrt(60)
    assert min(found) >= 0.01


@pytest.mark.parametrize("test", [energy_test, classifier_test])
def test_equal_distributions_pass_and_others_do_not(test):
    assert test(normal(0), normal(1), 0).p > 0.01
    assert test(normal(0), normal(1, shift=0.3), 0).p < 0.01
    assert test(normal(0), normal(1, scale=1.5), 0).p < 0.01
    # the same means and variances, other correlations
    x = normal(1)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    assert test(normal(0), x, 0).p < 0.01


def test_a_classifier_tells_noise_from_what_it_is_not():
    found = classifier_test(normal(0), normal(1, scale=0.1), 0)
    assert found.value > 0.9 and found.p < 1e-6
    with pytest.raises(ValueError, match="600 and 599"):
        classifier_test(normal(0), normal(1)[1:], 0)


def test_relative_energy_distances_are_those_of_their_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (5, 30)), rng.normal(0.5, 2, (5, 40))
    found = relative_energy_distances(x, y)
    for one, other, value in zip(x, y, found, strict=True):
        across = np.abs(one[:, None] - other).mean()
        own, theirs = (pdist(z[:, None]).mean() for z in (one, other))
        assert value == pytest.approx((2 * across - own - theirs) / (2 * across))


def test_relative_energy_distance_is_nothing_between_draws_of_one_distribution():
    rng = np.random.default_rng(1)
    draws = rng.standard_normal((2, 4000, 20))
    found = relative_energy_distances(*draws)
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))
    assert (found < 0).any()
    assert relative_energy_distances(draws[0], draws[1] + 1e6).min() > 0.99


def test_pairs_stay_together():
    """A classifier that learns rows by heart must not meet the other one of a pair."""
    x = normal(0)
    alone = classifier_test(x, x + 1e-6, 0, KNeighborsClassifier(1))
    paired = classifier_test(x, x + 1e-6, 0, KNeighborsClassifier(1), paired=True)
    assert abs(alone.value - 0.5) > 0.1  # the nearest is the partner, of the other kind
    assert abs(paired.value - 0.5) < 0.05
