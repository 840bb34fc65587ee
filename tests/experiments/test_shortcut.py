"""What is particular to the shortcut experiments."""

from dataclasses import replace

import numpy as np
import pytest

from stargrav.experiments import networks, shortcut, steps
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import Bench, bench


def parts(tell, seed=0, sizes=(120, 60, 60), width=80):
    """Stars whose features tell the share `tell` of the deviation of log g, and noise besides."""
    rng = np.random.default_rng(seed)

    def part(n):
        log_g = rng.standard_normal(n)
        features = rng.standard_normal((1, n, width))
        features[0, :, 0] = log_g + rng.standard_normal(n) * (1 / tell - 1)
        return Part(features, {"log_g": log_g}, ("spectrum", "pixels"), np.arange(n), None)

    return Parts(*(part(n) for n in sizes))


@pytest.fixture(autouse=True)
def on_the_bench(inputs):
    with bench(Bench(inputs, 3)):
        yield


def test_residuals_of_training_stars_come_from_models_that_have_not_seen_them(monkeypatch):
    """A nearly exact fit of as many features as stars would leave nothing over."""
    monkeypatch.setattr(shortcut, "PENALTIES", (1e-6,))
    seen = parts(tell=1e-9)
    _, left = shortcut._taken_out(seen, folds=5)
    for part in (left.train, left.test):
        assert part.stars[shortcut.RESIDUAL].var() > 0.9 * part.stars["log_g"].var()


def test_what_the_error_tells_is_taken_out():
    seen = parts(tell=0.8, sizes=(900, 200, 300), width=10)
    model, left = shortcut._taken_out(seen, folds=3)
    share = shortcut._share(left.test).value
    expected = 0.25**2 / (1 + 0.25**2)  # of a label of variance 1, seen with noise of .25
    assert share == pytest.approx(expected, rel=0.3)
    again = shortcut._asked(seen, left).metrics["r2"].value
    assert abs(again) < 0.05  # nothing is left for the same features
    assert left.train.stars[shortcut.RESIDUAL].shape == (900,)


def test_what_a_smooth_error_hides_in_its_last_digits_is_taken_out():
    """An array without noise tells log g by little beside what else makes it; as real ones do."""
    rng = np.random.default_rng(5)

    def part(n):
        log_g, other = rng.standard_normal((2, n))
        shapes = np.sin(np.outer([1, 2], np.linspace(0, 3, 40)))
        features = np.stack([other, 1e-3 * log_g], axis=1) @ shapes
        return Part(features[None], {"log_g": log_g}, ("spectrum", "pixels"), np.arange(n), None)

    model, left = shortcut._taken_out(Parts(part(900), part(200), part(300)), folds=3)
    assert shortcut._share(left.test).value < 0.01
    assert model.estimator.alpha_ < 1e-3


def test_permuted_labels_are_those_of_other_stars(monkeypatch):
    fitted = []

    def watched(model, train, valid):
        fitted.append(np.array(train.stars["log_g"]))
        return steps.fit(model, train, valid)

    monkeypatch.setattr(shortcut, "fit", watched)
    table = shortcut.label_shuffle.function(trees=2)
    own = fitted[0]
    for case, labels in zip(table.cases, fitted, strict=True):
        moved = (own != labels).mean()
        assert moved > 0.95 if case.log_g == "shuffled" else moved == 0
        np.testing.assert_array_equal(np.sort(own), np.sort(labels))


def test_swapped_errors_are_those_of_other_stars_and_the_flux_stays():
    part = parts(tell=0.5).train
    swapped = shortcut._swapped(part, 0)
    flux, error = np.split(part.features, 2, axis=-1)
    same, other = np.split(swapped.features, 2, axis=-1)
    np.testing.assert_array_equal(flux, same)
    assert (other != error).any(axis=-1).mean() > 0.95
    np.testing.assert_array_equal(np.sort(other, axis=1), np.sort(error, axis=1))


def test_each_error_is_seen_by_the_teacher_that_was_told_its_kind(monkeypatch):
    """And `retrained` is fitted and tested on swapped errors, `shuffled` tested alone."""
    told, fitted, tested = [], [], []

    def encoded(parts, teacher):
        told.append((teacher, parts))
        return networks.encoded(parts, teacher)

    def fit(model, train, valid):
        fitted.append(train.features)
        return steps.fit(model, train, valid)

    def score(model, part):
        tested.append(part.features)
        return steps.score(model, part)

    def swapped(part, number):  # the small stars have one error, all of them
        flux, error = np.split(part.features, 2, axis=-1)
        return replace(part, features=np.concatenate([flux, 2 * error], axis=-1))

    watched = {"encoded": encoded, "fit": fit, "score": score, "_swapped": swapped}
    for name, one in watched.items():
        monkeypatch.setattr(shortcut, name, one)
    table = shortcut.shuffled_error.function(stars=120)
    own = {kind: steps.spectra("flux", "error", error=kind, stars=120) for kind in shortcut.ERRORS}
    assert [teacher for teacher, _ in told] == ["teacher"] * 2 + ["teacher_observed"] * 2
    for teacher, parts in told[::2]:
        kind = "observed" if teacher == "teacher_observed" else "noiseless"
        np.testing.assert_array_equal(parts.train.features, own[kind].train.features)
    for case, seen, judged in zip(table.cases, fitted, tested, strict=True):
        errors, given = case.labels["errors"], case.labels["given"]
        right = networks.encoded(own[errors], shortcut.TEACHERS[errors])
        kept = [
            np.array_equal(one, other)
            for one, other in ((seen, right.train.features), (judged, right.test.features))
        ]
        assert kept == [given != "retrained", given == "true"], (errors, given)
