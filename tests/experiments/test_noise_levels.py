"""Experiments about noise: what is trained and tested is as noisy as the table says."""

import numpy as np
import pytest

from stargrav.experiments import distill, steps, student
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import Bench, bench, score_by_best
from stargrav.models.pooling import READOUT
from stargrav.models.ridge import SweptRidge

ERROR = 0.05  # of each pixel, at noise level 1


@pytest.fixture
def watched(inputs, monkeypatch):
    """What is fitted and scored while an experiment runs."""
    seen = {"fit": [], "score": []}

    def fit(model, train, valid, **target):
        seen["fit"].append(train)
        return steps.fit(model, train, valid, **target)

    def score(model, part):
        seen["score"].append(part)
        return steps.score(model, part)

    for module in (distill, student):
        monkeypatch.setattr(module, "fit", fit)
        monkeypatch.setattr(module, "score", score)
    with bench(Bench(inputs, 3)):
        yield seen


def scatter(part, clean):
    """Deviation of the pixels of a part from clean ones, in units of their error."""
    return float((part.features[0] - clean).std()) / ERROR


def clean_flux(split):
    return getattr(steps.spectra("flux", noise_level=0.0, stars=400), split).features[0]


def test_noise_robustness_trains_and_tests_at_each_level(watched):
    table = distill.noise_robustness.function(stars=400, trees=5)
    twice = [*distill.LEVELS, *distill.LEVELS]  # by either probe
    train, test = clean_flux("train"), clean_flux("test")
    stored = {
        level: steps.latents(*READOUT, level, stars=400, draws=1) for level in distill.LEVELS
    }
    trained, latents = [], []
    for case, part in zip(table.cases, watched["score"], strict=True):
        assert part.noise_level == case.tested
        if case.input == "flux":
            assert scatter(part, test) == pytest.approx(case.tested, abs=0.03)
        else:
            np.testing.assert_array_equal(part.features, stored[case.tested].test.features)
    for part in watched["fit"]:
        if part.readout[0] == "spectrum":
            trained.append(scatter(part, train))
        else:
            latents.append(part.features)
    assert trained == pytest.approx(twice, abs=0.03)
    for level, features in zip(twice, latents, strict=True):
        np.testing.assert_array_equal(features, stored[level].train.features)
    assert len({part.test.features.tobytes() for part in stored.values()}) == len(stored)


def test_noise_shift_trains_at_one_level_and_tests_at_others(watched):
    table = student.noise_shift.function(stars=400)
    train, test = clean_flux("train"), clean_flux("test")
    flux = [part for part in watched["fit"] if part.readout[0] == "spectrum"]
    assert [scatter(part, train) for part in flux] == pytest.approx([student.MIDDLE], abs=0.03)
    told = {}
    for case, part in zip(table.cases, watched["score"], strict=True):
        if case.labels["input"] == "flux":
            assert scatter(part, test) == pytest.approx(case.noise, abs=0.03)
        else:
            told[case.noise] = part.features[0]
    moved = [np.abs(told[level] - told[0.0]).mean() for level in student.LEVELS]
    assert moved == sorted(moved) and moved[1] > 0  # the student sees the noise, more and more


def test_the_best_head_is_that_of_the_valid_stars(inputs):
    """On the valid stars the free ridge is right; on the test stars the heavy one errs less."""
    rng = np.random.default_rng(0)

    def part(n, sign):
        log_g = rng.standard_normal(n)
        features = np.stack([sign * log_g, rng.standard_normal(n)], axis=1)
        return Part(features[None], {"log_g": log_g}, ("spectrum", "pixels"), np.arange(n), None)

    with bench(Bench(inputs, 3)):
        parts = Parts(part(200, 1), part(100, 1), part(100, -1))
        heads = {"ridge": SweptRidge(), "heavy": SweptRidge((1e6,))}
        found = score_by_best(heads, parts)
    assert found.columns["head"] == "ridge"
    assert found.metrics["r2"].value == found.metrics["r2_ridge"].value
    assert found.metrics["r2_heavy"].value > found.metrics["r2_ridge"].value
