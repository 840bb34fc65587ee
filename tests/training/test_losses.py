"""Likelihoods are lowest at the truth."""

import pytest
import torch
from torch.distributions import Laplace, Normal

from stargrav.models.blindspot import Prediction
from stargrav.training.losses import LOSSES, gaussian_nll, laplace_nll

N = 200_000


def draws(distribution) -> torch.Tensor:
    torch.manual_seed(0)
    return distribution.sample((N,))


@pytest.mark.parametrize(
    "nll, family", [(laplace_nll, Laplace), (gaussian_nll, Normal)], ids=["laplace", "gaussian"]
)
def test_lowest_at_true_mean_and_deviation(nll, family):
    deviation = 0.7
    scale = deviation / 2**0.5 if family is Laplace else deviation
    truth = family(torch.tensor(1.5), torch.tensor(scale))
    values = draws(truth)
    best = nll(values, torch.tensor(1.5), torch.tensor(deviation))
    assert best == pytest.approx(float(truth.entropy()), abs=0.01)
    for mean, width in ((1.4, 0.7), (1.6, 0.7), (1.5, 0.63), (1.5, 0.77)):
        assert nll(values, torch.tensor(mean), torch.tensor(width)) > best


@pytest.mark.parametrize("name", LOSSES)
def test_denoiser_losses_choose_the_true_spread(name):
    """Each loss, lowest over s, finds the spread of data that scatter as it supposes."""
    true_spread, sigma = 0.3, 0.5
    if name == "T1":  # a measurement worth nothing: the product is the prediction
        sigma = 1e3
        clean = draws(Laplace(1.0, true_spread / 2**0.5))
        noisy = torch.ones(N)
    else:
        total = (true_spread**2 + sigma**2) ** 0.5
        clean = torch.zeros(N)
        noisy = draws(Laplace(1.0, total / 2**0.5) if name == "E1" else Normal(1.0, total))
    spreads = torch.linspace(0.1, 0.6, 26)
    losses = [
        LOSSES[name](
            Prediction(torch.ones(N), torch.full((N,), s)), clean, noisy, torch.full((N,), sigma)
        )
        for s in spreads.tolist()
    ]
    found = float(spreads[int(torch.stack(losses).argmin())])
    assert found == pytest.approx(true_spread, abs=0.021)


@pytest.mark.parametrize("name", ["E1", "E2"])
def test_self_supervised_losses_do_not_look_at_the_clean_spectrum(name):
    prediction = Prediction(torch.ones(5), torch.ones(5))
    noisy, sigma = torch.randn(5), torch.rand(5)
    a, b = (LOSSES[name](prediction, clean, noisy, sigma) for clean in torch.randn(2, 5))
    assert torch.equal(a, b)


@pytest.mark.parametrize("name", LOSSES)
def test_no_noise_and_certain_predictions_stay_finite(name):
    for spread, sigma in ((1e-4, 0.0), (1e-4, 1e3), (10.0, 0.0)):
        mean = torch.ones(4, requires_grad=True)
        clean = torch.full((4,), 1.5)
        prediction = Prediction(mean, torch.full((4,), spread))
        loss = LOSSES[name](prediction, clean, clean, torch.full((4,), sigma))
        loss.backward()
        assert loss.isfinite() and mean.grad.isfinite().all()
