"""How far trainings that differ by their seed alone differ, and what that does to an interval.

The interval of a score is that of the choice of test stars. A network trained again with another
seed scores differently besides. If k trainings of one network have the standard deviation s, a
score of one of them is uncertain by s, known with k - 1 degrees of freedom only: what is added is
Student's t with so many, times s.
"""

from __future__ import annotations

import zlib

import numpy as np

from stargrav.metrics.estimate import DRAWS, Estimate


def widened(estimate: Estimate, values: np.ndarray, seed: int, name: str) -> Estimate:
    """An estimate of one training, uncertain by what another seed would have given.

    Differences between estimates stay paired in their stars. The trainings' own parts are
    independent of each other, while the doubt about s, which all share, is the same in all.

    Args:
        estimate: of one training.
        values: (k,) the same statistic of k trainings with different seeds; with k < 2 nothing is
            known of their scatter, and nothing is added.
        seed: of the draws.
        name: of the training and the statistic: the same name, the same draws.
    """
    freedom = len(values) - 1
    if freedom < 1:
        return estimate
    doubt = np.random.default_rng([seed, freedom]).chisquare(freedom, DRAWS) / freedom
    own = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(DRAWS)
    added = np.std(values, ddof=1) * own / np.sqrt(doubt)
    return Estimate(estimate.value, estimate.draws + added)
