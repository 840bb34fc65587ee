"""Training of diffusion models: resumed to the bit, averaged, and judged by samples."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from stargrav.diffusion.condition import CONDITIONS, condition, posterior
from stargrav.diffusion.denoise import NetworkDenoiser
from stargrav.diffusion.sample import SAMPLERS, sample
from stargrav.diffusion.schedule import Cosine, LinearBeta
from stargrav.models.gaussian import SpectrumGaussian
from stargrav.training.batches import TensorBatches
from stargrav.training.diffusion import Averaged, train_diffusion, watched
from stargrav.training.dncnn import train_dncnn
from stargrav.training.plan import Plan

PIXELS, AT = 24, 9
SAME = ["epoch", "train_loss", "valid_loss", "learning_rate"]
ERROR = 0.2


def spectra(n, seed):
    """A line at pixel 9, either shallow or deep: no normal distribution."""
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random(n) < 0.5, 0.2, 0.7) + 0.03 * rng.standard_normal(n)
    profile = np.exp(-0.5 * ((np.arange(PIXELS) - AT) / 1.5) ** 2)
    flux = torch.from_numpy(1 - depth[:, None] * profile).float()
    noise = torch.from_numpy(rng.standard_normal(flux.shape)).float()
    return {"flux": flux, "noisy": flux + ERROR * noise, "error": torch.full_like(flux, ERROR)}


def train(folder=None, breaks_in=None, epochs=3, n=128, batch=32, told=(), **more):
    batches = TensorBatches(spectra(n, 0), batch, torch.Generator())
    if breaks_in:
        batches = Breaking(batches, breaks_in)
    sizes = {"channels": (8, 16), "heads": 0, **more.pop("sizes", {})}
    plan = Plan(epochs, schedule="cosine", accelerator="cpu")
    clean = spectra(n, 0)["flux"]
    valid = TensorBatches(spectra(64, 1), 64)
    return train_diffusion(batches, valid, clean, sizes, plan, told, folder=folder, **more)


class Interrupted(Exception):
    pass


class Breaking:
    """Batches that fail in the middle of an epoch."""

    def __init__(self, batches, epoch):
        self.batches, self.left = batches, epoch
        self.generator, self.share = batches.generator, batches.share

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.left -= 1
        for number, batch in enumerate(self.batches):
            if not self.left and number == 2:
                raise Interrupted
            yield batch


def test_an_interrupted_training_ends_with_the_same_average_and_is_watched_as_often(tmp_path):
    seen, again = [], []
    watched = {"every": 2, "epochs": 4}
    whole, expected = train(tmp_path / "a", watch=lambda *found: seen.append(found), **watched)
    for epoch in (2, 1):
        with pytest.raises(Interrupted):
            train(tmp_path / "b", epoch, watch=lambda *found: again.append(found), **watched)
    resumed, found = train(tmp_path / "b", watch=lambda *found: again.append(found), **watched)
    pd.testing.assert_frame_equal(found[SAME], expected[SAME], check_exact=True)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name
    kept = expected["valid_loss"].argmin() + 1
    assert [epoch for epoch, _ in seen] == [epoch for epoch, _ in again] == [2, 4, kept]
    for (_, one), (_, other) in zip(seen, again, strict=True):
        assert one.shape == (16, PIXELS) and torch.equal(one, other)


def test_a_training_that_is_watched_takes_the_same_steps():
    seen = {}
    alone, expected = train()
    network, found = train(watch=seen.__setitem__, every=1)
    pd.testing.assert_frame_equal(found[SAME], expected[SAME], check_exact=True)
    for name, values in alone.state_dict().items():
        assert torch.equal(values, network.state_dict()[name]), name
    kept = expected["valid_loss"].argmin() + 1
    assert torch.equal(seen[kept], watched(network, spectra(64, 1)))
    assert all(not torch.equal(seen[kept], seen[epoch]) for epoch in {1, 2, 3} - {kept})


def test_another_schedule_is_another_training(tmp_path):
    _, first = train(tmp_path)
    _, second = train(tmp_path, schedule=Cosine())
    assert not np.allclose(first["train_loss"], second["train_loss"])


def test_the_average_follows_closely_and_then_forgets_slowly():
    weights = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(2, 1, bias=False)
    averaged = Averaged(layer, decay=0.6)
    expected = weights[0]
    for step, weight in enumerate(weights):
        layer.weight.data.copy_(weight)
        averaged.update()
        if step:
            keep = min(0.6, (1 + step) / (10 + step))
            expected = keep * expected + (1 - keep) * weight
    assert torch.allclose(averaged.average.module.weight[0], expected)
    assert torch.equal(averaged.network.weight[0], weights[-1])
    assert [p.requires_grad for p in averaged.parameters()] == [True, False]


@pytest.mark.parametrize(
    ("prediction", "how"),
    [
        ("epsilon", {"epochs": 30, "n": 512, "learning_rate": 5e-3}),
        ("residual", {"epochs": 15, "n": 2048, "batch": 128, "learning_rate": 8e-3}),
    ],
)
def test_samples_are_like_the_data(prediction, how):
    """By the depths of the line, the noise beside it, and under a schedule not trained with."""
    sizes = {"prediction": prediction, "axes": 2}
    network, history = train(sizes=sizes, decay=0.98, **how)
    assert history["valid_loss"].iloc[-1] < history["valid_loss"].iloc[0]
    # far from t = 0 epsilon says little of x, so that a network that was trained so briefly may
    # not be asked for less signal than it has seen
    for schedule in (LinearBeta(), Cosine())[: 1 + (prediction == "residual")]:
        generator = torch.Generator().manual_seed(0)
        denoiser = NetworkDenoiser(network, schedule)
        found = sample(denoiser, (300, PIXELS), SAMPLERS["dpm_solver"], generator)
        found = network.prior.flux(found)
        depth = 1 - found[:, AT]
        shallow, deep = ((depth - at).abs() < 0.13 for at in (0.2, 0.7))
        assert shallow.sum() > 75 and deep.sum() > 75
        assert (shallow | deep).sum() > 200  # of a normal distribution 150
        assert found[:, 16:].std(1).median() < 0.02  # of white noise .08, the scale


@pytest.mark.parametrize("prediction", ["residual", "posterior_residual"])
def test_a_conditional_model_denoises_better_than_the_mean_of_noise_and_nothing(prediction):
    sizes = {"prediction": prediction, "axes": 2}
    network, _ = train(
        epochs=10, n=2048, batch=128, told=("noisy", "ivar"), sizes=sizes, learning_rate=8e-3
    )
    stars = spectra(200, 3)
    told = condition(("noisy", "ivar"), stars, network.prior)
    denoiser = NetworkDenoiser(network, LinearBeta(), told, posterior(network, stars))
    generator = torch.Generator().manual_seed(0)
    found = network.prior.flux(sample(denoiser, (200, PIXELS), SAMPLERS["dpm_solver"], generator))
    error = (found - stars["flux"]).square().mean()
    assert error < 0.1 * ERROR**2 and error < 0.5 * stars["flux"].var(0).mean()


def test_conditions_are_of_the_order_of_one():
    stars = spectra(50, 0)
    prior = SpectrumGaussian(PIXELS)
    prior.fit(stars["flux"])
    stars["error"][:, 3] = 1e4  # a sky line
    found = condition(CONDITIONS, stars, prior)
    assert found.shape == (50, 3, PIXELS) and found.abs().max() < 10
    assert torch.allclose(prior.flux(found[:, 0]), stars["noisy"])
    assert found[:, 2, 3].max() < 1e-6 and (found[:, 2] <= 1).all()
    assert condition((), stars, prior) is None
    with pytest.raises(ValueError, match="snr"):
        condition(("snr",), stars, prior)


@pytest.mark.parametrize("finds", ["noise", "flux"])
def test_dncnn_learns_to_denoise(finds):
    batches = TensorBatches(spectra(512, 0), 32, torch.Generator())
    valid = TensorBatches(spectra(64, 1), 64)
    plan = Plan(6, schedule="cosine", accelerator="cpu")
    sizes = {"dilations": [1] * 5, "channels": 16, "finds": finds}
    model, _ = train_dncnn(batches, valid, sizes, plan, 3e-3)
    stars = spectra(200, 3)
    with torch.inference_mode():
        found = model(stars["noisy"], stars["error"])
    assert (found - stars["flux"]).square().mean() < 0.2 * ERROR**2
