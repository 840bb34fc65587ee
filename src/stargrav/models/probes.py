"""Probes: models simple enough that what they find was already in their input.

Ordinary least squares and ridge regression (Hoerl & Kennard 1970) on standardised features, and
gradient-boosted trees (LightGBM, Ke et al. 2017). A probe is an unfitted scikit-learn estimator;
fit a clone of it.
"""

from __future__ import annotations

from lightgbm import LGBMRegressor
from sklearn.base import RegressorMixin
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def ols() -> RegressorMixin:
    """Ordinary least squares on standardised features."""
    return make_pipeline(StandardScaler(), LinearRegression())


def ridge(alpha: float) -> RegressorMixin:
    """Ridge regression on standardised features.

    Args:
        alpha: weight of the squared coefficients beside the summed squared residuals.
    """
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


def lightgbm(leaves: int, trees: int) -> RegressorMixin:
    """Gradient-boosted regression trees, the same for the same `random_state`.

    Args:
        leaves: of each tree.
        trees: boosting rounds.
    """
    return LGBMRegressor(
        num_leaves=leaves,
        n_estimators=trees,
        deterministic=True,
        force_row_wise=True,
        n_jobs=0,  # as OpenMP says, so that OMP_NUM_THREADS holds
        verbose=-1,
    )
