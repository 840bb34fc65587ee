"""Ridge over several penalties against scikit-learn's over one."""

import tracemalloc
from itertools import accumulate

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stargrav.models import ridge
from stargrav.models.ridge import RidgeScore, Sums, SweptRidge, near_mean


@pytest.fixture(scope="module")
def stars():
    """Correlated features of very different scales, one of them constant, in float32."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((700, 30)) @ rng.standard_normal((30, 30)) * np.logspace(-3, 2, 30) + 5
    x[:, 4] = 2.5
    y = x @ (rng.standard_normal(30) / x.std(0).clip(1e-9)) * (x.std(0).max() > 0)
    y = y - y.mean() + 3 * rng.standard_normal(700) + 40
    return x.astype(np.float32), y


@pytest.mark.parametrize("count", [700, 25])  # more stars than features, and fewer
@pytest.mark.parametrize("alpha", [1e-3, 10.0, 1e4])
def test_one_penalty_is_sklearns_ridge(stars, alpha, count, monkeypatch):
    monkeypatch.setattr(ridge, "_BLOCK", 128)  # several blocks, the last of them smaller
    x, y = stars[0][:count], stars[1][:count]
    known = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(x.astype(float), y)
    found = SweptRidge((alpha,)).fit(x, y, x[:9], y[:9])
    np.testing.assert_allclose(found.predict(x), known.predict(x.astype(float)), atol=1e-5)


def test_the_penalty_is_the_best_on_validation_stars(stars):
    x, y = stars
    rng = np.random.default_rng(5)
    x = np.hstack([x, rng.standard_normal((700, 250))])  # enough noise that a penalty is needed
    train, valid = slice(0, 320), slice(320, 700)
    alphas = (1e-3, 1.0, 30.0, 1e3, 1e5)
    found = SweptRidge(alphas).fit(x[train], y[train], x[valid], y[valid])
    missed = {}
    for alpha in alphas:
        one = SweptRidge((alpha,)).fit(x[train], y[train], x[valid], y[valid])
        missed[alpha] = np.mean((one.predict(x[valid]) - y[valid]) ** 2)
    assert found.alpha_ == min(missed, key=missed.get)
    assert found.alpha_ not in (alphas[0], alphas[-1])


@pytest.mark.parametrize("count", [700, 25])
@pytest.mark.parametrize("alpha", [1e-3, 10.0, 1e4])
def test_penalties_through_one_gram_matrix_agree_with_sklearn_to_a_millionth(
    alpha, count, monkeypatch
):
    monkeypatch.setattr(ridge, "_BLOCK", 128)
    rng = np.random.default_rng(7)
    x = rng.standard_normal((count, 60)) @ rng.standard_normal((60, 60)) + 3
    y = x[:, :9].sum(axis=1) + rng.standard_normal(count)
    scaled = StandardScaler().fit(x)
    known = Ridge(alpha=alpha, solver="svd").fit(scaled.transform(x), y)
    found = SweptRidge((alpha,)).fit(x, y, x[:9], y[:9])
    np.testing.assert_allclose(found.coef_ * scaled.scale_, known.coef_, rtol=1e-6, atol=1e-9)
    told = RidgeScore((alpha,)).fit(x, y)
    np.testing.assert_allclose(told.coef_, found.coef_, rtol=1e-9)
    np.testing.assert_allclose(told.intercept_, found.intercept_, rtol=1e-9)


@pytest.mark.parametrize("count", [700, 25])
def test_a_training_star_is_told_of_by_a_ridge_that_has_not_seen_it(stars, count):
    x, y = stars[0][:count].astype(float), stars[1][:count]
    score = RidgeScore((10.0,), folds=5)
    told = score.fit_transform(x, y)
    assert told.shape == (count, 1)
    scaled = StandardScaler().fit(x)
    for kept, out in KFold(5).split(x):
        known = Ridge(alpha=10.0).fit(scaled.transform(x[kept]), y[kept])
        expected = known.predict(scaled.transform(x[out]))
        np.testing.assert_allclose(told[out, 0], expected, rtol=1e-6)
    known = Ridge(alpha=10.0).fit(scaled.transform(x), y)
    np.testing.assert_allclose(score.transform(x)[:, 0], known.predict(scaled.transform(x)))


@pytest.mark.parametrize("count", [700, 25])
def test_in_other_noise_a_training_star_is_told_of_by_the_same_ridge(stars, count):
    x, y = stars[0][:count].astype(float), stars[1][:count]
    score = RidgeScore((10.0, 1e3), folds=4)
    told = score.fit_transform(x, y)
    np.testing.assert_allclose(score.transform_again(x), told, rtol=1e-9)
    noise = np.random.default_rng(2).standard_normal(x.shape)
    rows, weights, _ = score.apart_[1]
    moved = score.transform_again(x + noise)[rows, 0] - told[rows, 0]
    np.testing.assert_allclose(moved, noise[rows] @ weights, rtol=1e-6, atol=1e-9)


def test_a_label_of_pure_noise_is_not_told_out_of_fold():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((300, 250)), rng.standard_normal(300)
    score = RidgeScore((1e-6,))
    told = score.fit_transform(x, y)[:, 0]
    assert np.corrcoef(score.transform(x)[:, 0], y)[0, 1] > 0.8
    assert abs(np.corrcoef(told, y)[0, 1]) < 0.2


def test_the_penalty_of_a_score_is_the_best_out_of_fold(stars):
    x, y = stars
    x = np.hstack([x, np.random.default_rng(5).standard_normal((700, 250))])
    alphas = (1e-3, 1.0, 30.0, 1e3, 1e5)
    found = RidgeScore(alphas).fit(x, y)
    missed = {a: np.mean((RidgeScore((a,)).fit_transform(x, y)[:, 0] - y) ** 2) for a in alphas}
    assert found.alpha_ == min(missed, key=missed.get)


@pytest.mark.parametrize("alpha", [1e-3, 10.0, 1e4])
@pytest.mark.parametrize("count", [1, 7, 30])
def test_ridge_on_components_is_sklearns_pca_and_ridge(alpha, count, monkeypatch):
    monkeypatch.setattr(ridge, "_BLOCK", 128)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((700, 30)) * np.logspace(1, -1, 30)  # components of clear order
    x = x @ np.linalg.qr(rng.standard_normal((30, 30)))[0] * np.linspace(1, 5, 30) + 3
    y = x @ rng.standard_normal(30) + rng.standard_normal(700)
    known = make_pipeline(StandardScaler(), PCA(count), Ridge(alpha=alpha)).fit(x, y)
    (solution,) = Sums.of(x, y).principal(30).solutions(count, [alpha])
    _, weights, intercept = solution
    np.testing.assert_allclose(x @ weights + intercept, known.predict(x), rtol=1e-6, atol=1e-8)


def test_sums_of_a_larger_sample_are_those_of_the_smaller_and_of_the_rest(stars, monkeypatch):
    monkeypatch.setattr(ridge, "_BLOCK", 64)
    x, y = stars
    origin, parts = near_mean(x), [slice(0, 50), slice(50, 300), slice(300, 700)]
    growing = list(accumulate(Sums.of(x[part], y[part], origin) for part in parts))
    assert [sums.stars for sums in growing] == [50, 300, 700]
    for sums in growing:
        seen = slice(0, sums.stars)
        (grown,), (whole,) = (each.solutions([10.0]) for each in (sums, Sums.of(x[seen], y[seen])))
        np.testing.assert_allclose(grown[1], whole[1], rtol=1e-9, atol=1e-12)
        assert grown[2] == pytest.approx(whole[2], rel=1e-9)


def test_sums_from_different_origins_do_not_add(stars):
    x, y = stars
    with pytest.raises(ValueError, match="origin"):
        Sums.of(x[:99], y[:99]) + Sums.of(x[99:], y[99:])


@pytest.mark.parametrize("level", [0.1, 1e3])
def test_a_feature_that_never_changes_has_no_weight(stars, level):
    """0.1 is no binary fraction: its mean over stars differs from it in the last digit."""
    x, y = stars[0].astype(float), stars[1]
    x[:, 4] = level
    (solution,) = Sums.of(x, y).solutions([1e-3])
    assert abs(solution[1][4] * level) < 1e-6


def test_each_star_is_read_once():
    """Spectra may be memory maps, and have their noise drawn when they are read."""
    rng = np.random.default_rng(0)
    values, read = rng.standard_normal((5000, 3)), []

    class Rows:
        def __len__(self):
            return len(values)

        def __getitem__(self, rows):
            read.extend(range(*rows.indices(len(values))))
            return values[rows]

    Sums.of(Rows(), values[:, 0], origin=np.zeros(3))
    assert read == list(range(5000))


def test_spectra_are_not_held_a_second_time(monkeypatch):
    monkeypatch.setattr(ridge, "_BLOCK", 256)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40_000, 40), dtype=np.float32), rng.standard_normal(40_000)
    for fitted in (
        lambda: SweptRidge((1.0, 10.0)).fit(x, y, x[:99], y[:99]),
        lambda: RidgeScore((1.0, 10.0)).fit(x, y),
    ):
        tracemalloc.start()
        fitted()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 0.5 * x.nbytes
