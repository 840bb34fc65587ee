"""Gradient-boosted trees of more spectra than memory holds (LightGBM, Ke et al. 2017).

LightGBM needs of each feature of each star only the number of its bin, one byte. Bin edges are
quantiles of a sample of stars; all stars are then read once, some rows at a time (`Rows`), put
into their bins and forgotten. The trees are those of LightGBM on the same features in memory.
"""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

from stargrav.models.ridge import Rows

BIN_SAMPLE = 10_000  # stars that bin edges are taken from: 39 for each of 255 bins
BATCH = 1024  # stars that are read at a time


def settings(leaves: int, rate: float, share: float, seed: int) -> dict[str, Any]:
    """Parameters of LightGBM, by the names that both its interfaces know.

    Args:
        leaves: of each tree.
        rate: at which trees are learnt.
        share: of the features that a tree chooses from.
        seed: of that choice and of the bins.
    """
    return {
        "objective": "regression",
        "num_leaves": leaves,
        "learning_rate": rate,
        "colsample_bytree": share,
        "subsample_for_bin": BIN_SAMPLE,
        "random_state": seed,
        "data_random_seed": seed,  # of the bins; read in batches, they do not know the other
        "deterministic": True,
        "force_col_wise": True,  # row-wise, all bins would be held a second time
        "n_jobs": 0,  # as OpenMP says, so that OMP_NUM_THREADS holds
        "verbose": -1,
    }


def boost(x: Rows, y: np.ndarray, trees: int, **given: Any) -> lightgbm.Booster:
    """Fit trees to features that are read in batches.

    Args:
        x: (n, f) features.
        y: (n,) label.
        trees: boosting rounds.
        given: see `settings`.
    """
    parameters = settings(**given)
    binned = lightgbm.Dataset(_Batches(x), np.asarray(y, dtype=np.float32), params=parameters)
    return lightgbm.train(parameters, binned, num_boost_round=trees)


def memory(stars: int, features: int) -> int:
    """Bytes that a fit takes: a bin for each number, and three copies of the sample in float64."""
    return stars * features + 3 * 8 * min(stars, BIN_SAMPLE) * features


class _Batches(lightgbm.Sequence):
    """Features as LightGBM reads them: single rows for the bins, then batch after batch."""

    batch_size = BATCH

    def __init__(self, x: Rows) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: int | slice | list[int]) -> np.ndarray:
        found = self.x[rows]
        return found.astype(np.float64) if found.ndim == 1 else found  # bins are found in float64
