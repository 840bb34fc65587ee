"""Training on spectra with noise drawn anew, with and without a pretraining."""

import numpy as np
import pandas as pd
import pytest
import torch

from stargrav.data.loader import NoisySpectra
from stargrav.labels import LABELS
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.spectrum import Spectra
from stargrav.training.plan import Plan
from stargrav.training.spectra import Labelled, Reconstructor, train_spectral

PIXELS = 128
SIZES = {"patches": [16], "width": 16, "depth": 1, "heads": 2}


def made(n, seed):
    """Spectra with a line whose depth is log g."""
    rng = np.random.default_rng(seed)
    stars = pd.DataFrame({name: rng.uniform(1, 5, n) for name in LABELS})
    line = np.exp(-0.5 * ((np.arange(PIXELS) - 60) / 8) ** 2)
    flux = (1 - 0.15 * stars["log_g"].to_numpy()[:, None] * line).astype(np.float32)
    error = np.full_like(flux, 0.05)
    return Spectra(np.arange(PIXELS, dtype=float), flux, error, stars)


@pytest.fixture(scope="module")
def spectra():
    return {"train": made(512, 0), "valid": made(128, 1)}


def trained(spectra, epochs=4, labels=("log_g",), **others):
    batches = NoisySpectra(
        spectra["train"], 32, 1.0, shuffle=True, generator=torch.Generator(), device="cpu"
    )
    valid = spectra["valid"]
    noisy = valid.flux + valid.error * np.random.default_rng(2).normal(size=valid.flux.shape)
    truth = valid.stars[list(labels)].to_numpy()
    plan = Plan(epochs, schedule="cosine", monitor="valid_r2", accelerator="cpu", warmup=0.1)
    given = (np.hstack([noisy, valid.error]), truth)
    return train_spectral({**SIZES, "labels": labels}, batches, given, plan, 3e-3, **others), given


def test_log_g_is_learnt_from_a_line(spectra):
    (network, history), (x, truth) = trained(spectra, epochs=8)
    missed = network.predict(x) - truth[:, 0]
    assert 1 - missed.var() / truth.var() > 0.8
    assert history["valid_r2"].max() == pytest.approx(
        1 - (missed**2).sum() / ((truth - truth.mean()) ** 2).sum(), abs=1e-4
    )


def test_batches_hold_the_labels_that_are_asked_for(spectra):
    noisy = NoisySpectra(spectra["train"], 32, 0.0)
    batch = next(iter(Labelled(noisy, ["M_H", "log_g"])))
    stars = spectra["train"].stars
    np.testing.assert_allclose(batch["y"], stars[["M_H", "log_g"]][:32], rtol=1e-6)
    flux, error = batch["x"].chunk(2, dim=1)
    np.testing.assert_array_equal(flux, spectra["train"].flux[:32])
    np.testing.assert_array_equal(error, spectra["train"].error[:32])


class Killed(Exception):
    """Stands for a kill just after a checkpoint was written aside."""


def test_a_killed_training_with_a_pretraining_goes_on_as_if_it_had_not_been(
    spectra, tmp_path, monkeypatch
):
    before = 0.25, Plan(2, schedule="cosine", accelerator="cpu")
    (whole, whole_history), _ = trained(spectra, 3, pretraining=before)

    written, kept = [], torch.save

    def save(state, path):
        kept(state, path)
        written.append(path)
        if len(written) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(Killed):
            trained(spectra, 3, pretraining=before, folder=tmp_path)
    (again, history), _ = trained(spectra, 3, pretraining=before, folder=tmp_path)
    pd.testing.assert_frame_equal(
        history.drop(columns="seconds"), whole_history.drop(columns="seconds")
    )
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name]), name


def test_pretraining_changes_where_training_starts(spectra):
    before = 0.25, Plan(2, schedule="cosine", accelerator="cpu")
    (_, with_it), _ = trained(spectra, 1, pretraining=before)
    (_, without), _ = trained(spectra, 1)
    assert with_it["train_loss"].iloc[0] != without["train_loss"].iloc[0]


def test_the_share_that_is_hidden(spectra):
    (network, _), (x, _) = trained(spectra, 1)
    pretrained = Reconstructor(network, 0.25).eval()
    hidden = pretrained._hidden(10, 8, torch.device("cpu"))
    assert (hidden.sum(dim=1) == 2).all()
    assert torch.equal(hidden, pretrained._hidden(10, 8, torch.device("cpu")))
    assert not torch.equal(hidden, pretrained.train()._hidden(10, 8, torch.device("cpu")))


def test_a_denoiser_in_front_stays_as_it_is(spectra):
    torch.manual_seed(0)
    denoiser = BlindSpotUNet(channels=4, depth=2, kernel=3, hidden=(4,))
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    (network, _), _ = trained(spectra, 1, denoiser=denoiser)
    for name, value in network.denoiser.state_dict().items():
        assert torch.equal(value, before[name]), name
