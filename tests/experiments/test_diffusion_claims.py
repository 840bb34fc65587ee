"""The claims of programme `diffusion` are met by what is right, and missed by what is not."""

import numpy as np
import pytest

from stargrav.data import store
from stargrav.experiments import diffusion
from stargrav.experiments.denoisers import Compared, Stars
from stargrav.experiments.spec import FAIL, PASS
from stargrav.experiments.steps import Bench, bench
from stargrav.inference import diffused
from stargrav.metrics import lines
from stargrav.named_lines import strength, within

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
        (lambda flux, rng: flux * rng.normal(1, 0.01, flux.shape), "energy_p[samples,all]"),
        (lambda flux, rng: flux * rng.normal(1, 0.01, flux.shape), "classifier_p[samples,all]"),
        (lambda flux, rng: flux.mean(0) + 0.5 * (flux - flux.mean(0)), "variance[samples,all]"),
        (lambda flux, rng: flux - 0.5 * flux.std(0), "mean_off[samples,all]"),
        (lambda flux, rng: 1 - 0.5 * (1 - flux), "max(depth_off[samples,*])"),
    ],
    ids=[
        "white noise",
        "grain",
        "grain, by classifier",
        "half the scatter",
        "too faint",
        "shallow lines",
    ],
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


def line_metrics(inputs, monkeypatch, denoise):
    """Metrics where the diffusion model is what `denoise` makes of noisy spectra."""
    monkeypatch.setattr(
        Compared, "given", lambda _, noisy, error: {"ddpm": lambda: denoise(noisy)}
    )
    with bench(Bench(inputs, 7)):
        return diffusion.line_metrics.function(**SIZES).metrics()


def test_only_strong_lines_are_judged_by_relative_widths_and_velocities(inputs, monkeypatch):
    def judged(metrics, name):
        return {key.split("[")[1] for key in metrics if key.startswith(name)}

    every = judged(line_metrics(inputs, monkeypatch, lambda noisy: noisy), "width_offset")
    with bench(Bench(inputs, 7)):
        true = Stars(SIZES["stars"])
        width = {
            f"ddpm,{name.replace(' ', '_')}]": strength(true.wave, true.clean, at)[0].mean()
            for name, at in within(true.wave).items()
        }
    middle = np.median(list(width.values()))
    for threshold, expected in (
        (middle, {name for name in every if width[name] > middle}),
        (9.0, every),  # all are weak
    ):
        monkeypatch.setattr(lines, "STRONG", threshold)
        metrics = line_metrics(inputs, monkeypatch, lambda noisy: noisy)
        assert judged(metrics, "width_offset") == judged(metrics, "depth_bias") == every
        for name in ("width_bias", "velocity_bias", "velocity_found"):
            assert judged(metrics, name) == expected, name


def test_lines_that_are_not_there_have_no_velocity(inputs, monkeypatch):
    metrics = line_metrics(inputs, monkeypatch, np.ones_like)
    (found,) = (c for c in diffusion.line_metrics.accept if "found" in c.expression)
    assert found.judge(metrics).verdict == FAIL
