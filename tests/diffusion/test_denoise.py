"""x, epsilon and v: one conversion, and networks that predict either sample the same."""

import itertools

import pytest
import torch
from gaussian_toy import MEAN, GaussianDenoiser, draws

from stargrav.diffusion.denoise import (
    PREDICTIONS,
    NetworkDenoiser,
    from_clean,
    noised,
    prediction_loss,
    to_clean,
)
from stargrav.diffusion.sample import SAMPLERS
from stargrav.diffusion.schedule import Cosine, LinearBeta


def some(n=50):
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.rand(n, generator=generator, dtype=torch.float64).clamp(min=1e-3)
    x_t, alpha, sigma = noised(x, t, LinearBeta(), noise)
    values = {"x": x, "epsilon": noise, "v": alpha * noise - sigma * x}
    return values, x_t, alpha, sigma


@pytest.mark.parametrize(("of", "to"), list(itertools.product(PREDICTIONS, repeat=2)))
def test_any_prediction_becomes_any_other(of, to):
    values, x_t, alpha, sigma = some()
    x = to_clean(values[of], of, x_t, alpha, sigma)
    found = from_clean(x, to, x_t, alpha, sigma)
    assert torch.allclose(found, values[to], atol=1e-9)


class Ideal:
    """A network that predicts the mean of x, epsilon or v, by what they are."""

    def __init__(self, prediction, schedule):
        self.prediction, self.schedule = prediction, schedule
        self.exact = GaussianDenoiser(schedule=schedule)
        t = torch.linspace(1, 1e-4, 5000, dtype=torch.float64)
        self.t, self.log_snr = t, schedule.log_snr(t)

    def __call__(self, x_t, log_snr, condition):
        assert log_snr.shape == x_t.shape[:1] and condition is None
        t = self.t[(self.log_snr - log_snr[0]).abs().argmin()]
        alpha, sigma, _ = self.exact.gain(t)
        x = self.exact(x_t, t)
        epsilon = (x_t - alpha * x) / sigma
        return {"x": x, "epsilon": epsilon, "v": alpha * epsilon - sigma * x}[self.prediction]


@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()], ids=["linear", "cosine"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_samples_of_a_network_that_predicts_are_those_of_the_exact_denoiser(prediction, schedule):
    network = NetworkDenoiser(Ideal(prediction, schedule), schedule, prediction)
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

    def loss(network):
        return float(prediction_loss(network, x, t, noise, schedule, prediction))

    least = loss(ideal)
    for factor, shift in ((0.9, 0), (1.1, 0), (1, 0.2), (1, -0.2), (-1, 0)):

        def other(*a, factor=factor, shift=shift):
            return factor * ideal(*a) + shift

        assert loss(other) > least
    if prediction != "x":
        assert least < 1
