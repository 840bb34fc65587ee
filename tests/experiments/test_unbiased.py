"""A bias of lines is seen, and told from lines that are drawn towards the usual."""

from dataclasses import replace

import numpy as np
import pytest

from stargrav.data import store
from stargrav.experiments import unbiased
from stargrav.experiments.spec import FAIL, PASS
from stargrav.experiments.steps import Bench, bench


def clean(part):
    return np.array(store.read_spectra(part.path).flux[part.index])


def run(inputs, monkeypatch, denoise):
    """The table where the teacher makes of clean spectra what `denoise` says."""

    def cleaned(seen):
        made = replace(seen.test, features=denoise(clean(seen.test))[None])
        return seen._replace(test=made)

    monkeypatch.setattr(unbiased, "cleaned", cleaned)
    with bench(Bench(inputs, 7)):
        return unbiased.denoiser_bias.function().metrics()


@pytest.mark.parametrize(
    ("denoise", "bias", "kept", "verdict"),
    [
        (lambda flux: flux, 0.0, 1.0, PASS),
        (lambda flux: (flux + flux.mean(axis=0)) / 2, 0.0, 0.5, FAIL),
        (lambda flux: 1 - 0.8 * (1 - flux), -0.2, 0.8, FAIL),
    ],
    ids=["the truth", "towards the usual", "too weak"],
)
def test_mean_and_differences_are_told_apart(denoise, bias, kept, verdict, inputs, monkeypatch):
    metrics = run(inputs, monkeypatch, denoise)
    own = {key: found.value for key, found in metrics.items() if "denoised" in key}
    lines = {key.split(",")[1] for key in own}
    assert lines
    for line in lines:
        assert own[f"width_bias[denoised,{line}"] == pytest.approx(bias, abs=0.05)
        assert own[f"kept[denoised,{line}"] == pytest.approx(kept, abs=0.1)
    found = {criterion.judge(metrics).verdict for criterion in unbiased.denoiser_bias.accept}
    assert (FAIL in found) == (verdict == FAIL)


def test_noisy_spectra_are_neither_biased_nor_drawn_together(inputs, monkeypatch):
    metrics = run(inputs, monkeypatch, lambda flux: flux)
    for key, found in metrics.items():
        if key.startswith(("width_bias[noisy", "kept[noisy")):
            low, high = found.interval(0.999)
            assert low <= (1.0 if key.startswith("kept") else 0.0) <= high, key
