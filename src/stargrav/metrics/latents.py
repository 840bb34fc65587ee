"""How near a predicted latent comes to the one it is to meet.

For a star with latent z and prediction z', d numbers each, m and s the mean and the deviation of
each number over the training stars, and u = (z - m) / s,

    cosine              z.z' / (|z| |z'|)
    mse                 <(z - z')^2>
    cosine_standardised u.u' / (|u| |u'|)
    mse_standardised    <(u - u')^2>

and their means over the stars. Latents have large means, so that the mean latent alone, which
knows nothing of the star, may have a cosine near one; its standardised cosine is 0 and its
standardised square error 1.
"""

from __future__ import annotations

import numpy as np

from stargrav.metrics.estimate import Estimate, bootstrap

SMALLEST = 1e-6  # of a length or a deviation


def cosine(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Cosine of the angle between pairs of vectors.

    Args:
        truth: (n, d).
        prediction: (n, d).

    Returns:
        (n,); 0 where one of the two has no length.
    """
    lengths = np.linalg.norm(truth, axis=1) * np.linalg.norm(prediction, axis=1)
    product = (truth * prediction).sum(axis=1)
    return np.divide(product, lengths, out=np.zeros(len(truth)), where=lengths > SMALLEST)


def latent_scores(
    truth: np.ndarray, prediction: np.ndarray, mean: np.ndarray, deviation: np.ndarray, seed: int
) -> dict[str, Estimate]:
    """Cosine and mean square error, raw and standardised, with bootstrap replicates over stars.

    Args:
        truth: (n, d) latents.
        prediction: (n, d).
        mean: (d,) of the training stars.
        deviation: (d,) of the training stars, positive.
        seed: of the resamples.

    Raises:
        ValueError: a value is not finite.
    """
    truth, prediction = (np.asarray(values, dtype=np.float64) for values in (truth, prediction))
    u, told = ((values - mean) / deviation for values in (truth, prediction))
    stars = {
        "cosine": cosine(truth, prediction),
        "mse": ((truth - prediction) ** 2).mean(axis=1),
        "cosine_standardised": cosine(u, told),
        "mse_standardised": ((u - told) ** 2).mean(axis=1),
    }
    return {name: bootstrap(_mean, values, seed=seed) for name, values in stars.items()}


def dimension_errors(
    truth: np.ndarray, prediction: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    """Standardised mean square error (d,) of each number of the latent; arguments as above."""
    return (((np.asarray(truth, dtype=np.float64) - prediction) / deviation) ** 2).mean(axis=0)


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    weights = np.ones(len(values)) if weights is None else weights
    return weights @ values / weights.sum(axis=-1)
