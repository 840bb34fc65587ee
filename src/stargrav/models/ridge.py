"""Ridge regression over several penalties at the cost of one.

On standardised features X and a centred label y the coefficients for a penalty alpha are

    w = (X'X + alpha I)^-1 X'y    (Hoerl & Kennard 1970, Technometrics 12, 55);

X'X, which takes nearly all the time where stars outnumber features, is the same for each alpha.
It is summed over blocks of stars, so that features in float32 are never held twice; without some
of the stars it is the sum less theirs, which gives predictions of stars by fits that have not seen
them. Where features outnumber stars, X X' takes its place.

One Cholesky decomposition per penalty solves them: an eigendecomposition of X'X would do for all
penalties, but takes the time of dozens (`bench/ridge.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

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
        best = np.inf
        for alpha, weights, intercept in _solutions(x, y, *_scaling(x), self.alphas):
            missed = float(np.mean((y_valid - _predict(x_valid, weights, intercept)) ** 2))
            if missed < best:
                best, self.alpha_ = missed, alpha
                self.coef_, self.intercept_ = weights, intercept
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The label (n,) of features (n, f), float64."""
        return _predict(x, self.coef_, self.intercept_)


class RidgeScore(TransformerMixin, BaseEstimator):
    """What a ridge says of a label, as one feature of the stars.

    Of the training stars it is what ridges say that were fitted to the others (out of fold, as
    in stacked generalisation, Wolpert 1992, Neural Networks 5, 241), else it would promise more
    there than it keeps elsewhere. The penalty is the one that does best out of fold.

    Args:
        alphas: penalties that are tried, on the scale of summed squares.
        folds: parts of the training stars, in the order in which they come.

    Attributes:
        alpha_: the penalty that was chosen.
        coef_: (f,) coefficients of the features as they come, of the fit to all training stars.
        scale_: (f,) deviations of the features; coef_ * scale_ weighs standardised ones.
        intercept_: of the label, in its unit.
    """

    def __init__(self, alphas: Sequence[float] = ALPHAS, folds: int = 3) -> None:
        self.alphas = alphas
        self.folds = folds

    def fit(self, x: np.ndarray, y: np.ndarray) -> RidgeScore:
        """Fit to training stars: features (n, f) and label (n,), one row per star."""
        self.fit_transform(x, y)
        return self

    def fit_transform(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The same, and the feature (n, 1) of these stars, out of fold."""
        y = np.asarray(y, dtype=np.float64)
        scaling = _scaling(x)
        edges = np.linspace(0, len(x), self.folds + 1).astype(int)
        folds = [slice(*ends) for ends in zip(edges, edges[1:], strict=False)]
        self.scale_ = scaling[1]
        told = {alpha: np.empty(len(x)) for alpha in self.alphas}
        sums = None
        if len(x) >= x.shape[1]:
            parts = [_Sums.of(x[fold], y[fold], *scaling) for fold in folds]
            sums = sum(parts[1:], parts[0])
        for number, fold in enumerate(folds):
            if sums is not None:
                found = (sums - parts[number]).solutions(*scaling, self.alphas)
            else:
                kept = np.r_[: fold.start, fold.stop : len(x)]
                found = _by_stars(x[kept], y[kept], *scaling, self.alphas)
            for alpha, weights, intercept in found:
                told[alpha][fold] = _predict(x[fold], weights, intercept)
        self.alpha_ = min(told, key=lambda alpha: np.mean((told[alpha] - y) ** 2))
        if sums is not None:
            found = sums.solutions(*scaling, [self.alpha_])
        else:
            found = _by_stars(x, y, *scaling, [self.alpha_])
        _, self.coef_, self.intercept_ = next(iter(found))
        return told[self.alpha_][:, None]

    def transform(self, x: np.ndarray) -> np.ndarray:
        """The feature (n, 1) of other stars (n, f)."""
        return _predict(x, self.coef_, self.intercept_)[:, None]


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over stars of z, y, z z' and z y, with z standardised features; they add and subtract.

    Args:
        stars: their number.
        z: (f,).
        y: sum of the label.
        zz: (f, f).
        zy: (f,).
    """

    stars: int
    z: np.ndarray
    y: float
    zz: np.ndarray
    zy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> _Sums:
        """Those of features x (n, f), block by block."""
        width, start = x.shape[1], 0
        z_sum, zz, zy = np.zeros(width), np.zeros((width, width)), np.zeros(width)
        for block in _blocks(x):
            z = (block - mean) / scale
            z_sum += z.sum(axis=0)
            zz += z.T @ z
            zy += z.T @ y[start : start + len(z)]
            start += len(z)
        return cls(len(x), z_sum, float(np.sum(y)), zz, zy)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, name) - getattr(other, name) for name in _FIELDS))

    def solutions(
        self, mean: np.ndarray, scale: np.ndarray, alphas: Sequence[float]
    ) -> Iterator[tuple[float, np.ndarray, float]]:
        """Each penalty with the coefficients (f,) of the features as they come, and intercept."""
        centre = self.z / self.stars
        gram = self.zz - np.outer(self.z, centre)
        moment = self.zy - centre * self.y
        diagonal = gram.diagonal().copy()
        for alpha in alphas:
            np.fill_diagonal(gram, diagonal + alpha)
            weights = cho_solve(cho_factor(gram), moment)
            intercept = self.y / self.stars - (centre + mean / scale) @ weights
            yield alpha, weights / scale, float(intercept)


_FIELDS = tuple(_Sums.__dataclass_fields__)


def _solutions(
    x: np.ndarray, y: np.ndarray, mean: np.ndarray, scale: np.ndarray, alphas: Sequence[float]
) -> Iterator[tuple[float, np.ndarray, float]]:
    """Each penalty with coefficients and intercept, by the smaller of the two matrices."""
    y = np.asarray(y, dtype=np.float64)
    if len(x) < x.shape[1]:
        return _by_stars(x, y, mean, scale, alphas)
    return _Sums.of(x, y, mean, scale).solutions(mean, scale, alphas)


def _by_stars(
    x: np.ndarray, y: np.ndarray, mean: np.ndarray, scale: np.ndarray, alphas: Sequence[float]
) -> Iterator[tuple[float, np.ndarray, float]]:
    """The same where features outnumber stars, w = X' (X X' + alpha I)^-1 y."""
    z = (np.asarray(x, dtype=np.float64) - mean) / scale
    centre = z.mean(axis=0)
    z -= centre
    gram = z @ z.T
    diagonal = gram.diagonal().copy()
    for alpha in alphas:
        np.fill_diagonal(gram, diagonal + alpha)
        weights = z.T @ cho_solve(cho_factor(gram), y - y.mean())
        intercept = y.mean() - (centre + mean / scale) @ weights
        yield alpha, weights / scale, float(intercept)


def _scaling(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (f,) of features; 1 where a feature never changes."""
    mean = np.mean(x, axis=0, dtype=np.float64)
    scale = np.sqrt(sum(((block - mean) ** 2).sum(axis=0) for block in _blocks(x)) / len(x))
    return mean, np.where(scale > 0, scale, 1.0)


def _predict(x: np.ndarray, weights: np.ndarray, intercept: float) -> np.ndarray:
    return np.concatenate([block @ weights for block in _blocks(x)]) + intercept


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _BLOCK):
        yield np.asarray(x[start : start + _BLOCK], dtype=np.float64)
