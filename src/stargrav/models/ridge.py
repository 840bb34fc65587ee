"""Ridge regression over several penalties at the cost of one.

On standardised features X and a centred label y the coefficients for a penalty alpha are

    w = (X'X + alpha I)^-1 X'y    (Hoerl & Kennard 1970, Technometrics 12, 55);

X'X, which takes nearly all the time where stars outnumber features, is the same for each alpha.
It is summed over blocks of stars, so that features in float32 are never held twice. Where features
outnumber stars, X X' takes its place. The penalty is the one that does best on validation stars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator, RegressorMixin

ALPHAS = (1e-3, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5)
_BLOCK = 2048


class SweptRidge(RegressorMixin, BaseEstimator):
    """Ridge regression whose penalty is chosen on validation stars.

    Args:
        alphas: penalties that are tried, on the scale of summed squares.

    Attributes:
        alpha_: the penalty that was chosen.
        coef_: (f,) coefficients of the features as they come.
        intercept_: of the label, in its unit.
    """

    def __init__(self, alphas: Sequence[float] = ALPHAS) -> None:
        self.alphas = alphas

    def fit(
        self, x: np.ndarray, y: np.ndarray, x_valid: np.ndarray, y_valid: np.ndarray
    ) -> SweptRidge:
        """Fit each penalty and keep the one of the smallest square error on validation stars.

        Args:
            x: (n, f) features of the training stars.
            y: (n,) their label.
            x_valid: (m, f).
            y_valid: (m,).
        """
        mean = np.mean(x, axis=0, dtype=np.float64)
        scale = np.sqrt(sum(((block - mean) ** 2).sum(axis=0) for block in _blocks(x)) / len(x))
        scale = np.where(scale > 0, scale, 1.0)
        centred = np.asarray(y, dtype=np.float64) - np.mean(y)
        solved = _by_features if len(x) >= x.shape[1] else _by_stars
        best = np.inf
        for alpha, weights in solved(x, mean, scale, centred, self.alphas):
            intercept = float(np.mean(y) - mean @ weights)
            missed = float(np.mean((y_valid - self._predict(x_valid, weights, intercept)) ** 2))
            if missed < best:
                best, self.alpha_ = missed, alpha
                self.coef_, self.intercept_ = weights, intercept
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The label (n,) of features (n, f), float64."""
        return self._predict(x, self.coef_, self.intercept_)

    @staticmethod
    def _predict(x: np.ndarray, weights: np.ndarray, intercept: float) -> np.ndarray:
        return np.concatenate([block @ weights for block in _blocks(x)]) + intercept


def _by_features(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, y: np.ndarray, alphas: Sequence[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """Each penalty with the coefficients (f,) of the features as they come."""
    gram = np.zeros((x.shape[1], x.shape[1]))
    moment = np.zeros(x.shape[1])
    start = 0
    for block in _blocks(x):
        z = (block - mean) / scale
        gram += z.T @ z
        moment += z.T @ y[start : start + len(z)]
        start += len(z)
    for alpha in alphas:
        shifted = gram + alpha * np.eye(len(gram))
        yield alpha, cho_solve(cho_factor(shifted, overwrite_a=True), moment) / scale


def _by_stars(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, y: np.ndarray, alphas: Sequence[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """The same where features outnumber stars, w = X' (X X' + alpha I)^-1 y."""
    z = (np.asarray(x, dtype=np.float64) - mean) / scale
    gram = z @ z.T
    for alpha in alphas:
        shifted = gram + alpha * np.eye(len(gram))
        yield alpha, z.T @ cho_solve(cho_factor(shifted, overwrite_a=True), y) / scale


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _BLOCK):
        yield np.asarray(x[start : start + _BLOCK], dtype=np.float64)
