"""The claims of programme `diffusion` are met by what is right, and missed by what is not."""

import numpy as np
import pytest

from stargrav.data import store
from stargrav.experiments import diffusion
from stargrav.experiments.spec import FAIL, PASS
from stargrav.experiments.steps import Bench, bench
from stargrav.inference import diffused

SIZES = {"stars": 60, "draws": 2, "steps": 3, "components": 10, "train": 400}


def verdicts(inputs, monkeypatch, made):
    """By criterion, where a model's samples are what `made` gives of clean spectra."""
    flux = np.array(store.read_spectra(inputs.folder("dataset") / "train.h5").flux)[-120:]
    rng = np.random.default_rng(3)
    monkeypatch.setattr(diffused, "drawn", lambda *_: made(flux, rng).astype(np.float32))
    with bench(Bench(inputs, 7)):
        metrics = diffusion.ddpm.function(samples=120, components=5).metrics()
    return {c.expression: c.judge(metrics).verdict for c in diffusion.ddpm.accept}


def test_samples_that_are_spectra_are_not_told_apart(inputs, monkeypatch):
    found = verdicts(inputs, monkeypatch, lambda flux, rng: flux)
    found.pop("energy_p[gaussian,all]")  # about the data: can 120 stars tell?
    assert FAIL not in found.values()
    assert found["energy_p[samples,all]"] == found["classifier_p[samples,all]"] == PASS


@pytest.mark.parametrize(
    ("made", "missed"),
    [
        (lambda flux, rng: rng.normal(flux.mean(0), 0.1, flux.shape), "energy_p[samples,all]"),
        (lambda flux, rng: flux.mean(0) + 0.5 * (flux - flux.mean(0)), "variance[samples,all]"),
        (lambda flux, rng: flux - 0.5 * flux.std(0), "mean_off[samples,all]"),
        (lambda flux, rng: 1 - 0.5 * (1 - flux), "max(depth_off[samples,*])"),
    ],
    ids=["white noise", "half the scatter", "too faint", "shallow lines"],
)
def test_samples_that_are_not_are_found_out(made, missed, inputs, monkeypatch):
    assert verdicts(inputs, monkeypatch, made)[missed] == FAIL


def test_noise_is_the_unit_of_what_is_left(inputs):
    """Principal components take most of it away, from the right stars."""
    with bench(Bench(inputs, 7)):
        found = diffusion.conditional_ddpm.function(**SIZES).metrics()
    assert found["mse[noisy,all]"].value == pytest.approx(1, abs=0.05)
    assert found["mse[pca,all]"].value < 0.3
    assert found["ssim[noisy,all]"].value < found["ssim[pca,all]"].value <= 1


def test_a_mean_of_draws_is_nearer_to_the_truth_than_one(inputs):
    with bench(Bench(inputs, 7)):
        found = diffusion.conditional_ddpm.function(**SIZES).metrics()
    assert found["mse[ddpm,all]"].value < found["mse[draw,all]"].value
