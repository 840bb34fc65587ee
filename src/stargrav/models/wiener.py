r"""Denoising by principal components and the Wiener filter: the best that is linear.

Components are fitted to the noisy training spectra alone. Their pixels are first divided by the
rms error of each, e_i, so that noise has variance 1 in every direction and does not pass for a
component where the sky is bright, u = (noisy - mean) / e. Of p pixels of n stars noise alone has
directions of variance up to (1 + sqrt(g))^2, g = p / n: only directions above that, and above what
noise of the stars' own errors reaches, are kept. One of variance lambda holds, with

    l = (lambda + 1 - g + sqrt((lambda + 1 - g)^2 - 4 lambda)) / 2

of the true variance along the true direction, the cosine of the angle to which is, squared,
c^2 = (1 - g / (l - 1)^2) / (1 + g / (l - 1)), the signal s = c^2 (l - 1) (spiked covariances:
Donoho, Gavish & Johnstone 2018, Annals of Statistics 46, 1742; the comparison with noise: Horn
1965). A star with errors of its own is denoised by the posterior mean of its k components
z ~ N(0, s),

    z = (A N^-1 A' + diag(1 / s))^-1 A N^-1 u,    N = diag((error / e)^2),

which for errors equal to e is the classical shrinkage s / (s + 1) (Wiener 1949).
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA

TOGETHER = 512  # stars that are denoised at once


class WienerPca(BaseEstimator):
    """Denoiser on the leading components of noisy spectra.

    Args:
        axes: components that are looked for, fewer than stars.
        seed: of the random projections, and of the noise that components are held against.
    """

    def __init__(self, axes: int = 100, seed: int = 0) -> None:
        self.axes = axes
        self.seed = seed

    def fit(self, noisy: np.ndarray, error: np.ndarray) -> WienerPca:
        """Find the components.

        Args:
            noisy: (n, p) training spectra.
            error: (n, p) of their noise, positive.
        """
        self.mean_ = noisy.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.error_ = np.sqrt(np.square(error).mean(axis=0, dtype=np.float64)).astype(np.float32)
        axes = min(self.axes, *noisy.shape)
        found = PCA(axes, svd_solver="randomized", random_state=self.seed)
        found.fit((noisy - self.mean_) / self.error_)
        ratio = noisy.shape[1] / noisy.shape[0]
        least = max((1 + np.sqrt(ratio)) ** 2, self._highest_of_noise(error))
        keep = found.explained_variance_ > least
        variance = found.explained_variance_[keep] + 1 - ratio
        product = found.explained_variance_[keep]
        beyond = (variance + np.sqrt(variance**2 - 4 * product)) / 2 - 1
        cosine = (1 - ratio / beyond**2) / (1 + ratio / beyond)
        self.axes_, self.signal_ = found.components_[keep], cosine * beyond
        return self

    def _highest_of_noise(self, error: np.ndarray) -> float:
        """The largest variance of a direction in noise alone."""
        noise = np.random.default_rng(self.seed).standard_normal(error.shape, dtype=np.float32)
        noise *= error / self.error_
        highest = PCA(1, svd_solver="randomized", random_state=self.seed).fit(noise)
        return float(highest.explained_variance_[0])

    def denoise(self, noisy: np.ndarray, error: np.ndarray) -> np.ndarray:
        """Clean flux (n, p) of spectra (n, p) with errors (n, p)."""
        parts = max(1, -(-len(noisy) // TOGETHER))
        pairs = zip(np.array_split(noisy, parts), np.array_split(error, parts), strict=True)
        return np.concatenate([self._denoise(*pair) for pair in pairs])

    def _denoise(self, noisy: np.ndarray, error: np.ndarray) -> np.ndarray:
        precision = (self.error_ / error) ** 2  # (n, p)
        u = (noisy - self.mean_) / self.error_
        k, pixels = self.axes_.shape
        products = (self.axes_[:, None] * self.axes_[None]).reshape(k * k, pixels)
        known = (precision @ products.T).reshape(len(u), k, k) + np.diag(1 / self.signal_)
        told = (precision * u) @ self.axes_.T
        z = np.linalg.solve(known, told[..., None])[..., 0]
        return self.mean_ + self.error_ * (z @ self.axes_)
