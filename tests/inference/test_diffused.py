"""Draws of a diffusion model come in flux, star by star, whatever the batches."""

import numpy as np
import pytest
import torch
from torch import nn

from stargrav.diffusion.guidance import MomentMatching
from stargrav.diffusion.sample import SAMPLERS
from stargrav.inference import diffused
from stargrav.models.gaussian import SpectrumGaussian
from stargrav.models.unet1d import UNet1d

PIXELS, STARS = 64, diffused.BATCH + 6


class Believing(nn.Module):
    """Takes the noisy spectrum to be the clean one."""

    prediction, config = "x", {"pixels": PIXELS}

    def __init__(self, prior):
        super().__init__()
        self.prior = prior

    def forward(self, x_t, log_snr, condition):
        return condition[:, 0]


@pytest.fixture(scope="module")
def prior():
    """Of spectra along two axes, not standardised."""
    rng = np.random.default_rng(0)
    axes = np.sin(np.outer([1, 2], np.arange(PIXELS)) * np.pi / PIXELS)
    flux = 1 + 0.3 * rng.standard_normal((300, 2)) @ axes
    found = SpectrumGaussian(PIXELS, 2)
    found.fit(torch.tensor(flux + 0.01 * rng.standard_normal(flux.shape), dtype=torch.float32))
    return found


@pytest.fixture(scope="module")
def untrained(prior):
    """A network that has nothing to add to the normal distribution."""
    network = UNet1d(PIXELS, "residual", 2, (8, 16), stride=4, heads=2)
    network.prior.load_state_dict(prior.state_dict())
    return network


def test_samples_of_an_untrained_network_follow_the_normal_distribution(untrained):
    found = diffused.drawn(untrained, 400, 0, steps=30)
    expected = diffused.gaussian(untrained, 4000, 1)
    assert found.mean(0) == pytest.approx(expected.mean(0), abs=0.08)
    assert found.var(0)[8:-8] == pytest.approx(expected.var(0)[8:-8], rel=0.3)


def test_samples_belong_to_their_seed(untrained):
    first, again, other = (diffused.drawn(untrained, 5, seed, steps=3) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_each_star_is_told_its_own_spectrum(prior):
    rng = np.random.default_rng(1)
    noisy = rng.normal(1, 0.2, (STARS, PIXELS)).astype(np.float32)
    error = np.full_like(noisy, 0.1)
    network = Believing(prior)
    draws = diffused.posterior_draws(network, ("noisy",), noisy, error, 2, 0, steps=3)
    assert draws == pytest.approx(np.stack([noisy, noisy], axis=1), abs=1e-5)
    once = diffused.at_once(network, ("noisy",), noisy, error, 0)
    assert once == pytest.approx(noisy, abs=1e-5)


def test_guided_draws_are_of_the_posterior(untrained):
    """Of a normal distribution it is known; each star has its own spectrum and its own errors."""
    prior, rng = untrained.prior, np.random.default_rng(2)
    truth = diffused.gaussian(untrained, STARS, 3)
    error = (rng.uniform(0.05, 0.4, (STARS, 1)) * np.ones(PIXELS)).astype(np.float32)
    noisy = (truth + error * rng.standard_normal(error.shape)).astype(np.float32)

    def guide(denoiser, y, sigma):
        return MomentMatching(denoiser, y, sigma, 4, prior), SAMPLERS["dpm_solver"]

    found = diffused.guided_draws(untrained, guide, noisy, error, 20, 0, steps=40).mean(axis=1)
    shares = prior.axes.T * (prior.variances - prior.rest) @ prior.axes
    covariance = float(prior.scale) ** 2 * (shares + prior.rest * torch.eye(PIXELS)).numpy()
    centre = prior.centre.numpy()
    gains = [covariance @ np.linalg.inv(covariance + np.diag(each**2)) for each in error]
    exact = centre + np.einsum("nij,nj->ni", gains, noisy - centre)
    left = np.stack([np.sqrt(np.diag(covariance - gain @ covariance)) for gain in gains])
    off = (found - exact) / (left / np.sqrt(20))
    assert np.sqrt(np.square(off).mean()) == pytest.approx(1, abs=0.25)


def test_an_untrained_network_draws_from_the_normal_posterior(prior):
    """Its residual is measured from there, and is nothing."""
    network = UNet1d(PIXELS, "posterior_residual", 2, (8, 16), stride=4, heads=2, condition=1)
    network.prior.load_state_dict(prior.state_dict())
    rng = np.random.default_rng(4)
    truth = diffused.gaussian(network, STARS, 3)
    error = (rng.uniform(0.05, 0.4, (STARS, 1)) * np.ones(PIXELS)).astype(np.float32)
    noisy = (truth + error * rng.standard_normal(error.shape)).astype(np.float32)
    exact = diffused.gaussian_mean(network, noisy, error)
    assert diffused.at_once(network, (), noisy, error, 0) == pytest.approx(exact, abs=0.01)
    draws = diffused.posterior_draws(network, (), noisy, error, 20, 0, steps=20)
    y, sigma = (torch.tensor(values) for values in (noisy, error))
    none = torch.zeros(STARS, PIXELS), torch.tensor(0.0), torch.tensor(1.0)
    _, spread = prior.given(prior.standardise(y), sigma / prior.scale)(*none)
    left = float(prior.scale * spread.square().mean().sqrt())
    assert (draws - exact[:, None]).std() == pytest.approx(left, rel=0.1)
    assert (truth - exact).std() == pytest.approx(left, rel=0.2)


def test_stars_far_from_the_mean_are_not_drawn_towards_it(prior):
    """Along an axis as long as the first of spectra, what is left at t = 1 is not little."""
    network = UNet1d(PIXELS, "posterior_residual", 2, (8, 16), stride=4, heads=2, condition=1)
    network.prior.load_state_dict(prior.state_dict())
    network.prior.variances.copy_(torch.tensor([2900.0, 30.0]))
    axes, rng = network.prior.axes, np.random.default_rng(5)
    clean = network.prior.flux(1.5 * 2900**0.5 * axes[:1]).numpy()
    error = np.full((STARS, PIXELS), 5 * float(network.prior.scale), dtype=np.float32)
    noisy = (clean + error * rng.standard_normal(error.shape)).astype(np.float32)
    draws = diffused.posterior_draws(network, (), noisy, error, 20, 0, steps=25)
    off = (draws - diffused.gaussian_mean(network, noisy, error)[:, None]) @ axes[0].numpy()
    assert abs(off.mean()) < 0.1 * off.std()
    deviation = (1 / (1 / 25 + 1 / 2900)) ** 0.5 * float(network.prior.scale)
    assert off.std() == pytest.approx(deviation, rel=0.05)


def test_draws_of_a_star_differ(untrained):
    noisy = np.ones((3, PIXELS), dtype=np.float32)
    draws = diffused.posterior_draws(untrained, (), noisy, noisy, 2, 0, steps=3)
    flat = draws.reshape(6, PIXELS)
    apart = np.abs(flat[:, None] - flat[None]).max(-1)
    assert apart[~np.eye(6, dtype=bool)].min() > 0.01
