"""CPU seconds of ridge regression over several penalties, against scikit-learn's RidgeCV.

    python bench/ridge.py --stars 8000 --pixels 1024 [--penalties 8] [--threads 1]

Both choose among the same penalties on standardised pixels: RidgeCV by leave-one-out, ours on
validation stars. Coefficients are compared with scikit-learn's, and the two ways to solve for all
penalties once X'X is known: one Cholesky decomposition for each, or one eigendecomposition.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from stargrav.models.ridge import SweptRidge


def timed(work: Callable[[], object]) -> float:
    """CPU seconds that a call takes, over all threads; other work does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def made_up(stars: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of 30 components in white noise, float32, and a label of them."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((stars, 30))
    x = 1 + 0.05 * hidden @ rng.standard_normal((30, pixels)) / 5
    x = (x + 0.05 * rng.standard_normal(x.shape)).astype(np.float32)
    return x, hidden[:, :5].sum(axis=1) + rng.standard_normal(stars)


def main() -> None:
    """Fit, solve, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=8000)
    parser.add_argument("--pixels", type=int, default=1024)
    parser.add_argument("--penalties", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    x, y = made_up(given.stars, given.pixels)
    valid = slice(0, 1000)
    alphas = np.logspace(-1, 6, given.penalties)
    with threadpool_limits(given.threads):
        ours = SweptRidge(alphas)
        own = timed(lambda: ours.fit(x, y, x[valid], y[valid]))

        def known() -> None:
            RidgeCV(alphas).fit(StandardScaler().fit_transform(x.astype(float)), y)

        theirs = timed(known)
        scaler = StandardScaler().fit(x.astype(float))
        z = scaler.transform(x.astype(float))
        one = Ridge(ours.alpha_, solver="svd").fit(z, y)
        apart = np.abs(ours.coef_ * scaler.scale_ / one.coef_ - 1).max()
        gram, moment = z.T @ z, z.T @ (y - y.mean())
        identity = np.eye(len(gram))
        cholesky = timed(
            lambda: [cho_solve(cho_factor(gram + a * identity), moment) for a in alphas]
        )
        eigen = timed(lambda: eigh(gram))
    print(
        f"{given.stars} stars of {given.pixels} pixels, {given.penalties} penalties, "
        f"{given.threads} threads: {own:.2f} s, RidgeCV {theirs:.2f} s, ratio {theirs / own:.1f}; "
        f"coefficients within {apart:.1e} of scikit-learn's\n"
        f"solving once X'X is known: Cholesky {cholesky:.2f} s, eigendecomposition {eigen:.2f} s"
    )


if __name__ == "__main__":
    main()
