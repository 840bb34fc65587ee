"""Guided samples against the posterior of a Gaussian, whose noise differs from pixel to pixel.

Tolerances as in `test_sample`: 4.5 standard errors of 4000 samples. DPS has a bias of its own,
which is told and not asked to be absent.
"""

import pytest
import torch
from gaussian_toy import COVARIANCE, MEAN, GaussianDenoiser, deviations

from stargrav.diffusion.guidance import GaussianProduct, MomentMatching, dps
from stargrav.diffusion.sample import SAMPLERS, Sampler, leap, sample, scales

N, ERRORS = 4000, 4.5
ERROR = torch.tensor([0.2, 0.5, 1.0, 5.0], dtype=torch.float64)
MEASURED = torch.tensor([1.5, -1.5, 0.8, 2.0], dtype=torch.float64)
DIAGONAL = torch.diag(torch.tensor([3.0, 1.0, 0.3, 0.03], dtype=torch.float64))


def posterior(covariance):
    """Mean and covariance of x given y, by the full matrices."""
    gain = covariance @ torch.linalg.inv(covariance + torch.diag(ERROR**2))
    return MEAN + gain @ (MEASURED - MEAN), covariance - gain @ covariance


def pixel_variance(covariance):
    spread = covariance.diagonal()
    return lambda alpha, sigma: spread * sigma**2 / (alpha**2 * spread + sigma**2)


def guided(name, covariance, guidance):
    denoiser = guidance(GaussianDenoiser(covariance=covariance))
    generator = torch.Generator().manual_seed(3)
    return sample(denoiser, (N, 4), SAMPLERS[name], generator).double()


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_product_is_exact_for_independent_pixels(name):
    found = guided(
        name,
        DIAGONAL,
        lambda exact: GaussianProduct(exact, MEASURED, ERROR, pixel_variance(DIAGONAL)),
    )
    assert max(deviations(found, *posterior(DIAGONAL))) < ERRORS


@pytest.mark.parametrize("name", SAMPLERS)
def test_moment_matching_is_exact_for_any_normal_prior(name):
    found = guided(name, COVARIANCE, lambda exact: MomentMatching(exact, MEASURED, ERROR, 4))
    assert max(deviations(found, *posterior(COVARIANCE))) < ERRORS


@pytest.mark.parametrize("name", ["ancestral", "dpm_solver"])
def test_matching_with_a_normal_prior_asks_for_no_derivative(name):
    """Exact with a denoiser that has none to give."""

    class Plain(GaussianDenoiser):
        def __call__(self, x_t, t):
            return super().__call__(x_t, t).detach()

    def prior(x_t, alpha, sigma):
        total = alpha**2 * COVARIANCE + sigma**2 * torch.eye(4).double()
        return alpha * x_t @ torch.linalg.solve(total, COVARIANCE), None

    generator = torch.Generator().manual_seed(3)
    denoiser = MomentMatching(Plain(), MEASURED, ERROR, 4, prior)
    found = sample(denoiser, (N, 4), SAMPLERS[name], generator).double()
    assert max(deviations(found, *posterior(COVARIANCE))) < ERRORS


def test_the_product_of_pixels_misses_what_they_have_in_common():
    """So that the test above is one: here the pixels are not independent."""
    found = guided(
        "dpm_solver",
        COVARIANCE,
        lambda exact: GaussianProduct(exact, MEASURED, ERROR, pixel_variance(COVARIANCE)),
    )
    assert max(deviations(found, *posterior(COVARIANCE))) > 3 * ERRORS


@pytest.mark.parametrize("strength", [0.05, 1.0])
def test_a_step_of_dps_is_that_of_the_paper(strength):
    """Algorithm 1 of Chung et al. (2023) with the denoiser's derivative written out."""
    exact, times = GaussianDenoiser(), torch.tensor([0.6, 0.55], dtype=torch.float64)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seeded = (torch.Generator().manual_seed(1) for _ in range(2))
    found = dps(MEASURED, ERROR, strength)(exact, x, times, next(seeded))
    mean, (now, then) = exact(x, times[0]), scales(exact.schedule, times)
    off = (MEASURED - mean) / ERROR
    gradient = -(off / ERROR / off.norm(dim=1, keepdim=True)) @ exact.gain(times[0])[2].T
    expected = leap(x, mean, now, then, generator=next(seeded)) - strength * gradient
    assert torch.allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(("strength", "bias", "widest"), [(0.01, 0.8, 1.2), (0.05, 2.8, 0.4)])
def test_dps_moves_towards_the_data_and_is_biased(strength, bias, widest):
    """It is no posterior: how far it is off one, in posterior deviations and variances."""
    generator = torch.Generator().manual_seed(3)
    sampler = Sampler(dps(MEASURED, ERROR, strength=strength), "even", 1000)
    found = sample(GaussianDenoiser(), (N, 4), sampler, generator).double()
    mean, covariance = posterior(COVARIANCE)

    def missed(x):
        return float(((x - MEASURED) / ERROR).square().sum())

    assert missed(found.mean(0)) < missed(MEAN)
    off = (found.mean(0) - mean).abs() / covariance.diagonal().sqrt()
    assert 0.1 < off.max() < bias
    assert (found.var(0) / covariance.diagonal()).max() < widest
    assert max(deviations(found, mean, covariance)) > 3 * ERRORS


def test_a_pixel_without_information_leaves_the_prior_alone():
    """Errors of 1e4: the unconditional samples come back."""
    error = torch.full((4,), 1e4, dtype=torch.float64)
    free = guided("dpm_solver", COVARIANCE, lambda exact: exact)
    for found in (
        guided("dpm_solver", COVARIANCE, lambda exact: MomentMatching(exact, MEASURED, error)),
        guided(
            "dpm_solver",
            COVARIANCE,
            lambda exact: GaussianProduct(exact, MEASURED, error, pixel_variance(COVARIANCE)),
        ),
    ):
        assert torch.allclose(found, free, atol=1e-4)
