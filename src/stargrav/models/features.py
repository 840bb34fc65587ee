"""Features: a few numbers that stand for a spectrum, each kind fitted on noisy training spectra.

A kind is a scikit-learn transformer: `fit_transform` takes pixels (n, p) and label (n,) of the
training stars and gives their features (n, k); `transform` those of other stars. Nothing else is
fitted, so that no clean, valid or test spectrum enters. Ridge's own feature is
`models.ridge.RidgeScore`; the leading principal components z = W (x - <x>) are scikit-learn's.

Components are meant to be taken of x = flux / error. The noise of x is white, so that it falls on
the orthonormal rows of W as it falls on pixels: z of a star with noise of level s is z of the
noise-free star plus s N(0, I_k), exactly, where the error itself does not depend on the noise. A
star's noise is thus drawn anew for the price of k numbers (`training.redrawn.FreshNoise`).
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA

from stargrav.errors import InputError
from stargrav.named_lines import LINES, strength, within

PERCENTILES = (10, 50, 90)


def components(count: int, seed: int) -> PCA:
    """The leading principal components of pixels, not yet fitted.

    Args:
        count: of components, at most that of pixels and of stars.
        seed: of the random projections that find them (Halko et al. 2011, SIAM Rev. 53, 217).
    """
    return PCA(count, svd_solver="randomized", random_state=seed)


class TopSegments(TransformerMixin, BaseEstimator):
    """Means over those segments of the spectrum to which a ridge gives the largest weights.

    Args:
        weights: (p,) of a ridge on standardised pixels, fitted to the training stars.
        count: segments that are kept.
        pixels: in a segment; what is left over at the red end belongs to none.
    """

    def __init__(self, weights: np.ndarray, count: int = 24, pixels: int = 16) -> None:
        self.weights = weights
        self.count = count
        self.pixels = pixels

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> TopSegments:
        """Choose the segments by their summed absolute weights."""
        summed = self._segments(np.abs(self.weights)[None]).sum(axis=-1)[0]
        self.chosen_ = np.sort(np.argsort(-summed, kind="stable")[: self.count])
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Pixels (n, p) -> (n, count) means, from blue to red."""
        return self._segments(x)[:, self.chosen_].mean(axis=-1)

    def _segments(self, x: np.ndarray) -> np.ndarray:
        whole = x.shape[1] // self.pixels
        return x[:, : whole * self.pixels].reshape(len(x), whole, self.pixels)


class Statistics(TransformerMixin, BaseEstimator):
    """Five statistics of the logarithm of the error: mean, deviation, three percentiles.

    With `noiseless` errors they are free of noise, as the error is.
    """

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> Statistics:
        """Nothing to fit."""
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Errors (n, p), positive -> (n, 5)."""
        x = np.log10(x)
        moments = [x.mean(axis=1), x.std(axis=1)]
        return np.stack([*moments, *np.percentile(x, PERCENTILES, axis=1)], axis=1)


class Summary(TransformerMixin, BaseEstimator):
    """Mean and deviation of the flux, and its colour: log10 of its red third over its blue one."""

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> Summary:
        """Nothing to fit."""
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Flux (n, p) -> (n, 3)."""
        third = x.shape[1] // 3
        blue, red = x[:, :third].mean(axis=1), x[:, -third:].mean(axis=1)
        tiny = np.finfo(np.float32).tiny
        colour = np.log10(np.maximum(red, tiny) / np.maximum(blue, tiny))
        return np.stack([x.mean(axis=1), x.std(axis=1), colour], axis=1)


class LineStrengths(TransformerMixin, BaseEstimator):
    """Equivalent widths and depths of named lines (see `named_lines`).

    Lines that the spectrum does not hold with both sides are left out.

    Args:
        wave: (p,) vacuum wavelengths of the pixels [A], ascending.
    """

    def __init__(self, wave: np.ndarray) -> None:
        self.wave = wave

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> LineStrengths:
        """Nothing to fit but which lines there are.

        Raises:
            InputError: none is.
        """
        self.lines_ = within(self.wave)
        if not self.lines_:
            found = f"{self.wave[0]:.0f} to {self.wave[-1]:.0f} A"
            raise InputError("spectra", "wave", found, "a range with " + ", ".join(LINES))
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Flux (n, p) -> (n, 2 lines): equivalent widths [A], then depths."""
        found = [strength(self.wave, x, at) for at in self.lines_.values()]
        return np.concatenate(
            [np.stack(each, axis=1) for each in zip(*found, strict=True)], axis=1
        )
