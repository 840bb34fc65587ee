r"""Whether two sets of vectors were drawn from one distribution.

*Energy distance* (Szekely & Rizzo 2013, J. Stat. Plan. Inference 143, 1249): with x, x' drawn from
the one and y, y' from the other,

    E = 2 <|x - y|> - <|x - x'|> - <|y - y'|>,

0 if and only if the two are the same. Its p-value is that of permuted samples.

*Classifier test* (Lopez-Paz & Oquab 2017, arXiv:1610.06545): a classifier is trained to tell the
two apart; its accuracy on pairs that it has not seen is 1/2 if they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.base import ClassifierMixin
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PERMUTATIONS = 500
FOLDS = 5


@dataclass(frozen=True)
class TwoSample:
    """What a test found.

    Attributes:
        value: energy distance, or accuracy.
        p: probability of a value as large, or larger, if the distributions are the same.
    """

    value: float
    p: float


def energy_test(
    x: np.ndarray, y: np.ndarray, seed: int, permutations: int = PERMUTATIONS
) -> TwoSample:
    """Energy distance with its p-value.

    Args:
        x: (n, d), all of them independent.
        y: (m, d); memory grows as (n + m)^2.
        seed: of the permutations.
        permutations: their number; the least p is 1 / (permutations + 1).
    """
    both = np.concatenate([x, y]).astype(np.float64)
    distances = cdist(both, both)
    rng = np.random.default_rng(seed)
    weights = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))])
    tried = np.stack([weights, *(rng.permutation(weights) for _ in range(permutations))])
    found = -np.einsum("ij,ij->i", tried @ distances, tried)
    return TwoSample(float(found[0]), float(np.mean(found >= found[0] * (1 - 1e-12))))


def relative_energy_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Energy distances of many pairs of sets of numbers, E / (2 <|x - y|>).

    Unbiased in E: about 0, and as often below it, where both are draws of one distribution; 1
    where they have nothing in common.

    Args:
        x: (n, m) draws, all of them independent.
        y: (n, l).

    Returns:
        (n,).
    """

    def within(values: np.ndarray) -> np.ndarray:
        # sum over pairs of |x_i - x_j|: the k-th smallest is above k others and below m - 1 - k
        m = values.shape[1]
        weights = 2 * np.arange(m) - (m - 1)
        return 2 * np.sort(values, axis=1) @ weights / (m * (m - 1))

    both = np.concatenate([x, y], axis=1).astype(np.float64)
    n, m = both.shape[1], x.shape[1]
    own, other, joint = within(both[:, :m]), within(both[:, m:]), within(both)
    pairs = joint * n * (n - 1) - own * m * (m - 1) - other * (n - m) * (n - m - 1)
    across = pairs / (2 * m * (n - m))
    return (2 * across - own - other) / (2 * across)


def classifier_test(
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    classifier: ClassifierMixin | None = None,
    paired: bool = False,
) -> TwoSample:
    """Accuracy of a classifier on vectors that it was not trained on, over five folds.

    Args:
        x: (n, d), all of them independent.
        y: (n, d), as many: accuracy would be no measure otherwise.
        seed: of folds and classifier.
        classifier: scikit-learn's; a perceptron with one hidden layer if not given.
        paired: the vectors of a row belong together, such as those of one star: they fall into
            one fold.

    Raises:
        ValueError: the two differ in number.
    """
    if len(x) != len(y):
        raise ValueError(f"found {len(x)} and {len(y)} vectors, expected as many of each")
    if classifier is None:
        network = MLPClassifier((32,), alpha=1e-2, early_stopping=True, random_state=seed)
        classifier = make_pipeline(StandardScaler(), network)
    inputs = np.concatenate([x, y])
    kind = np.repeat([0, 1], len(x))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    groups = None
    if paired:
        groups = np.tile(np.random.default_rng(seed).permutation(len(x)), 2)
        folds = GroupKFold(FOLDS)
    accuracy = cross_val_score(classifier, inputs, kind, groups=groups, cv=folds).mean()
    error = 0.5 / np.sqrt(len(inputs))
    return TwoSample(float(accuracy), float(norm.sf((accuracy - 0.5) / error)))
