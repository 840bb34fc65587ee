r"""Denoising by principal components and the Wiener filter: the best that is linear.

Components are fitted to the noisy training spectra alone. Their pixels are first divided by the
rms error of each, e_i, so that noise has variance 1 in every direction and does not pass for a
component where the sky is bright. A direction of variance lambda in

    u = (noisy - mean) / e

then holds lambda - 1 of signal; directions that hold none are dropped. A star with errors of its
own is denoised by the posterior mean of its k components z ~ N(0, lambda - 1),

    z = (A N^-1 A' + diag(1 / (lambda - 1)))^-1 A N^-1 u,    N = diag((error / e)^2),

which for errors equal to e is the classical shrinkage (lambda - 1) / lambda (Wiener 1949).
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA

TOGETHER = 512  # stars that are denoised at once
LEAST = 1e-3  # of a signal's variance, in that of the noise


class WienerPca(BaseEstimator):
    """Denoiser on the leading components of noisy spectra.

    Args:
        axes: components that are looked for, fewer than stars.
        seed: of the random projections that find them.
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
        signal = found.explained_variance_ - 1
        keep = signal > LEAST
        self.axes_, self.signal_ = found.components_[keep], signal[keep]
        return self

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
        known = (precision @ products.T).reshape(-1, k, k) + np.diag(1 / self.signal_)
        told = (precision * u) @ self.axes_.T
        z = np.linalg.solve(known, told[..., None])[..., 0]
        return self.mean_ + self.error_ * (z @ self.axes_)
