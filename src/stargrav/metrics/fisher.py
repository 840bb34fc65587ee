r"""The smallest error with which spectra can tell a label: Fisher information.

With the noiseless flux F(theta) and independent Gaussian errors sigma of the pixels,

    I_ab = sum_pixels (dF/dtheta_a) (dF/dtheta_b) / sigma^2,

and no unbiased estimator has a variance below (I^-1)_aa (Cramer 1946; Rao 1945). With the other
labels b unknown, this marginal bound is that of the Schur complement,

    var(theta_a) >= 1 / (I_aa - I_ab I_bb^-1 I_ba),

and labels that are known are left out of b. It knows no prior: where the bound is wider than the
labels' range it says nothing, and 1 - mean(bound)/variance of a population is no ceiling of R2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fisher_matrix(jacobian: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Fisher information of stars.

    Args:
        jacobian: (n, labels, p) derivative of the noiseless flux by each label.
        sigma: (n, p) 1-sigma error, unit of the flux.

    Returns:
        (n, labels, labels), float64, per unit of each pair of labels.
    """
    scaled = np.asarray(jacobian, dtype=np.float64) / sigma[:, None, :]
    return scaled @ scaled.transpose(0, 2, 1)


def marginal_variance(fisher: np.ndarray, label: int, unknown: Sequence[int]) -> np.ndarray:
    """Cramer-Rao bound of one label's variance while others are unknown too.

    Args:
        fisher: (n, labels, labels).
        label: its row.
        unknown: rows of the unknown labels, `label` among them or not; all others are known.

    Returns:
        (n,) bound, squared unit of the label; infinite where the spectrum does not tell it.
    """
    others = [row for row in unknown if row != label]
    own = fisher[:, label, label]
    if not others:
        return _inverse(own, own)
    block = fisher[:, others][:, :, others]
    cross = fisher[:, label, others]
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", block), np.finfo(float).tiny))
    block, cross = block / scale[:, :, None] / scale[:, None, :], cross / scale
    solved = np.linalg.pinv(block, rcond=1e-13, hermitian=True) @ cross[:, :, None]
    return _inverse(own - np.einsum("ni,ni->n", cross, solved[:, :, 0]), own)


def r2_max(variance: np.ndarray, prior_variance: float) -> np.ndarray:
    """Largest R2 that the bound of single stars leaves, max(0, 1 - variance / prior variance).

    Args:
        variance: (n,) bound of a label's variance.
        prior_variance: that of the label among the stars, for a uniform one range^2 / 12.
    """
    return np.maximum(0.0, 1.0 - variance / prior_variance)


def local_jacobian(
    labels: np.ndarray, flux: np.ndarray, at: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivative of the flux by the labels from spectra at neighbouring labels.

    A plane, F = F_0 + sum_a (theta_a - at_a) dF/dtheta_a, is fitted to the neighbours by least
    squares, the nearer ones weighted more (tricube weights, Cleveland 1979, JASA 74, 829).

    Args:
        labels: (k, labels) of the neighbours, at least two more than there are labels.
        flux: (k, p) their noiseless flux.
        at: (labels,) where the derivative is wanted.
        scale: (labels,) what counts as one unit of distance along each label; 0 where it is fixed.

    Returns:
        flux F_0 (p,) and derivative (labels, p), 0 for fixed labels.
    """
    free = scale > 0
    away = (labels[:, free] - at[free]) / scale[free]
    distance = np.linalg.norm(away, axis=1)
    weight = np.sqrt((1 - (distance / (1.001 * distance.max())) ** 3) ** 3)
    design = np.column_stack([np.ones(len(away)), away]) * weight[:, None]
    found = np.linalg.lstsq(design, flux * weight[:, None], rcond=None)[0]
    slope = np.zeros((len(at), flux.shape[1]))
    slope[free] = found[1:] / scale[free, None]
    return found[0], slope


def quantile(share: float) -> object:
    """The statistic `share`-quantile of values over stars, for `metrics.estimate.bootstrap`."""

    def statistic(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        order = np.argsort(values)
        counts = np.ones((1, len(values))) if weights is None else weights
        below = np.cumsum(counts[:, order], axis=1)
        middle = (below - counts[:, order] / 2) / below[:, -1:]
        found = np.array([np.interp(share, row, values[order]) for row in middle])
        return found if weights is not None else found[0]

    return statistic


def _inverse(information: np.ndarray, own: np.ndarray) -> np.ndarray:
    """1 / information; infinite where it is lost in the rounding of its terms."""
    told = information > 1e-12 * own
    return np.where(told, 1 / np.where(told, information, 1.0), np.inf)
