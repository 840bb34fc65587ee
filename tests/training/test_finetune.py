"""Training of encoder and head together."""

import numpy as np
import pandas as pd
import pytest
import torch

from stargrav import models
from stargrav.data.loader import NoisySpectra
from stargrav.inference.latents import read_out
from stargrav.labels import LABELS
from stargrav.models.heads import MlpHead
from stargrav.spectrum import Spectra
from stargrav.training.finetune import EncoderRegressor, train_encoder
from stargrav.training.plan import Plan

READOUT = ("enc_pre_latent", "seg_mean_8")
STARS, PIXELS = 48, 64


@pytest.fixture
def network():
    torch.manual_seed(1)
    teacher = models.build("blindspot", channels=6, depth=3, kernel=3, hidden=(6,))
    head = MlpHead(48, (8,), 1, 0.0)
    head.standardise(torch.randn(20, 48), torch.randn(20, 1))
    return teacher.eval(), head.eval()


@pytest.fixture
def spectra():
    rng = np.random.default_rng(2)
    labels = rng.uniform(size=(STARS, len(LABELS)))
    flux = (1 - labels[:, 1:2] * np.exp(-((np.arange(PIXELS) - 30) ** 2) / 50)).astype(np.float32)
    return Spectra(
        np.arange(PIXELS), flux, np.full_like(flux, 0.1), pd.DataFrame(labels, columns=LABELS)
    )


def test_it_starts_as_the_head_on_the_stored_latents(network, spectra):
    model = EncoderRegressor(*network, READOUT)
    latents = read_out(network[0], spectra.flux, spectra.error, *READOUT)
    seen = np.hstack([spectra.flux, spectra.error])
    np.testing.assert_allclose(model.predict(seen), network[1].predict(latents), atol=1e-5)


def test_with_its_encoder_frozen_only_the_head_is_trained(network, spectra):
    teacher, head = network
    batches = NoisySpectra(spectra, 16, 1.0, shuffle=True, generator=torch.Generator())
    valid = (np.hstack([spectra.flux, spectra.error]), spectra.labels[:, 1])
    plan = Plan(1, "constant", "valid_r2", accelerator="cpu")
    arguments = (teacher, head, READOUT, batches, valid, "log_g", plan, 1e-2)
    model, _ = train_encoder(*arguments, frozen=True)
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, teacher.state_dict()[name]), name
    assert not torch.equal(model.head.layers[0].weight, head.layers[0].weight)


def test_only_what_is_read_is_trained_and_the_statistics_stay(network, spectra):
    teacher, head = network
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    batches = NoisySpectra(spectra, 16, 1.0, shuffle=True, generator=torch.Generator())
    valid = (np.hstack([spectra.flux, spectra.error]), spectra.labels[:, 1])
    plan = Plan(2, "constant", "valid_r2", accelerator="cpu")
    model, history = train_encoder(teacher, head, READOUT, batches, valid, "log_g", plan, 1e-2)
    after = model.teacher.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"encoder.0.weight", "encoder.1.norm.weight"} <= moved
    assert not any("running" in name or name.startswith(("decoder", "join")) for name in moved)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert len(history) == 2 and history["valid_r2"].notna().all()
