"""How far trainings that differ by their seed alone differ, and what that does to an interval.

The interval of a score is that of the choice of test stars. A network trained again with another
seed scores differently besides. If k trainings of one network have the standard deviation s, a
score of one of them is uncertain by s, known with k - 1 degrees of freedom only: what is added is
Student's t with so many, times s. The mean of all k is uncertain by s / sqrt(k) instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from stargrav.metrics.estimate import DRAWS, Estimate


def widened(
    estimate: Estimate, values: np.ndarray, seed: int, name: str, trainings: int = 1
) -> Estimate:
    """An estimate of one training, uncertain by what another seed would have given.

    Differences between estimates stay paired in their stars. The trainings' own parts are
    independent of each other, while the doubt about s, which all share, is the same in all.

    Args:
        estimate: of one training, or the mean of several.
        values: (k,) the same statistic of k trainings with different seeds; with k < 2 nothing is
            known of their scatter, and nothing is added.
        seed: of the draws.
        name: of the training and the statistic: the same name, the same draws.
        trainings: that the estimate is the mean of.
    """
    if len(values) < 2:
        return estimate
    own = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(DRAWS)
    added = scatter(values, seed).draws * own / np.sqrt(trainings)
    return Estimate(estimate.value, estimate.draws + added)


def averaged(estimates: Sequence[Estimate], seed: int, name: str) -> Estimate:
    """The mean over trainings with different seeds, uncertain by stars and by seeds.

    Args:
        estimates: (k,) the same statistic of the same stars, of each training.
        seed: of the draws.
        name: of the network and the statistic; see `widened`.
    """
    values = np.array([one.value for one in estimates])
    return widened(of_stars(estimates), values, seed, name, len(values))


def of_stars(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over trainings, uncertain by the choice of stars alone."""
    draws = np.mean(np.broadcast_arrays(*(one.draws for one in estimates)), axis=0)
    return Estimate(float(np.mean([one.value for one in estimates])), draws)


def scatter(values: np.ndarray, seed: int) -> Estimate:
    """Standard deviation of a statistic from training to training, as well as it is known.

    Args:
        values: (k,) of k > 1 trainings with different seeds.
        seed: of the draws.
    """
    freedom, found = len(values) - 1, float(np.std(values, ddof=1))
    doubt = np.random.default_rng([seed, freedom]).chisquare(freedom, DRAWS) / freedom
    return Estimate(found, found / np.sqrt(doubt))
