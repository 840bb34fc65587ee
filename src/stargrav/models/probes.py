"""Probes: models simple enough that what they find was already in their input.

Ordinary least squares and ridge regression (Hoerl & Kennard 1970) on standardised features, and
gradient-boosted trees (LightGBM, Ke et al. 2017). A probe is an unfitted scikit-learn estimator;
fit a clone of it.
"""

from __future__ import annotations

import torch
from lightgbm import LGBMRegressor
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from stargrav.models.heads import MlpHead


def ols() -> Pipeline:
    """Ordinary least squares on standardised features."""
    return make_pipeline(StandardScaler(), LinearRegression())


def ridge(alpha: float) -> Pipeline:
    """Ridge regression on standardised features.

    Args:
        alpha: weight of the squared coefficients beside the summed squared residuals.
    """
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


def principal_ridge(components: int, alpha: float) -> Pipeline:
    """Ridge regression on the leading principal components of standardised features.

    Args:
        components: that are kept.
        alpha: see `ridge`.
    """
    leading = PCA(components, svd_solver="covariance_eigh")
    return make_pipeline(StandardScaler(), leading, Ridge(alpha=alpha))


def lightgbm(leaves: int, trees: int) -> LGBMRegressor:
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


def as_head(probe: Pipeline) -> MlpHead:
    """A fitted linear probe as a head without hidden layers, which answers the same."""
    scaler, linear = (step for _, step in probe.steps)
    head = MlpHead(len(scaler.mean_), widths=(), outputs=1, dropout=0.0)
    state = {
        "layers.0.weight": linear.coef_[None],
        "layers.0.bias": [linear.intercept_],
        "input_mean": scaler.mean_,
        "input_deviation": scaler.scale_,
        "label_mean": [0.0],
        "label_deviation": [1.0],
    }
    head.load_state_dict({k: torch.as_tensor(v, dtype=torch.float32) for k, v in state.items()})
    return head.eval()
