"""Scaling: one pass over growing samples, and many workers, change nothing in what is fitted."""

from collections import namedtuple

import numpy as np
import psutil
import pytest
from distributed import LocalCluster
from lightgbm import LGBMRegressor
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stargrav.errors import InputError
from stargrav.experiments import scaling
from stargrav.experiments.steps import Bench, bench, spectra, training_sizes
from stargrav.metrics.estimate import Estimate
from stargrav.models import trees
from stargrav.models.ridge import SweptRidge

SIZES, LABELS = (150, 300, 10_000), ("150", "300", "all")
GIVEN = {"sizes": SIZES, "components": (4, 12, 500), "rounds": 10}


@pytest.fixture(scope="module")
def measured(inputs):
    with bench(Bench(inputs, 7)):
        return scaling.scaling.function(**GIVEN)


@pytest.fixture(scope="module")
def held(inputs):
    """Pixels of the samples in memory."""
    with bench(Bench(inputs, 7)):
        flux = spectra("flux")
        return flux, training_sizes(flux.train, SIZES)


def fitted(table, model, size):
    return table.case(f"{model},{size}").score.model.estimator


def test_each_size_is_fitted_as_if_alone(measured, held):
    flux, samples = held
    x, y = flux.valid.features[0], flux.valid.stars["log_g"]
    assert list(samples) == list(LABELS)
    assert [case.score.columns["n_train"] for case in measured.cases[:3]] == [150, 300, 400]
    for size, sample in samples.items():
        seen = sample.rows(), sample.label("log_g")
        alone = SweptRidge(scaling.ALPHAS).fit(*seen, x, y)
        found = fitted(measured, "ridge", size)
        assert found.alpha_ == alone.alpha_
        np.testing.assert_allclose(found.predict(x), alone.predict(x), atol=1e-6)
        for count in (4, 12):
            found = fitted(measured, f"pca{count}", size)
            model = make_pipeline(
                StandardScaler(), PCA(count, svd_solver="full"), Ridge(alpha=found.alpha_)
            )
            model.fit(seen[0].astype(float), seen[1])
            np.testing.assert_allclose(found.predict(x), model.predict(x), atol=1e-6)
        settings = trees.settings(leaves=31, rate=0.05, share=1.0, seed=7)
        alone = LGBMRegressor(n_estimators=10, **settings).fit(*seen)
        found = fitted(measured, "lightgbm", size).predict(x)
        np.testing.assert_allclose(found, alone.predict(x), rtol=1e-9)


def test_more_components_than_pixels_are_left_out(measured):
    models = {case.labels["model"] for case in measured.cases}
    assert models == {"ridge", "pca4", "pca12", "lightgbm", "vit", "plain"}


def test_what_more_stars_add_counts_from_the_smallest_sample(measured):
    for model in ("ridge", "lightgbm"):
        found = [measured.case(f"{model},{size}").score.metrics for size in LABELS]
        first, *_, last = (metrics["r2"] for metrics in found)
        for metrics in found:
            np.testing.assert_array_equal(metrics["gain"].draws, last.draws - first.draws)
        assert found[0]["left"].value == found[0]["gain"].value
        assert found[-1]["left"].value == 0


def test_more_stars_may_fail_to_raise_what_is_read():
    less = Estimate(-0.01, np.full(100, -0.01))
    for criterion in scaling.scaling.accept[:2]:
        metrics = dict.fromkeys(criterion.metrics(), less)
        assert criterion.judge(metrics).verdict == "fail"


def test_a_larger_sample_has_the_smaller_one_in_it_and_no_star_is_read_twice(held):
    _, samples = held
    read = [part.index for part in scaling._additions(samples.values())]
    assert [len(rows) for rows in read] == [150, 150, 100]
    assert len(np.unique(np.concatenate(read))) == 400
    for size, count in zip(LABELS, (1, 2, 3), strict=True):
        assert set(np.concatenate(read[:count])) == set(samples[size].index)


def test_the_workers_of_a_scheduler_find_the_same(measured, inputs):
    local = {"host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=2, threads_per_worker=1, **local) as running:
        running.wait_for_workers(2)
        with bench(Bench(inputs, 7)):
            table = scaling.scaling.function(**GIVEN, scheduler=running.scheduler_address)
    for size in LABELS:
        for model in ("ridge", "pca4", "pca12"):
            ours, theirs = (fitted(each, model, size) for each in (table, measured))
            assert ours.alpha_ == theirs.alpha_
            np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)
        ours, theirs = (
            each.case(f"lightgbm,{size}").score.metrics["r2"].value for each in (table, measured)
        )
        assert ours == pytest.approx(theirs, abs=0.05)


def test_what_does_not_fit_is_refused_before_anything_is_fitted(inputs, monkeypatch):
    memory = namedtuple("Memory", "available")(64 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(scaling, "_ridges", lambda *_: pytest.fail("begun"))
    monkeypatch.setattr(trees, "memory", lambda stars, pixels: stars * pixels * 2**10)
    with bench(Bench(inputs, 7)), pytest.raises(InputError, match="LightGBM on 400 stars of 256"):
        scaling.scaling.function(**GIVEN)


@pytest.mark.parametrize(
    ("r2", "enough"),
    [((0.1, 0.2, 0.3), 1000), ((0.1, 0.291, 0.3), 100), ((0.305, 0.3, 0.3), 10)],
)
def test_saturation_is_where_more_stars_are_worth_a_hundredth(r2, enough):
    numbers = (10, 100, 1000)
    curve = {n: Estimate(v, np.array([v, 0.3])) for n, v in zip(numbers, r2, strict=True)}
    found = scaling.saturation(curve)
    assert found.value == enough
    assert list(found.draws) == [enough, 10]
