"""Posteriors that are right pass, and those that are too narrow, too wide or shifted do not."""

from dataclasses import replace

import numpy as np
import pytest

from stargrav.data import store
from stargrav.experiments import posteriors
from stargrav.experiments.spec import FAIL, PASS
from stargrav.experiments.steps import Bench, bench
from stargrav.inference.posteriors import write_draws
from stargrav.labels import LABELS

DRAWS = 100


def judged(experiment, inputs, tmp_path, monkeypatch, change):
    """Verdicts by criterion, where every posterior is exact and another one is `change` of it.

    Each star's posterior is normal about its measurement; a star's true label is a draw from it.
    """
    stars = store.read_spectra(inputs.folder("dataset") / "test.h5").stars
    truth = np.tile(stars[list(LABELS)].to_numpy(float), (8, 1))
    sd = np.ptp(truth, axis=0) * 0.1 + 0.01
    rng = np.random.default_rng(2)
    middle = truth + sd * rng.standard_normal(truth.shape)

    def drawn():
        noise = rng.standard_normal((len(truth), DRAWS, len(LABELS)))
        return middle[:, None] + sd * noise

    folders = {}
    for name, values in (
        ("exact", drawn()),
        ("amortized", middle[:, None] + change(drawn() - middle[:, None], sd)),
        ("sampled", middle[:, None] + change(drawn() - middle[:, None], sd)),
    ):
        folders[f"posteriors@{name}"] = tmp_path / name
        (tmp_path / name).mkdir()
        write_draws(tmp_path / name, values, LABELS, 10)
    known = {name: truth[:, i] for i, name in enumerate(LABELS)}
    known["snr"] = snr_of(len(truth))
    monkeypatch.setattr(posteriors, "_stars", lambda n: {k: v[:n] for k, v in known.items()})
    with bench(Bench(replace(inputs, folders={**inputs.folders, **folders}), 7)):
        metrics = experiment.function().metrics()
    return {str(c): c.judge(metrics).verdict for c in experiment.accept}, metrics


def snr_of(count):
    return np.random.default_rng(5).uniform(5, 30, count)


def same(away, sd):
    return away


def test_what_is_right_passes(inputs, tmp_path, monkeypatch):
    given = inputs, tmp_path, monkeypatch, same
    found, metrics = judged(posteriors.amortized_posterior, *given)
    assert FAIL not in found.values()
    assert found["classifier_p[amortized,all] >= 0.01"] == PASS
    assert found["max(apart[amortized,*]) <= 0.02"] == PASS
    assert found["max(wider[amortized,*]) <= 1.1"] == PASS
    assert abs(metrics["apart[exact,log_g]"].value) < 0.01


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (lambda away, sd: 0.5 * away, "min(coverage_68[amortized,*]) >= 0.612"),
        (lambda away, sd: 2.0 * away, "max(coverage_68[amortized,*]) <= 0.748"),
        (lambda away, sd: 1.25 * away, "max(wider[amortized,*]) <= 1.1"),
        (lambda away, sd: 1.25 * away, "classifier_p[amortized,all] >= 0.01"),
        (lambda away, sd: 0.8 * away, "classifier_p[amortized,all] >= 0.01"),
        (lambda away, sd: away + 0.3 * sd, "classifier_p[amortized,all] >= 0.01"),
        (lambda away, sd: away + 0.6 * sd, "max(apart[amortized,*]) <= 0.02"),
    ],
    ids=["too narrow", "too wide", "wider", "wide", "narrow", "shifted", "far off"],
)
def test_what_is_not_is_found_out(change, missed, inputs, tmp_path, monkeypatch):
    found, _ = judged(posteriors.amortized_posterior, inputs, tmp_path, monkeypatch, change)
    assert found[missed] == FAIL


def test_what_cancels_between_faint_and_bright_stars_is_found_out(inputs, tmp_path, monkeypatch):
    """Too wide for half of the stars, too narrow for the others: the classifier sees the SNR."""

    def change(away, sd):
        snr = snr_of(len(away))
        return away * np.where(snr < np.median(snr), 1.3, 0.7)[:, None, None]

    found, _ = judged(posteriors.amortized_posterior, inputs, tmp_path, monkeypatch, change)
    assert found["classifier_p[amortized,all] >= 0.01"] == FAIL


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_narrow_and_wide_intervals_fail_by_their_coverage(factor, inputs, tmp_path, monkeypatch):
    given = inputs, tmp_path, monkeypatch, lambda away, sd: factor * away
    found, metrics = judged(posteriors.coverage, *given)
    assert FAIL in found.values()
    ratio = (
        metrics["width_68[amortized,log_g,all]"].value / metrics["width_68[exact,log_g,all]"].value
    )
    assert ratio == pytest.approx(factor, rel=0.05)


def test_thirds_are_of_the_snr(inputs, tmp_path, monkeypatch):
    """Intervals that are right in the mean but too narrow for one half of the stars."""
    found, metrics = judged(posteriors.coverage, inputs, tmp_path, monkeypatch, same)
    assert FAIL not in found.values()
    sizes = [posteriors._of_snr(t, {"log_g": np.zeros(9), "snr": np.arange(9)[::-1]}) for t in
             posteriors.SNR_BINS]  # fmt: skip
    assert [list(rows) for rows in sizes] == [[6, 7, 8], [3, 4, 5], [0, 1, 2]]
    without = posteriors._of_snr("low", {"log_g": np.zeros(9)})
    assert list(without) == list(range(9))
