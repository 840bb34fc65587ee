"""Fisher information: against least squares, matrix inverses and known limits."""

import numpy as np
import pytest

from stargrav.metrics.fisher import (
    fisher_matrix,
    local_jacobian,
    marginal_variance,
    quantile,
    r2_max,
)


@pytest.fixture
def stars():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4, 50)), rng.uniform(0.5, 2.0, size=(6, 50))


def test_bound_is_the_diagonal_of_the_inverse(stars):
    matrix = fisher_matrix(*stars)
    inverse = np.linalg.inv(matrix)
    for label in range(4):
        bound = marginal_variance(matrix, label, range(4))
        assert bound == pytest.approx(inverse[:, label, label])


def test_labels_that_are_known_leave_the_matrix(stars):
    matrix = fisher_matrix(*stars)
    inverse = np.linalg.inv(matrix[:, [0, 2]][:, :, [0, 2]])
    assert marginal_variance(matrix, 2, [0, 2]) == pytest.approx(inverse[:, 1, 1])
    alone = marginal_variance(matrix, 2, [2])
    some, every = (marginal_variance(matrix, 2, known) for known in ([0, 2], range(4)))
    assert (alone < some).all() and (some < every).all()


def test_units_of_the_labels_do_not_matter(stars):
    """T_eff in K beside labels in dex: derivatives differ by a factor of thousands."""
    jacobian, sigma = stars
    scale = np.array([1e-4, 1.0, 1e3, 1.0])
    plain = marginal_variance(fisher_matrix(jacobian, sigma), 2, range(4))
    scaled = fisher_matrix(jacobian * scale[:, None], sigma)
    assert marginal_variance(scaled, 2, range(4)) == pytest.approx(plain / 1e6)


def test_least_squares_reaches_the_bound_of_a_linear_model(stars):
    jacobian, sigma = stars[0][0], stars[1][0]
    rng = np.random.default_rng(1)
    noisy = sigma * rng.normal(size=(20_000, 50))
    found = np.linalg.lstsq((jacobian / sigma).T, (noisy / sigma).T, rcond=None)[0]
    bound = marginal_variance(fisher_matrix(jacobian[None], sigma[None]), 1, range(4))[0]
    assert found[1].var() == pytest.approx(bound, rel=0.05)  # 5 standard errors


def test_a_label_like_another_cannot_be_told():
    rng = np.random.default_rng(2)
    jacobian = rng.normal(size=(1, 3, 40))
    jacobian[0, 2] = 2 * jacobian[0, 0] - jacobian[0, 1]
    matrix = fisher_matrix(jacobian, np.ones((1, 40)))
    assert np.isinf(marginal_variance(matrix, 0, range(3))[0])
    assert np.isfinite(marginal_variance(matrix, 0, [0, 1])[0])


def test_a_label_without_effect_harms_no_other(stars):
    jacobian, sigma = stars[0].copy(), stars[1]
    jacobian[:, 3] = 0
    matrix = fisher_matrix(jacobian, sigma)
    assert np.isinf(marginal_variance(matrix, 3, range(4))).all()
    without = marginal_variance(matrix, 0, range(3))
    assert marginal_variance(matrix, 0, range(4)) == pytest.approx(without)


def test_bound_grows_with_the_square_of_the_noise(stars):
    jacobian, sigma = stars
    once, thrice = (
        marginal_variance(fisher_matrix(jacobian, k * sigma), 0, range(4)) for k in (1, 3)
    )
    assert thrice == pytest.approx(9 * once)


def test_r2_max_lies_between_nothing_and_all():
    found = r2_max(np.array([0.0, 0.4, 4 / 3, 50.0, np.inf]), 4 / 3)
    assert found == pytest.approx([1.0, 0.7, 0.0, 0.0, 0.0])


def test_neighbours_give_the_derivative_of_a_linear_flux():
    rng = np.random.default_rng(3)
    slope = rng.normal(size=(3, 30))
    labels = rng.uniform(size=(40, 3)) * [1000, 1, 1]
    labels[:, 2] = 0.5  # held fixed in the data set
    at = np.array([400.0, 0.3, 0.5])
    flux, found = local_jacobian(labels, 1 + labels @ slope, at, np.array([1000.0, 1.0, 0.0]))
    assert found[:2] == pytest.approx(slope[:2])
    assert (found[2] == 0).all()
    assert flux == pytest.approx(1 + at @ slope)


def test_neighbours_approach_the_derivative_of_a_curved_flux():
    rng = np.random.default_rng(4)
    errors = []
    for reach in (0.4, 0.1):
        labels = rng.uniform(-reach, reach, size=(200, 2))
        flux = np.sin(3 * labels[:, :1] + np.linspace(0, 3, 20)) + labels[:, 1:] ** 2
        slope = local_jacobian(labels, flux, np.zeros(2), np.ones(2))[1]
        errors.append(np.abs(slope[0] - 3 * np.cos(np.linspace(0, 3, 20))).max())
    assert errors[1] < 0.1 and errors[1] < errors[0] / 4


def test_quantile_of_resamples_is_that_of_repeated_stars():
    rng = np.random.default_rng(5)
    values = rng.normal(size=200)
    counts = rng.integers(0, 4, size=(3, 200)).astype(float)
    for share in (0.25, 0.5, 0.75):
        found = quantile(share)(values, counts)
        repeated = [np.quantile(np.repeat(values, row.astype(int)), share) for row in counts]
        assert found == pytest.approx(repeated, abs=0.05)
        assert quantile(share)(values) == pytest.approx(np.quantile(values, share), abs=0.02)
