"""Ridge over several penalties against scikit-learn's over one."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stargrav.models import ridge
from stargrav.models.ridge import SweptRidge


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
