"""What is particular to the shortcut experiments."""

import numpy as np
import pytest

from stargrav.experiments import shortcut, steps
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import Bench, bench
from stargrav.models.ridge import SweptRidge


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
    monkeypatch.setattr(shortcut, "SweptRidge", lambda alphas=(1e-6,): SweptRidge(alphas))
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
    shortcut.label_shuffle.function(trees=2)
    true, *_, shuffled = fitted
    assert (true != shuffled).mean() > 0.95
    np.testing.assert_array_equal(np.sort(true), np.sort(shuffled))


def test_swapped_errors_are_those_of_other_stars_and_the_flux_stays():
    part = parts(tell=0.5).train
    swapped = shortcut._swapped(part, 0)
    flux, error = np.split(part.features, 2, axis=-1)
    same, other = np.split(swapped.features, 2, axis=-1)
    np.testing.assert_array_equal(flux, same)
    assert (other != error).any(axis=-1).mean() > 0.95
    np.testing.assert_array_equal(np.sort(other, axis=1), np.sort(error, axis=1))
