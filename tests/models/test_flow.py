"""The flow finds a posterior that is known in closed form, and says what it draws."""

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm

from stargrav.metrics.calibration import draw_ranks, uniformity
from stargrav.models.flow import PosteriorFlow
from stargrav.training.batches import TensorBatches
from stargrav.training.flow import train_flow
from stargrav.training.plan import Plan

PIXELS = 8
SIZES = {"components": 2, "transforms": 2, "widths": (32,), "bins": 6}


def stars(count, seed):
    """Two labels in 0..4, each a slope of the flux of its own: one well measured, one hardly."""
    rng = np.random.default_rng(seed)
    labels = rng.uniform(0, 4, (count, 2))
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((PIXELS, 2)))[0].T
    clean = labels * [4.0, 0.5] @ axes
    noisy = clean + rng.standard_normal(clean.shape)
    arrays = {"noisy": noisy, "error": np.ones_like(noisy), "labels": labels}
    return {name: torch.tensor(x, dtype=torch.float32) for name, x in arrays.items()}, axes


@pytest.fixture(scope="module")
def flow():
    plan = Plan(epochs=12, schedule="cosine", accelerator="cpu")
    seen, checked = stars(6000, 1)[0], stars(500, 2)[0]
    batches = TensorBatches(seen, 128, torch.Generator()), TensorBatches(checked, 500)
    return train_flow(*batches, seen, SIZES, plan, (0, 1), learning_rate=5e-3)


def test_posterior_is_the_one_in_closed_form(flow):
    seen, axes = stars(300, 3)
    told = flow[0].told(seen["noisy"], seen["error"])
    draws = flow[0].draw(told, 400, torch.Generator().manual_seed(0)).numpy()
    for column, slope in enumerate((4.0, 0.5)):
        at, sd = seen["noisy"].numpy() @ axes[column] / slope, 1 / slope
        true = truncnorm((0 - at) / sd, (4 - at) / sd, loc=at, scale=sd)
        assert np.abs(draws[:, :, column].mean(1) - true.mean()).mean() < 0.25 * sd
        assert draws[:, :, column].std(1).mean() == pytest.approx(true.std().mean(), rel=0.1)


def test_true_labels_are_like_draws(flow):
    seen, _ = stars(1500, 4)
    told = flow[0].told(seen["noisy"], seen["error"])
    draws = flow[0].draw(told, 99, torch.Generator().manual_seed(1)).numpy()
    ranks = draw_ranks(seen["labels"].numpy(), draws)
    assert all(min(uniformity(ranks[:, i]).values()) > 1e-3 for i in (0, 1))
    shifted = draw_ranks(seen["labels"].numpy() + 0.2, draws)
    assert min(uniformity(shifted[:, 0]).values()) < 1e-6


def test_density_belongs_to_the_draws(flow):
    """Where more is drawn the density is larger: its integral over the box is 1."""
    seen, _ = stars(1, 5)
    told = flow[0].told(seen["noisy"], seen["error"])
    side = (np.arange(200) + 0.5) / 200 * 4
    grid = torch.tensor(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), dtype=torch.float32)
    share = (grid / 4).double()
    z = torch.special.ndtri(share)
    jacobian = (-torch.distributions.Normal(0, 1).log_prob(z) - np.log(4)).sum(1)
    with torch.no_grad():
        density = (flow[0](grid, told.expand(len(grid), -1)) + jacobian).exp()
    density = density / flow_range(flow[0])
    assert float(density.sum()) * (4 / 200) ** 2 == pytest.approx(1, abs=0.03)


def flow_range(model):
    """The ranges found are a little less than 0..4: the box of the density is smaller."""
    return float(((model.high - model.low) / 4).prod())


def test_it_learns_more_than_the_prior(flow):
    prior = 2 * 0.5 * np.log(2 * np.pi * np.e)
    assert flow[1]["valid_loss"].min() < prior - 0.5


def test_it_starts_from_its_sizes_alone():
    torch.manual_seed(0)
    one = PosteriorFlow(PIXELS, 2, **SIZES)
    again = PosteriorFlow(**one.config)
    assert {k: v.shape for k, v in one.state_dict().items()} == {
        k: v.shape for k, v in again.state_dict().items()
    }
