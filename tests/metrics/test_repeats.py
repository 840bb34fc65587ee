"""What the seed of a training adds to an interval."""

import numpy as np
import pytest

from stargrav.metrics.estimate import DRAWS, Estimate
from stargrav.metrics.repeats import averaged, scatter, widened


def exact(value):
    return Estimate(value, np.full(DRAWS, value))


def test_the_interval_of_one_training_holds_another_one():
    """In 95 % of the cases, though the scatter is known from four trainings only."""
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(1000):
        base, (first, second) = rng.normal(0, 0.3, 4), rng.normal(0, 0.3, 2)
        one, other = (widened(exact(v), base, trial, n) for v, n in ((first, "a"), (second, "b")))
        low, high = (one - other).interval()
        held += low <= 0 <= high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)


def test_what_is_known_of_stars_is_added_to():
    stars = Estimate(0.5, np.random.default_rng(1).normal(0.5, 0.1, DRAWS))
    found = widened(stars, np.array([0.3, 0.5, 0.4, 0.6] * 8), 1, "a")
    assert found.value == 0.5
    assert np.std(found.draws) == pytest.approx(np.hypot(0.1, 0.115), rel=0.1)


def test_the_same_training_differs_from_itself_by_nothing():
    values = np.array([0.1, 0.2, 0.4])
    one, again = (widened(exact(0.3), values, 7, "base,all: r2") for _ in range(2))
    assert (one - again).interval() == (0.0, 0.0)


def test_the_interval_of_a_mean_holds_the_mean_of_all_trainings():
    """In 95 % of the cases: five trainings of one network on the same stars, whose choice and
    whose seeds both scatter."""
    rng = np.random.default_rng(0)
    resampled = rng.normal(0, 0.1, DRAWS)
    held = 0
    for trial in range(1000):
        stars = rng.normal(0, 0.1)
        values = stars + rng.normal(0, 0.3, 5)
        found = averaged([Estimate(v, v + resampled) for v in values], trial, "a")
        low, high = found.interval()
        held += low <= 0 <= high
    assert found.value == pytest.approx(values.mean())
    assert held / 1000 == pytest.approx(0.95, abs=0.02)


def test_a_mean_of_trainings_that_agree_has_the_interval_of_the_stars():
    stars = Estimate(0.5, np.random.default_rng(1).normal(0.5, 0.1, DRAWS))
    assert averaged([stars] * 3, 1, "a").interval() == pytest.approx(stars.interval())


def test_the_scatter_is_as_uncertain_as_few_trainings_make_it():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(1000):
        low, high = scatter(rng.normal(0, 0.3, 5), trial).interval()
        held += low <= 0.3 <= high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)


def test_one_training_tells_nothing_of_the_scatter():
    assert widened(exact(0.3), np.array([0.3]), 7, "a").interval() == (0.3, 0.3)
