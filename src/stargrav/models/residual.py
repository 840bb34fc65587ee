"""Residual on ridge: a linear model says most, another model what it left over.

    y' = r(x) + g(x),    g fitted to y - r(x),

with r a ridge's prediction that has not seen the star it is about (`models.ridge.RidgeScore`);
fitted to residuals of stars that the ridge had seen, g would learn to correct errors that are
smaller than those it meets elsewhere. r is the last column of the features, whatever g is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


class Nothing:
    """What says that a ridge leaves nothing over, so that it stands alone."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n,) zeros."""
        return np.zeros(len(x))


@dataclass(frozen=True, eq=False)
class OnRidge:
    """A model of what a ridge leaves over.

    Args:
        model: g, an unfitted estimator or a network to be trained; fitted, it has `predict`. It
            sees all columns but the last.
    """

    model: Any

    @staticmethod
    def left(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, f + 1), label (n,) -> those that g sees (n, f), what is left (n,)."""
        return x[:, :-1], y - x[:, -1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The label (n,) of features (n, f + 1), float64."""
        return np.asarray(x[:, -1], dtype=np.float64) + self.model.predict(x[:, :-1])
