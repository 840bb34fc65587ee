"""The normal distribution of spectra: what it is fitted to, and what it says under noise."""

import pytest
import torch

from stargrav.models.gaussian import SpectrumGaussian

PIXELS, AXES = 12, 3


@pytest.fixture(scope="module")
def spectra():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(PIXELS, AXES, generator=generator))[0].T
    hidden = torch.randn(4000, AXES, generator=generator) * torch.tensor([0.5, 0.2, 0.1])
    return 1 + hidden @ axes + 0.01 * torch.randn(4000, PIXELS, generator=generator)


@pytest.fixture(scope="module")
def fitted(spectra):
    prior = SpectrumGaussian(PIXELS, AXES).double()
    prior.fit(spectra.double())
    return prior


def covariance(prior):
    outside = torch.eye(PIXELS, dtype=torch.float64) - prior.axes.T @ prior.axes
    return prior.axes.T @ torch.diag(prior.variances) @ prior.axes + prior.rest * outside


def test_it_is_fitted_to_the_spectra(spectra, fitted):
    x = fitted.standardise(spectra.double())
    assert torch.allclose(fitted.flux(x), spectra.double())
    assert float(x.square().mean()) == pytest.approx(1)
    assert x.mean(0).abs().max() < 1e-6
    assert torch.allclose(torch.cov(x.T), covariance(fitted), atol=2e-3)
    assert float(covariance(fitted).trace()) == pytest.approx(PIXELS, rel=1e-3)


def test_its_draws_have_its_covariance(fitted):
    found = fitted.draw(20_000, torch.Generator().manual_seed(0))
    spread = covariance(fitted).diagonal()
    error = ((torch.outer(spread, spread) + covariance(fitted) ** 2) / 20_000).sqrt()
    assert ((torch.cov(found.T) - covariance(fitted)).abs() < 4.5 * error).all()
    assert (found.mean(0).abs() < 4.5 * (spread / 20_000).sqrt()).all()


@pytest.mark.parametrize("by_star", [False, True])
def test_mean_and_variance_under_noise_are_those_of_the_full_matrices(fitted, by_star):
    alpha, sigma = (torch.tensor(v, dtype=torch.float64) for v in (0.8, 0.6))
    x_t = torch.randn(5, PIXELS, generator=torch.Generator().manual_seed(1)).double()
    total = alpha**2 * covariance(fitted) + sigma**2 * torch.eye(PIXELS)
    gain = alpha * covariance(fitted) @ torch.linalg.inv(total)
    left = covariance(fitted) - alpha * gain @ covariance(fitted)
    shape = (5, 1) if by_star else ()
    mean, spread = fitted(x_t, alpha.expand(shape), sigma.expand(shape))
    assert spread.shape == shape
    assert torch.allclose(mean, x_t @ gain.T)
    assert torch.allclose(spread**2, left.diagonal().mean().expand(shape))
    assert torch.allclose(fitted.pixel_variance(alpha, sigma), left.diagonal())


def test_without_axes_all_directions_are_alike(spectra):
    prior = SpectrumGaussian(PIXELS)
    prior.fit(spectra)
    alpha, sigma = torch.tensor(0.8), torch.tensor(0.6)
    x_t = torch.randn(2, PIXELS)
    mean, spread = prior(x_t, alpha, sigma)
    assert torch.allclose(mean, 0.8 * x_t) and float(spread) == pytest.approx(0.6)


@pytest.mark.parametrize("axes", [PIXELS, 3, 0])
def test_what_is_known_of_a_measured_star_is_that_of_the_full_matrices(axes):
    """With all axes whatever the errors are, with fewer along those where errors are alike."""
    generator = torch.Generator().manual_seed(2)

    def some():
        return torch.randn(4, PIXELS, generator=generator, dtype=torch.float64)

    prior = SpectrumGaussian(PIXELS, axes).double()
    prior.axes.copy_(torch.linalg.qr(torch.cat([some(), some(), some()]))[0][:axes])
    prior.variances.copy_(torch.logspace(3, -3, axes))
    prior.rest.fill_(1e-3)
    uneven = some().abs() if axes == PIXELS else torch.zeros(4, PIXELS)
    x_t, y, error = some(), some(), 0.1 + uneven.double()
    alpha, sigma = torch.tensor(0.8).double(), torch.tensor([[0.6], [0.1], [2.0], [0.6]]).double()
    posterior, eye = prior.given(y, error), torch.eye(PIXELS, dtype=torch.float64)
    mean, spread = posterior(x_t, alpha, sigma)
    assert spread.shape == (4, 1)
    for star in range(4):
        inverse, noise = torch.linalg.inv(covariance(prior)), sigma[star] ** 2
        weight = error[star] ** -2
        left = torch.linalg.inv(inverse + weight.diag() + alpha**2 / noise * eye)
        exact = left @ (weight * y[star] + alpha / noise * x_t[star])
        assert torch.allclose(prior.axes @ mean[star], prior.axes @ exact)
        across = float(1 / (1 / prior.rest + alpha**2 / noise))
        along = float((prior.axes @ left @ prior.axes.T).trace())
        expected = (along + (PIXELS - axes) * across) / PIXELS
        assert float(spread[star] ** 2) == pytest.approx(expected)
        alone = torch.linalg.inv(inverse + weight.diag()) @ (weight * y[star])
        assert torch.allclose(prior.axes @ posterior.mean[star], prior.axes @ alone)


def test_a_measurement_without_weight_says_nothing(fitted):
    generator = torch.Generator().manual_seed(3)
    x_t, y = torch.randn(2, 5, PIXELS, generator=generator, dtype=torch.float64)
    alpha, sigma = torch.full((5, 1), 0.8).double(), torch.full((5, 1), 0.6).double()
    found = fitted.given(y, torch.full_like(y, 1e6))(x_t, alpha, sigma)
    for value, expected in zip(found, fitted(x_t, alpha, sigma), strict=True):
        assert torch.allclose(value, expected)
