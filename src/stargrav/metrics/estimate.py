"""A measured number with its uncertainty, carried along as bootstrap draws.

The stars of a test set are drawn with replacement; a statistic of the m-th draw is its m-th
replicate, and the central 95 % of the replicates are its interval (percentile bootstrap, Efron &
Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13). Every statistic of one test set
sees the same draws, so that arithmetic between estimates is paired: the difference of two models
on the same stars has the interval of the difference, not that of two independent scores.

The interval is that of the choice of test stars; a model trained again with another seed differs
besides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DRAWS = 2000
CHUNK = 250

Statistic = Callable[..., np.ndarray]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value and its bootstrap replicates.

    Args:
        value: the statistic of the data themselves.
        draws: (draws,) the statistic of each resample; a single entry for an exact number.
    """

    value: float
    draws: np.ndarray

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """A number without uncertainty, such as a count or a bound."""
        return cls(float(value), np.array([float(value)]))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The central interval that holds the fraction `level` of the replicates.

        Replicates that are NaN, where a resample leaves the statistic without meaning, are left
        out.
        """
        tail = 50.0 * (1.0 - level)
        low, high = np.nanpercentile(self.draws, [tail, 100.0 - tail])
        return float(low), float(high)

    def __add__(self, other: Estimate | float) -> Estimate:
        return self._combine(operator.add, other)

    def __sub__(self, other: Estimate | float) -> Estimate:
        return self._combine(operator.sub, other)

    def __mul__(self, other: Estimate | float) -> Estimate:
        return self._combine(operator.mul, other)

    def __truediv__(self, other: Estimate | float) -> Estimate:
        return self._combine(operator.truediv, other)

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.draws)

    def _combine(self, operation: Callable, other: Estimate | float) -> Estimate:
        other = other if isinstance(other, Estimate) else Estimate.exact(other)
        return Estimate(operation(self.value, other.value), operation(self.draws, other.draws))


@dataclass(frozen=True, eq=False)
class Smallest(Estimate):
    """The smallest of several estimates; its draws take the minimum anew in each resample.

    The minimum of noisy numbers lies below the smallest of the true ones, and below it once more
    in a resample, so that the replicates are no interval of that. What the estimates say one by
    one is: none of the true numbers lies below the lowest end of their intervals, and at least one
    lies below the lowest upper end of intervals that hold all of them at once (Bonferroni).
    """

    of: tuple[Estimate, ...]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """From the intervals of the estimates: conservative, and right in what it excludes."""
        together = 1.0 - (1.0 - level) / len(self.of)
        low = min(estimate.interval(level)[0] for estimate in self.of)
        return low, min(estimate.interval(together)[1] for estimate in self.of)

    def __neg__(self) -> Estimate:
        return Largest(-self.value, -self.draws, tuple(-estimate for estimate in self.of))


@dataclass(frozen=True, eq=False)
class Largest(Estimate):
    """The largest of several estimates; see `Smallest`."""

    of: tuple[Estimate, ...]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """From the intervals of the estimates: conservative, and right in what it excludes."""
        low, high = (-self).interval(level)
        return -high, -low

    def __neg__(self) -> Estimate:
        return Smallest(-self.value, -self.draws, tuple(-estimate for estimate in self.of))


def largest(estimates: Sequence[Estimate]) -> Largest:
    """The largest of several estimates; in arithmetic, that of each resample."""
    draws = np.broadcast_arrays(*(estimate.draws for estimate in estimates))
    return Largest(max(e.value for e in estimates), np.max(draws, axis=0), tuple(estimates))


def smallest(estimates: Sequence[Estimate]) -> Smallest:
    """The smallest of several estimates; in arithmetic, that of each resample."""
    return -largest([-estimate for estimate in estimates])


def bootstrap(
    statistic: Statistic, *arrays: np.ndarray, seed: int, stars: np.ndarray | None = None
) -> Estimate:
    """The statistic of arrays over the same stars, with bootstrap replicates.

    Args:
        statistic: called as statistic(*arrays) for the value and as
            statistic(*arrays, weights) for the replicates, where weights (m, n) says how often
            each star stands in each of m resamples; returns a number or (m,).
        arrays: each (n,), one entry per star, or per observation of one.
        seed: of the resamples; the same seed and number of stars give the same resamples.
        stars: (n,) which star each entry is of, where one has several: all of them are drawn
            together.

    Raises:
        ValueError: an array is not finite, or their lengths differ.
    """
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise ValueError(f"arrays over the same stars differ in length: {sorted(lengths)}")
    arrays = tuple(np.asarray(array, dtype=np.float64) for array in arrays)
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a true or predicted value is not finite")
    if stars is None:
        counts = resamples(lengths.pop(), seed)
    else:
        found, place = np.unique(np.asarray(stars), return_inverse=True)
        counts = resamples(len(found), seed)[:, place]
    chunks = (counts[i : i + CHUNK].astype(np.float64) for i in range(0, DRAWS, CHUNK))
    draws = np.concatenate([statistic(*arrays, weights) for weights in chunks])
    return Estimate(float(statistic(*arrays)), draws)


@lru_cache(maxsize=4)
def resamples(n: int, seed: int) -> np.ndarray:
    """How often each of n stars stands in each resample.

    Returns:
        (DRAWS, n) counts, each row sums to n; read-only.
    """
    rng = np.random.default_rng([seed, n])
    counts = np.empty((DRAWS, n), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
    counts.flags.writeable = False
    return counts
