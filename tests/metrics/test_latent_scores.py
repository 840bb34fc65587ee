"""Cosine and errors of latents: what they ignore, and what the mean latent reaches."""

import numpy as np
import pytest

from stargrav.metrics.latents import cosine, dimension_errors, latent_scores


@pytest.fixture
def latents():
    """Latents far from zero, of very different scales."""
    rng = np.random.default_rng(0)
    scale = np.array([0.01, 1.0, 30.0])
    z = 5 * scale + scale * rng.standard_normal((400, 3))
    return z, z.mean(0), z.std(0)


def test_cosine_of_known_angles():
    truth = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 2.0], [1.0, 1.0]])
    told = np.array([[0.0, 3.0], [-2.0, 0.0], [5.0, 0.0], [0.0, 0.0]])
    assert np.allclose(cosine(truth, told), [0, -1, np.sqrt(0.5), 0])


def test_a_perfect_latent(latents):
    z, mean, deviation = latents
    found = latent_scores(z, z, mean, deviation, seed=1)
    assert found["cosine"].value == pytest.approx(1)
    assert found["cosine_standardised"].value == pytest.approx(1)
    assert found["mse"].value == found["mse_standardised"].value == 0


def test_the_mean_latent_has_a_high_cosine_and_knows_nothing(latents):
    z, mean, deviation = latents
    found = latent_scores(z, np.broadcast_to(mean, z.shape), mean, deviation, seed=1)
    assert found["cosine"].value > 0.9
    assert found["cosine_standardised"].value == 0
    assert found["mse_standardised"].value == pytest.approx(1)


def test_standardised_scores_do_not_depend_on_units(latents):
    z, mean, deviation = latents
    told = z + deviation * np.random.default_rng(1).standard_normal(z.shape)
    unit, zero = np.array([100.0, 0.1, 3.0]), np.array([-4.0, 9.0, 0.0])
    before = latent_scores(z, told, mean, deviation, seed=1)
    after = latent_scores(
        zero + unit * z, zero + unit * told, zero + unit * mean, unit * deviation, seed=1
    )
    for name in ("cosine_standardised", "mse_standardised"):
        assert after[name].value == pytest.approx(before[name].value)
        assert after[name].interval() == pytest.approx(before[name].interval())
    assert after["mse"].value != pytest.approx(before["mse"].value, rel=0.1)


def test_errors_of_the_numbers_average_to_that_of_the_latent(latents):
    z, mean, deviation = latents
    told = z + deviation * [0.1, 0.5, 2.0] * np.random.default_rng(1).choice([-1, 1], z.shape)
    errors = dimension_errors(z, told, deviation)
    assert np.allclose(errors, [0.01, 0.25, 4.0])
    found = latent_scores(z, told, mean, deviation, seed=1)["mse_standardised"]
    assert found.value == pytest.approx(errors.mean())


def test_the_interval_is_that_of_the_choice_of_stars(latents):
    """Half of the stars met, half not: the mean of 400 such has a deviation of 1/40."""
    z, mean, deviation = latents
    told = np.where(np.arange(len(z))[:, None] % 2, z, z + deviation)
    low, high = latent_scores(z, told, mean, deviation, seed=1)["mse_standardised"].interval()
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.01)
    assert high - low == pytest.approx(2 * 1.96 / 40, rel=0.1)
