"""How far predicted labels lie from the true ones.

    R2   = 1 - sum (y - p)^2 / sum (y - <y>)^2     fraction of the variance that is predicted
    MAE  = <|y - p|>
    RMSE = sqrt <(y - p)^2>

Each takes optional weights, the counts of a bootstrap resample, in which sums and means are
weighted; <y> is then the mean of the resample.
"""

from __future__ import annotations

import numpy as np

from stargrav.metrics.estimate import Estimate, bootstrap


def r2(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Coefficient of determination.

    Args:
        truth: (n,) true label.
        prediction: (n,) predicted label, same unit.
        weights: (m, n) counts of each star in m resamples; once each if left out.

    Returns:
        A number, or (m,). Where all true values of a resample are equal, R2 has no meaning: NaN.
    """
    weights = np.ones(len(truth)) if weights is None else weights
    total = weights.sum(axis=-1)
    centred = truth - truth.mean()  # shifts the sums below away from cancellation
    residual = weights @ (truth - prediction) ** 2
    spread = weights @ centred**2 - (weights @ centred) ** 2 / total
    spread = np.where(spread > 1e-12 * total, spread, np.nan)
    return 1.0 - residual / spread


def mae(
    truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean absolute error; arguments as for `r2`, result in the label's unit."""
    weights = np.ones(len(truth)) if weights is None else weights
    return weights @ np.abs(truth - prediction) / weights.sum(axis=-1)


def rmse(
    truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Root mean square error; arguments as for `r2`, result in the label's unit."""
    weights = np.ones(len(truth)) if weights is None else weights
    return np.sqrt(weights @ (truth - prediction) ** 2 / weights.sum(axis=-1))


SCORES = {"r2": r2, "mae": mae, "rmse": rmse}


def regression_scores(truth: np.ndarray, prediction: np.ndarray, seed: int) -> dict[str, Estimate]:
    """R2, MAE and RMSE with bootstrap replicates over the stars.

    Args:
        truth: (n,) true label.
        prediction: (n,) predicted label, same unit.
        seed: of the resamples; equal for models that are to be compared in pairs.

    Raises:
        ValueError: a value is not finite, or all true values are equal.
    """
    if np.ptp(truth) == 0:
        raise ValueError(f"R2 needs different true values, all {len(truth)} are {truth[0]}")
    return {name: bootstrap(score, truth, prediction, seed=seed) for name, score in SCORES.items()}
