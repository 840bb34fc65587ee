"""Scores against their definitions, and intervals against what they promise."""

import numpy as np
import pytest

from stargrav.metrics.calibration import average
from stargrav.metrics.estimate import DRAWS, Estimate, bootstrap, largest, resamples, smallest
from stargrav.metrics.regression import (
    error_ratio,
    mae,
    map_bias,
    map_cells,
    outlier_rate,
    r2,
    regression_scores,
    rmse,
)


@pytest.fixture
def stars():
    rng = np.random.default_rng(1)
    truth = rng.uniform(1, 5, 300)
    return truth, truth + rng.normal(0, 0.6, 300), truth + rng.normal(0, 0.7, 300)


def test_scores_are_scikit_learns(stars):
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, prediction, _ = stars
    assert r2(truth, prediction) == pytest.approx(sklearn.r2_score(truth, prediction))
    assert mae(truth, prediction) == pytest.approx(sklearn.mean_absolute_error(truth, prediction))
    mse = sklearn.mean_squared_error(truth, prediction)
    assert rmse(truth, prediction) == pytest.approx(np.sqrt(mse))


@pytest.mark.parametrize("score", [r2, mae, rmse])
def test_weights_are_counts(score, stars):
    """A weighted score is the score of the resample, written out star by star."""
    truth, prediction, _ = stars
    counts = resamples(len(truth), seed=3)[:5]
    chosen = [np.repeat(np.arange(len(truth)), row) for row in counts]
    naive = [score(truth[index], prediction[index]) for index in chosen]
    assert score(truth, prediction, counts.astype(float)) == pytest.approx(naive)


def test_r2_does_not_lose_digits_far_from_zero(stars):
    truth, prediction, _ = stars
    weights = resamples(len(truth), 0)[:3].astype(float)
    far = r2(truth + 1e6, prediction + 1e6, weights)
    assert far == pytest.approx(r2(truth, prediction, weights), abs=1e-6)


def test_what_is_seen_several_times_is_no_more_stars(stars):
    """Each star four times over: the interval stays, which without their names would be halved."""
    truth, prediction, _ = stars
    once = bootstrap(rmse, truth, prediction, seed=2)
    often = np.tile(truth, 4), np.tile(prediction, 4)
    named = bootstrap(rmse, *often, seed=2, stars=np.tile(np.arange(len(truth)), 4))
    np.testing.assert_allclose(named.draws, once.draws)
    assert np.ptp(bootstrap(rmse, *often, seed=2).interval()) < 0.6 * np.ptp(once.interval())


def test_interval_covers_what_it_says():
    """The 95 % interval of the RMSE holds the true RMSE in 95 % of many data sets."""
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        truth = rng.uniform(1, 5, 150)
        low, high = bootstrap(rmse, truth, truth + rng.normal(0, 0.5, 150), seed=seed).interval()
        held += low <= 0.5 <= high
    assert 0.88 < held / 200 < 0.99


def test_difference_of_two_models_is_paired(stars):
    """Errors that two models share cancel in their difference, not in their scores."""
    truth, prediction, _ = stars
    shift = np.random.default_rng(2).normal(0, 0.02, len(truth))
    a = regression_scores(truth, prediction, seed=0)["r2"]
    b = regression_scores(truth, prediction + shift, seed=0)["r2"]
    apart = np.diff(a.interval())[0]
    assert np.diff((a - b).interval())[0] < 0.2 * apart
    assert (a - b).value == pytest.approx(a.value - b.value)
    assert (a - a).interval() == (0.0, 0.0)


def test_same_seed_same_interval(stars):
    truth, prediction, _ = stars
    first, again = (regression_scores(truth, prediction, seed=4)["mae"] for _ in range(2))
    other = regression_scores(truth, prediction, seed=5)["mae"]
    assert first.interval() == again.interval() != other.interval()
    assert len(first.draws) == DRAWS


def test_largest_is_chosen_anew_in_each_resample():
    a, b = Estimate(1.0, np.array([0.0, 3.0])), Estimate(2.0, np.array([2.0, 1.0]))
    assert largest([a, b]).value == 2.0
    assert list(largest([a, b]).draws) == [2.0, 3.0]
    assert list(smallest([a, b]).draws) == [0.0, 1.0]


def test_the_smallest_of_several_is_judged_by_each_of_them():
    """Nine shares that are the same: the least of them is no evidence that one is lower."""
    rng, held, apart = np.random.default_rng(0), [], []
    for trial in range(40):
        shares = [
            bootstrap(average, (rng.random(200) < 0.68).astype(float), seed=9 * trial + k)
            for k in range(9)
        ]
        low, high = smallest(shares).interval()
        held.append(low <= 0.68 <= high)
        apart.append(np.percentile(smallest(shares).draws, 97.5) < 0.68)
        assert largest([-share for share in shares]).interval() == (-high, -low)
    assert np.mean(held) > 0.85 and np.mean(apart) > 0.5  # the draws would exclude what is true
    one = smallest(shares[:1])
    assert one.interval() == shares[0].interval()
    worse = bootstrap(average, (rng.random(200) < 0.4).astype(float), seed=1)
    assert smallest([*shares, worse]).interval()[1] < 0.6


def test_a_resample_without_spread_does_not_spoil_the_interval():
    """Two stars: half of the resamples hold one of them twice, and R2 has no meaning there."""
    estimate = regression_scores(np.array([1.0, 2.0]), np.array([1.1, 1.9]), seed=0)["r2"]
    assert np.isnan(estimate.draws).any()
    assert np.isfinite(estimate.interval()).all()


def test_unusable_arrays_are_refused(stars):
    truth, prediction, _ = stars
    with pytest.raises(ValueError, match="not finite"):
        regression_scores(truth, np.where(truth > 4, np.nan, prediction), seed=0)
    with pytest.raises(ValueError, match="differ in length"):
        bootstrap(r2, truth, prediction[1:], seed=0)
    with pytest.raises(ValueError, match="different true values"):
        regression_scores(np.ones(9), prediction[:9], seed=0)


def test_error_over_the_bound_is_one_for_the_best_estimator_of_a_gaussian_prior():
    """Posterior means of Gaussian labels seen with Gaussian noise reach the bound on average."""
    rng = np.random.default_rng(4)
    truth = rng.normal(3, 1, 40_000)
    sigma = rng.choice([0.1, 1.0, 1e6], truth.shape)
    seen = truth + sigma * rng.standard_normal(truth.shape)
    best = (seen / sigma**2 + 3) / (1 / sigma**2 + 1)
    assert error_ratio(truth, best, sigma) == pytest.approx(1, abs=0.02)
    assert error_ratio(truth, 3 + 2 * (best - 3), sigma) > 1.2


def test_outliers_are_counted():
    truth = np.zeros(10)
    prediction = np.array([0.0, 0.4, -0.4, 0.6, -0.7, 0.1, 0.2, 0.5, 0.0, 2.0])
    assert outlier_rate(truth, prediction) == pytest.approx(0.3)
    weights = np.array([[1.0] * 10, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]])
    assert outlier_rate(truth, prediction, weights) == pytest.approx([0.3, 1.0])


def test_the_bias_of_a_map_sees_what_the_mean_does_not():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(2, 4000))
    cell = map_cells(x, y)
    assert np.bincount(cell, minlength=16).min() > 200
    truth, noise = rng.uniform(1, 5, 4000), rng.normal(0, 0.3, 4000)
    tilted = truth + noise + 0.4 * np.sign(x - 0.5)
    assert abs((tilted - truth).mean()) < 0.03
    assert map_bias(truth, tilted, cell) == pytest.approx(0.4, abs=0.02)
    assert map_bias(truth, tilted, cell, np.ones((2, 4000))) == pytest.approx([0.4, 0.4], abs=0.02)


def test_the_bias_of_a_map_is_free_of_the_scatter_of_few_stars():
    """As are its resamples: the square of a cell's mean would have .1 more, that of theirs .2."""
    rng = np.random.default_rng(1)
    cell, truth = np.repeat(np.arange(40), 10), np.zeros(400)
    errors = 0.5 + rng.normal(0, 1.0, (300, 400))
    told = [map_bias(truth, error, cell) ** 2 for error in errors]
    assert np.mean(told) == pytest.approx(0.25, abs=0.01)
    again = bootstrap(map_bias, truth, errors[0], cell, seed=3)
    assert np.mean(again.draws**2) == pytest.approx(again.value**2, abs=0.02)


def test_cells_without_bias_have_none():
    rng = np.random.default_rng(2)
    error, cell = rng.normal(0, 1.0, 400), np.repeat(np.arange(40), 10)
    found = bootstrap(map_bias, np.zeros(400), error, cell, seed=3)
    assert found.interval()[0] == 0
    assert found.value < 0.2 < np.sqrt(np.mean(error.reshape(40, 10).mean(axis=1) ** 2))
