"""Ridge regression over several penalties at the cost of one, from sums over stars.

On standardised features X and a centred label y the coefficients for a penalty alpha are

    w = (X'X + alpha I)^-1 X'y    (Hoerl & Kennard 1970, Technometrics 12, 55);

X'X, which takes nearly all the time where stars outnumber features, is the same for each alpha.
It is summed over blocks of stars in one pass (`Sums`), so that features may be a memory map, or
spectra that get their noise when they are read: memory depends on the features alone. Without
some of the stars it is the sum less theirs, which gives predictions of stars by fits that have not
seen them; a larger sample is the sum of a smaller one and the rest; workers each sum their own
stars. Where features outnumber stars and all are at hand, X X' takes its place.

One Cholesky decomposition per penalty solves them: an eigendecomposition of X'X would do for all
penalties, but takes the time of dozens (`bench/ridge.py`). Ridge regression on principal
components, w = V (L + alpha I)^-1 V'X'y with X centred only, takes that of the leading ones
(`Sums.principal`), once for any number of them.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

ALPHAS = (1e-3, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5)
CHOOSING = 3  # folds that a penalty is chosen by
_BLOCK = 2048

Solution = tuple[float, np.ndarray, float]  # penalty, coefficients (f,) and intercept


class Rows(Protocol):
    """Features (n, f) that are read a few rows at a time: an array, a memory map or the like."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> np.ndarray: ...


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
        y = np.asarray(y, dtype=np.float64)
        if len(x) < x.shape[1]:
            solutions = _by_stars(x, y, self.alphas)
        else:
            solutions = Sums.of(x, y).solutions(self.alphas)
        return self.choose(solutions, x_valid, y_valid)

    def choose(
        self, solutions: Iterable[Solution], x_valid: np.ndarray, y_valid: np.ndarray
    ) -> SweptRidge:
        """Keep that of several fits which has the smallest square error on validation stars.

        Args:
            solutions: of `Sums` or `Principal`, one per penalty.
            x_valid: (m, f).
            y_valid: (m,).
        """
        best = np.inf
        for alpha, weights, intercept in solutions:
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
    there than it keeps elsewhere. The penalty is the one that does best out of the first folds.

    Args:
        alphas: penalties that are tried, on the scale of summed squares.
        folds: parts of the training stars, in the order in which they come; with many, the ridges
            that score training stars have seen nearly as many stars as the one that scores others.

    Attributes:
        alpha_: the penalty that was chosen.
        coef_: (f,) coefficients of the features as they come, of the fit to all training stars.
        scale_: (f,) deviations of the features; coef_ * scale_ weighs standardised ones.
        intercept_: of the label, in its unit.
        apart_: the ridges that have not seen a fold: its rows, coefficients and intercept.
        seconds_: that the fit took.
    """

    def __init__(self, alphas: Sequence[float] = ALPHAS, folds: int = 9) -> None:
        self.alphas = alphas
        self.folds = folds

    def fit(self, x: np.ndarray, y: np.ndarray) -> RidgeScore:
        """Fit to training stars: features (n, f) and label (n,), one row per star."""
        self.fit_transform(x, y)
        return self

    def fit_transform(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The same, and the feature (n, 1) of these stars, out of fold."""
        started, y = time.perf_counter(), np.asarray(y, dtype=np.float64)
        edges = np.linspace(0, len(x), self.folds + 1).astype(int)
        folds = [slice(*ends) for ends in zip(edges, edges[1:], strict=False)]
        sums, parts = None, []
        if len(x) >= x.shape[1]:
            origin = near_mean(x)
            parts = [Sums.of(x[fold], y[fold], origin) for fold in folds]
            sums = sum(parts[1:], parts[0])
        self.scale_ = sums.scale() if sums is not None else _scale(x)

        def apart(number: int, alphas: Sequence[float]) -> Iterable[Solution]:
            """Ridges that have not seen a fold."""
            if sums is not None:
                return (sums - parts[number]).solutions(alphas, self.scale_)
            kept = np.r_[: folds[number].start, folds[number].stop : len(x)]
            return _by_stars(x[kept], y[kept], alphas, self.scale_)

        missed = dict.fromkeys(self.alphas, 0.0)
        for number, fold in enumerate(folds[:CHOOSING]):
            for alpha, *ridge in apart(number, self.alphas):
                missed[alpha] += np.square(_predict(x[fold], *ridge) - y[fold]).sum()
        self.alpha_ = min(missed, key=missed.get)
        self.apart_ = [
            (fold, *ridge)
            for number, fold in enumerate(folds)
            for _, *ridge in apart(number, [self.alpha_])
        ]
        if sums is not None:
            found = sums.solutions([self.alpha_], self.scale_)
        else:
            found = _by_stars(x, y, [self.alpha_], self.scale_)
        _, self.coef_, self.intercept_ = next(iter(found))
        told = self.transform_again(x)
        self.seconds_ = time.perf_counter() - started
        return told

    def transform_again(self, x: np.ndarray) -> np.ndarray:
        """The feature (n, 1) of the training stars in another draw of their noise, out of fold.

        Args:
            x: (n, f), in the order in which they came.
        """
        return np.concatenate([_predict(x[rows], *ridge) for rows, *ridge in self.apart_])[:, None]

    def transform(self, x: np.ndarray) -> np.ndarray:
        """The feature (n, 1) of other stars (n, f)."""
        return self.predict(x)[:, None]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The label (n,) of other stars (n, f), float64."""
        return _predict(x, self.coef_, self.intercept_)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over stars of x, y, x x' and x y, with x measured from an origin; they add, subtract.

    Args:
        origin: (f,) near the mean of the features, else their variances lose digits.
        stars: their number.
        x: (f,).
        y: sum of the label.
        xx: (f, f).
        xy: (f,).
    """

    origin: np.ndarray
    stars: int
    x: np.ndarray
    y: float
    xx: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, x: Rows, y: np.ndarray, origin: np.ndarray | None = None) -> Sums:
        """Those of features x (n, f), read once, block by block.

        Args:
            x: (n, f), an array or what is read like one.
            y: (n,) label.
            origin: (f,) that of the sums which these are to be added to; `near_mean` by default.
        """
        origin = near_mean(x) if origin is None else origin
        width, start = len(origin), 0
        total, xx, xy = np.zeros(width), np.zeros((width, width)), np.zeros(width)
        for block in _blocks(x):
            block -= origin
            total += block.sum(axis=0)
            xx += block.T @ block
            xy += block.T @ y[start : start + len(block)]
            start += len(block)
        return cls(origin, start, total, float(np.sum(y)), xx, xy)

    def __add__(self, other: Sums) -> Sums:
        return self._combine(operator.add, other)

    def __sub__(self, other: Sums) -> Sums:
        return self._combine(operator.sub, other)

    def scale(self) -> np.ndarray:
        """Deviations (f,) of the features; 1 where a feature never changes."""
        variance = self.xx.diagonal() / self.stars - (self.x / self.stars) ** 2
        return _scale_of(variance, self.origin)

    def solutions(
        self, alphas: Sequence[float], scale: np.ndarray | None = None
    ) -> Iterator[Solution]:
        """Ridge regression on standardised features.

        Args:
            alphas: penalties, on the scale of summed squares.
            scale: (f,) deviations that features are divided by; `scale()` by default.

        Yields:
            each penalty with the coefficients (f,) of the features as they come, and intercept.
        """
        scale = self.scale() if scale is None else scale
        gram, moment = self._centred()
        gram /= scale
        gram /= scale[:, None]
        moment /= scale
        diagonal = gram.diagonal().copy()
        mean, label = self._means()
        for alpha in alphas:
            np.fill_diagonal(gram, diagonal + alpha)
            weights = cho_solve(cho_factor(gram), moment) / scale
            yield alpha, weights, float(label - mean @ weights)

    def principal(self, count: int) -> Principal:
        """The leading principal components of the standardised features.

        Of features as they come, those that scatter most would lead: in spectra the pixels of the
        brightest sky lines.

        Args:
            count: of components, at most as many as features.
        """
        scale = self.scale()
        gram, moment = self._centred()
        gram /= scale
        gram /= scale[:, None]
        last = len(gram) - 1
        leading = [last + 1 - count, last]
        squares, axes = eigh(gram, subset_by_index=leading, overwrite_a=True)
        axes = axes[:, ::-1] / scale[:, None]
        squares = np.maximum(squares[::-1], 0)  # stars may be fewer than components
        return Principal(squares, axes, moment @ axes, *self._means())

    def _centred(self) -> tuple[np.ndarray, np.ndarray]:
        """X'X (f, f) and X'y (f,) of features and label less their means."""
        centre = self.x / self.stars
        return self.xx - np.outer(self.x, centre), self.xy - centre * self.y

    def _means(self) -> tuple[np.ndarray, float]:
        """Those of the features as they come (f,), and of the label."""
        return self.origin + self.x / self.stars, self.y / self.stars

    def _combine(self, operation: Callable, other: Sums) -> Sums:
        if not np.array_equal(self.origin, other.origin):
            raise ValueError("sums from different origins")
        return Sums(
            self.origin, *(operation(*(getattr(s, n) for s in (self, other))) for n in _SUMMED)
        )


_SUMMED = tuple(name for name in Sums.__dataclass_fields__ if name != "origin")


@dataclass(frozen=True, eq=False)
class Principal:
    """Leading principal components of stars, with what ridge regression on them needs.

    Args:
        squares: (k,) sum over stars of the squared component, the largest first.
        axes: (f, k) what the centred features, as they come, are multiplied by: orthonormal
            directions of the standardised ones, over their deviations.
        moment: (k,) sum over stars of component times centred label.
        mean: (f,) of the features.
        label: its mean.
    """

    squares: np.ndarray
    axes: np.ndarray
    moment: np.ndarray
    mean: np.ndarray
    label: float

    def solutions(self, count: int, alphas: Sequence[float]) -> Iterator[Solution]:
        """Ridge regression on the first components, which are not standardised.

        Args:
            count: of components that take part.
            alphas: penalties, on the scale of `squares`.

        Yields:
            each penalty with the coefficients (f,) of the features as they come, and intercept.
        """
        for alpha in alphas:
            found = self.moment[:count] / (self.squares[:count] + alpha)
            weights = self.axes[:, :count] @ found
            yield alpha, weights, float(self.label - self.mean @ weights)


def memory(features: int) -> int:
    """Bytes that sums and the fits to them take at most, however many stars there are.

    Five arrays (f, f): the sums, those that are added and their last block, or the sums, what is
    decomposed and its decomposition.
    """
    return 5 * 8 * features**2


def near_mean(x: Rows) -> np.ndarray:
    """The mean (f,) of the first stars: an origin for sums."""
    return next(_blocks(x)).mean(axis=0)


def _by_stars(
    x: np.ndarray, y: np.ndarray, alphas: Sequence[float], scale: np.ndarray | None = None
) -> Iterator[Solution]:
    """The same where features outnumber stars, w = X' (X X' + alpha I)^-1 y."""
    scale = _scale(x) if scale is None else scale
    x = np.asarray(x, dtype=np.float64)
    mean = x.mean(axis=0)
    z = (x - mean) / scale
    gram = z @ z.T
    diagonal = gram.diagonal().copy()
    for alpha in alphas:
        np.fill_diagonal(gram, diagonal + alpha)
        weights = z.T @ cho_solve(cho_factor(gram), y - y.mean()) / scale
        yield alpha, weights, float(y.mean() - mean @ weights)


def _scale(x: np.ndarray) -> np.ndarray:
    """Deviations (f,) of features that are at hand; 1 where a feature never changes."""
    return _scale_of(np.var(x, axis=0, dtype=np.float64), np.mean(x, axis=0, dtype=np.float64))


def _scale_of(variance: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Square roots of variances (f,), 1 where they are rounding errors of that level."""
    scale = np.sqrt(np.maximum(variance, 0))
    return np.where(scale > np.finfo(float).eps * np.abs(level), scale, 1.0)


def _predict(x: Rows, weights: np.ndarray, intercept: float) -> np.ndarray:
    return np.concatenate([block @ weights for block in _blocks(x)]) + intercept


def _blocks(x: Rows) -> Iterator[np.ndarray]:
    """Copies of the rows, in float64."""
    for start in range(0, len(x), _BLOCK):
        yield np.array(x[start : start + _BLOCK], dtype=np.float64)
