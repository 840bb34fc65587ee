r"""Whether stated uncertainties are true: pulls, ranks and coverage.

If a star's label is a draw from its posterior, as it is on average when prior and likelihood are
right, then

    pull = (mean - truth) / sd          has <pull^2> = 1, whatever the posterior's shape;
    rank = P(theta < truth | y)         is uniform in 0..1 (PIT; simulation-based calibration,
                                        Talts et al. 2018, arXiv:1804.06788).

Too narrow posteriors have large pulls and ranks near 0 and 1, too wide ones small pulls and ranks
near the middle. A prior's own posteriors are honest, too: what they are worth is told by the width
of their intervals.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare, kstest

BINS = 20


def pulls(truth: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """(mean - truth) / sd of stars, (n,) or (n, labels)."""
    return (mean - truth) / sd


def pull_spread(squares: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Root mean square pull; a statistic for `metrics.estimate.bootstrap`.

    Args:
        squares: (n,) squared pulls of the stars, or the mean of a star's over several labels.
        weights: (m, n) counts of each star in m resamples; once each if left out.

    Returns:
        A number, or (m,): 1 for honest uncertainties, above 1 for too small ones.
    """
    weights = np.ones(len(squares)) if weights is None else weights
    return np.sqrt(weights @ squares / weights.sum(axis=-1))


def average(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of values (n,), such as shares of stars; weights as for `pull_spread`."""
    return values.mean() if weights is None else weights @ values / weights.sum(axis=-1)


def coverage(rank: np.ndarray, level: float, draws: int | None = None) -> np.ndarray:
    """Whether the truth lies within the central interval that holds `level` of the posterior.

    Args:
        rank: (n,) posterior probability below the truth.
        level: such as .68.
        draws: that the posterior is known by (`draw_ranks`): a rank is then any number within a
            part 1 / (draws + 1) wide, of which the share within the interval counts.

    Returns:
        (n,) 1 or 0, or a share; their mean is `level` for honest posteriors.
    """
    away = np.abs(rank - 0.5)
    if draws is None:
        return (away <= level / 2).astype(float)
    return np.clip((level / 2 - away) * (draws + 1) + 0.5, 0.0, 1.0)


def draw_ranks(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Ranks of posteriors that are known by draws.

    Args:
        truth: (n,) or (n, labels).
        draws: (n, m) or (n, m, labels), independent.

    Returns:
        In the shape of `truth`: (k + 1/2) / (m + 1) where k draws lie below the truth, each k as
        likely as another for honest posteriors.
    """
    below = (draws < np.expand_dims(truth, 1)).sum(axis=1)
    return (below + 0.5) / (draws.shape[1] + 1)


def interval_widths(draws: np.ndarray, level: float) -> np.ndarray:
    """Width of the central interval that holds `level` of a posterior known by draws.

    Args:
        draws: (n, m) or (n, m, labels).
        level: such as .68.

    Returns:
        (n,) or (n, labels), in the unit of the draws.
    """
    # of m draws the k-th has k / (m + 1) of the posterior below it in the mean
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(draws, ends, axis=1, method="weibull")
    return high - low


def rank_histogram(rank: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Number of ranks (n,) in each of `bins` equal parts of 0..1."""
    return np.histogram(rank, bins=bins, range=(0.0, 1.0))[0]


def uniformity(rank: np.ndarray, bins: int = BINS) -> dict[str, float]:
    """p-values of the hypothesis that ranks (n,) are uniform.

    Returns:
        `ks`: Kolmogorov-Smirnov, sensitive to a bias; `chi2`: of the histogram, sensitive to its
        shape.
    """
    counts = rank_histogram(rank, bins)
    return {
        "ks": float(kstest(rank, "uniform").pvalue),
        "chi2": float(chisquare(counts).pvalue),
    }
