"""How far predicted labels lie from the true ones.

    R2   = 1 - sum (y - p)^2 / sum (y - <y>)^2     fraction of the variance that is predicted
    MAE  = <|y - p|>
    RMSE = sqrt <(y - p)^2>

Each takes optional weights, the counts of a bootstrap resample, in which sums and means are
weighted; <y> is then the mean of the resample.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stargrav.metrics.calibration import average
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


def variance_share(
    truth: np.ndarray, residual: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Variance of what is left of a label over that of the label; arguments as for `r2`."""
    weights = np.ones(len(truth)) if weights is None else weights
    weights = weights / weights.sum(axis=-1, keepdims=True)

    def variance(values: np.ndarray) -> np.ndarray:
        centred = values - values.mean()  # shifts the sums below away from cancellation
        return weights @ centred**2 - (weights @ centred) ** 2

    return variance(residual) / variance(truth)


def outlier_rate(
    truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Share of the stars whose prediction is off by more than .5 dex; arguments as for `r2`."""
    weights = np.ones(len(truth)) if weights is None else weights
    return weights @ (np.abs(truth - prediction) > OUTLIER) / weights.sum(axis=-1)


def map_bias(
    truth: np.ndarray, prediction: np.ndarray, cell: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Root mean square, over cells of a map, of the mean error of the stars in a cell.

    Its square is the mean product of the errors of two different stars of a cell, so that chance
    adds nothing to it: the square of a mean would contain the scatter of the stars over their
    number. Copies of one star in a resample are no two stars. Where chance makes it negative, 0.

    Args:
        truth: (n,) true label.
        prediction: (n,) predicted label, same unit.
        cell: (n,) number of the cell that each star lies in.
        weights: as for `r2`.
    """
    weights = np.ones(len(truth)) if weights is None else weights
    inside = (cell[:, None] == np.unique(cell)).astype(float)  # (n, cells)
    error = (prediction - truth)[:, None]
    stars = weights @ inside
    pairs = stars**2 - weights**2 @ inside
    products = (weights @ (inside * error)) ** 2 - weights**2 @ (inside * error**2)
    square = stars * products / np.where(pairs > 0, pairs, np.inf)
    return np.sqrt(np.maximum(square.sum(axis=-1), 0.0) / stars.sum(axis=-1))


def map_cells(x: np.ndarray, y: np.ndarray, parts: int = 4) -> np.ndarray:
    """(n,) cells of a map of two labels (n,), each cut into parts of as many stars."""
    numbers = [
        np.searchsorted(np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1]), values)
        for values in (x, y)
    ]
    return numbers[0] * parts + numbers[1]


OUTLIER = 0.5  # dex
UNBOUNDED = 1e6  # dex: stands for an infinite bound
SCORES = {"r2": r2, "mae": mae, "rmse": rmse}


def error_ratio(
    truth: np.ndarray, prediction: np.ndarray, sigma: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean absolute error over that of Gaussian errors as wide as the bounds.

    The Cramer-Rao bound of a faint star is wider than the range of the label; with the prior of
    variance V the bound is 1 / (1 / sigma^2 + 1 / V) (Van Trees 1968), V being that of all stars.

    Args:
        truth: (n,) true label.
        prediction: (n,) predicted label, same unit.
        sigma: (n,) standard deviation of the Cramer-Rao bound of each star, same unit.
        weights: as for `r2`.
    """
    weights = np.ones(len(truth)) if weights is None else weights
    bound = 1 / np.sqrt(1 / sigma**2 + 1 / np.var(truth))
    return weights @ np.abs(truth - prediction) / (weights @ bound * np.sqrt(2 / np.pi))


def limit_scores(
    truth: np.ndarray, prediction: np.ndarray, limits: pd.DataFrame, seed: int
) -> dict[str, Estimate]:
    """How close predictions of log g come to what the flux can tell at most.

    `efficiency` is R2 / R2_Bayes, with R2_Bayes that of the exact posterior mean of the same noisy
    spectra; a model that reads more than the flux, such as a noiseless error array, can pass 1.
    `fisher_ratio` is `error_ratio`.

    Args:
        truth: (n,) true log g.
        prediction: (n,) predicted log g.
        limits: (n rows) as `inference.limits` describes.
        seed: of the resamples.

    Returns:
        those of the two that the columns of `limits` allow, and that are finite.
    """
    found = {}
    if "mean_log_g" in limits:
        best = bootstrap(r2, truth, limits["mean_log_g"].to_numpy(), seed=seed)
        found["efficiency"] = bootstrap(r2, truth, prediction, seed=seed) / best
    if "sigma_fisher_log_g" in limits:
        sigma = np.minimum(limits["sigma_fisher_log_g"].to_numpy(), UNBOUNDED)
        found["fisher_ratio"] = bootstrap(error_ratio, truth, prediction, sigma, seed=seed)
    return {name: value for name, value in found.items() if np.isfinite(value.value)}


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


def slope(y: np.ndarray, x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Slope of the least-squares line of y against x.

    Args:
        y, x: (n,).
        weights: (m, n) counts of each star in m resamples; once each if left out.

    Returns:
        A number, or (m,), in units of y / x.
    """
    weights = np.ones(len(x)) if weights is None else weights
    y, x = y - y.mean(), x - x.mean()  # sums below do not cancel
    mean = average(x, weights)
    spread = average(x**2, weights) - mean**2
    return (average(y * x, weights) - average(y, weights) * mean) / spread
