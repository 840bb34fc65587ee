"""Trees of features that are read in batches against LightGBM's own in memory."""

import numpy as np
import pytest
from lightgbm import LGBMRegressor

from stargrav.models import trees

GIVEN = {"leaves": 9, "rate": 0.1, "share": 0.5, "seed": 3}


class Read:
    """Rows of an array, with the most that were asked for at once."""

    def __init__(self, values):
        self.values, self.most = values, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        found = self.values[rows]
        self.most = max(self.most, len(np.atleast_2d(found)))
        return found


@pytest.fixture(scope="module")
def stars():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 12)).astype(np.float32)
    x[:, 7] = np.where(x[:, 7] > 0, x[:, 7], 0)  # half of it zero, which LightGBM keeps apart
    return x, np.sin(3 * x[:, 0]) + x[:, 7] + 0.1 * rng.standard_normal(3000)


@pytest.mark.parametrize("sample", [700, 10_000])  # stars that bins are taken from: some, all
def test_trees_are_those_of_lightgbm_in_memory(stars, sample, monkeypatch):
    monkeypatch.setattr(trees, "BIN_SAMPLE", sample)
    monkeypatch.setattr(trees._Batches, "batch_size", 256)
    x, y = stars
    read = Read(x)
    found = trees.boost(read, y, trees=30, **GIVEN)
    known = LGBMRegressor(n_estimators=30, **trees.settings(**GIVEN)).fit(x, y)
    assert _trees(found) == _trees(known.booster_)
    np.testing.assert_array_equal(found.predict(x), known.predict(x))
    assert read.most == 256
    assert np.mean((found.predict(x) - y) ** 2) < 0.2 * np.var(y)


def _trees(booster):
    """What a model says of its trees: features, thresholds, leaves."""
    text = booster.model_to_string()
    return text[text.index("Tree=0") : text.index("end of trees")]
