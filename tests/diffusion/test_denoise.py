"""x, epsilon and v: one conversion, and networks that predict either sample the same."""

import itertools
from unittest.mock import Mock

import pytest
import torch
from gaussian_toy import MEAN, GaussianDenoiser, draws

from stargrav.diffusion.denoise import (
    PREDICTIONS,
    RESIDUALS,
    NetworkDenoiser,
    from_clean,
    prediction_loss,
    to_clean,
)
from stargrav.diffusion.sample import SAMPLERS
from stargrav.diffusion.schedule import Cosine, LinearBeta
from stargrav.models.gaussian import SpectrumGaussian

PRIOR = SpectrumGaussian(4, 2).double()
PRIOR.variances.copy_(torch.tensor([2.0, 0.5]))
PRIOR.rest.fill_(0.1)
Y = torch.tensor([[0.5, -1.0, 0.3, 0.2]], dtype=torch.float64)
POSTERIOR = PRIOR.given(Y, torch.full_like(Y, 0.4))
START = dict.fromkeys(PREDICTIONS, PRIOR) | {"posterior_residual": POSTERIOR}


def some(n=50):
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.rand(n, generator=generator, dtype=torch.float64).clamp(min=1e-3)
    alpha, sigma = (scale[:, None] for scale in LinearBeta()(t))
    x_t = alpha * x + sigma * noise
    values = {"x": x, "epsilon": noise, "v": alpha * noise - sigma * x}
    for name in RESIDUALS:
        mean, spread = START[name](x_t, alpha, sigma)
        values[name] = (x - mean) / spread
    return values, x_t, alpha, sigma


@pytest.mark.parametrize(("of", "to"), list(itertools.product(PREDICTIONS, repeat=2)))
def test_any_prediction_becomes_any_other(of, to):
    values, x_t, alpha, sigma = some()
    x = to_clean(values[of], of, x_t, alpha, sigma, START[of])
    found = from_clean(x, to, x_t, alpha, sigma, START[to])
    assert torch.allclose(found, values[to], atol=1e-9)


class Ideal:
    """A network that predicts the mean of x, epsilon or v, by what they are."""

    def __init__(self, prediction, schedule):
        self.prediction, self.prior = prediction, PRIOR
        self.exact = GaussianDenoiser(schedule=schedule)
        t = torch.linspace(1, 1e-4, 5000, dtype=torch.float64)
        self.t, self.log_snr = t, schedule.log_snr(t)

    def __call__(self, x_t, log_snr, condition):
        assert log_snr.shape == x_t.shape[:1]
        assert (condition is None) == (self.prediction != "posterior_residual")
        t = self.t[(self.log_snr - log_snr[0]).abs().argmin()]
        alpha, sigma, _ = self.exact.gain(t)
        x = self.exact(x_t, t)
        epsilon = (x_t - alpha * x) / sigma
        if self.prediction in RESIDUALS:
            mean, spread = START[self.prediction](x_t, alpha, sigma)
            return (x - mean) / spread
        return {"x": x, "epsilon": epsilon, "v": alpha * epsilon - sigma * x}[self.prediction]


@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()], ids=["linear", "cosine"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_samples_of_a_network_that_predicts_are_those_of_the_exact_denoiser(prediction, schedule):
    network = NetworkDenoiser(Ideal(prediction, schedule), schedule, posterior=POSTERIOR)
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sampler = SAMPLERS["dpm_solver"]
    times = sampler.times(schedule)
    found = sampler.run(network, x, times, None)
    expected = sampler.run(GaussianDenoiser(schedule=schedule), x, times, None)
    assert (found - expected).abs().max() < 0.02  # times are looked up in a table
    assert (found - MEAN).abs().max() > 1  # and they are no mean spectrum


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_loss_is_least_for_the_exact_mean(prediction):
    schedule, x = LinearBeta(), draws(400)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    t = torch.full((400,), 0.4, dtype=torch.float64)
    ideal = Ideal(prediction, schedule)

    def loss(factor=1.0, shift=0.0):
        network = Mock(side_effect=lambda *given: factor * ideal(*given) + shift)
        network.prediction, network.prior = prediction, PRIOR
        return float(prediction_loss(network, x, t, noise, schedule, posterior=POSTERIOR))

    for factor, shift in ((0.9, 0), (1.1, 0), (1, 0.2), (1, -0.2), (-1, 0)):
        assert loss(factor, shift) > loss()
    if prediction in ("epsilon", "v"):
        assert loss() < 1


def test_the_residual_from_one_variance_in_all_directions_is_minus_v():
    values, x_t, alpha, sigma = some()
    found = from_clean(values["x"], "residual", x_t, alpha, sigma, SpectrumGaussian(4).double())
    assert torch.allclose(found, -values["v"], atol=1e-9)


def test_a_posterior_residual_is_not_measured_from_the_prior():
    with pytest.raises(ValueError, match="needs a posterior"):
        NetworkDenoiser(Ideal("posterior_residual", LinearBeta()), LinearBeta())


def test_a_network_is_told_the_mean_that_its_posterior_residual_is_measured_from():
    network = Mock(side_effect=lambda x_t, *_: torch.zeros_like(x_t))
    network.prediction, network.prior = "posterior_residual", PRIOR
    _, x_t, _, _ = some()
    told, t = torch.zeros(50, 2, 4, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    found = NetworkDenoiser(network, LinearBeta(), told, POSTERIOR)(x_t, t)
    condition = network.call_args.args[2]
    assert condition.shape == (50, 3, 4) and torch.equal(condition[:, 2], found)
    assert torch.allclose(found, POSTERIOR(x_t, *LinearBeta()(t))[0])


@pytest.mark.parametrize("prediction", RESIDUALS)
def test_half_precision_is_for_the_network_alone(prediction):
    prior = SpectrumGaussian(4, 2)
    prior.variances.copy_(torch.tensor([1000.0, 0.01]))
    prior.rest.fill_(1e-4)
    x, noise = torch.tensor([[30.0, 0.1, 0.01, 0.0]]), torch.tensor([[0.3, 0.1, -1.0, 0.5]])
    network = Mock(side_effect=lambda x_t, *_: torch.zeros_like(x_t))
    network.prediction, network.prior = prediction, prior
    known = prior.given(x + 0.1, torch.ones_like(x))
    told = (network, x, torch.tensor([0.01]), noise, LinearBeta(), None, known)
    expected = prediction_loss(*told)
    with torch.autocast("cpu", torch.bfloat16):
        assert float(prediction_loss(*told)) == pytest.approx(float(expected), rel=1e-3)
