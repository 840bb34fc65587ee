"""CPU seconds of ridge regression over several penalties, against scikit-learn's RidgeCV.

    python bench/ridge.py --stars 2000 8000 --pixels 1024 [--penalties 8] [--threads 1]
    python bench/ridge.py --stars 20000 100000 --pixels 4096 --estimate

The baseline is `RidgeCV(alphas)` on standardised pixels, which chooses among the same penalties by
leave-one-out; ours chooses on validation stars. Both are run on each number of stars, the fewest
first. Memory is estimated before anything is run: ours holds the spectra in float32, a few blocks
of 2048 of them and a few matrices of pixels x pixels; RidgeCV four copies of the spectra in
float64 beside them (33 bytes per pixel of a star, measured with 4,000 and 8,000 stars). RidgeCV is
left out where it needs more than `--memory` GB; `--estimate` runs nothing.

With the fewest stars coefficients are compared with scikit-learn's, and the two ways to solve for
all penalties once X'X is known: one Cholesky decomposition for each, or one eigendecomposition.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from stargrav.models.ridge import SweptRidge

VALID = 1000
BLOCK = 2048
FLOAT32, FLOAT64 = 4, 8  # bytes
GB = 1e9


def timed(work: Callable[[], object]) -> float:
    """CPU seconds that a call takes, over all threads; other work does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def made_up(stars: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of 30 components in white noise, float32, and a label of them."""
    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((30, pixels)) / 5
    hidden = rng.standard_normal((stars, 30))
    x = np.empty((stars, pixels), dtype=np.float32)
    for start in range(0, stars, BLOCK):
        rows = slice(start, start + BLOCK)
        signal = hidden[rows] @ shapes
        x[rows] = 1 + 0.05 * (signal + rng.standard_normal(signal.shape))
    return x, hidden[:, :5].sum(axis=1) + rng.standard_normal(stars)


def memory(stars: int, pixels: int) -> tuple[float, float]:
    """GB that ours and RidgeCV need, the spectra themselves included."""
    spectra = FLOAT32 * stars * pixels
    own = spectra + FLOAT64 * (4 * BLOCK + 3 * pixels) * pixels
    return own / GB, (spectra + 33 * stars * pixels) / GB


def compared(x: np.ndarray, y: np.ndarray, ours: SweptRidge, alphas: np.ndarray) -> str:
    """Our coefficients against scikit-learn's, and the two ways to solve for all penalties."""
    scaler = StandardScaler().fit(x.astype(float))
    z = scaler.transform(x.astype(float))
    one = Ridge(ours.alpha_, solver="svd").fit(z, y)
    apart = np.abs(ours.coef_ * scaler.scale_ / one.coef_ - 1).max()
    gram, moment = z.T @ z, z.T @ (y - y.mean())
    identity = np.eye(len(gram))
    cholesky = timed(lambda: [cho_solve(cho_factor(gram + a * identity), moment) for a in alphas])
    eigen = timed(lambda: eigh(gram))
    return (
        f"coefficients within {apart:.1e} of scikit-learn's; solving once X'X is known: "
        f"Cholesky {cholesky:.2f} s, eigendecomposition {eigen:.2f} s"
    )


def main() -> None:
    """Estimate, fit, solve, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--pixels", type=int, default=1024)
    parser.add_argument("--penalties", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB
    parser.add_argument("--memory", type=float, default=0.8 * physical, help="GB for RidgeCV")
    parser.add_argument("--estimate", action="store_true", help="of memory alone")
    given = parser.parse_args()
    alphas = np.logspace(-1, 6, given.penalties)
    baseline = f"RidgeCV({given.penalties} alphas)"
    sizes = sorted(given.stars)
    for stars in sizes:
        own_gb, their_gb = memory(stars, given.pixels)
        about = f"{stars} stars of {given.pixels} pixels"
        print(f"{about}: memory about {own_gb:.1f} GB, {baseline} {their_gb:.1f} GB", flush=True)
        if given.estimate:
            continue
        x, y = made_up(stars, given.pixels)
        ours = SweptRidge(alphas)
        with threadpool_limits(given.threads):
            own = timed(lambda: ours.fit(x, y, x[:VALID], y[:VALID]))  # noqa: B023
            print(f"{about}: {own:.2f} s, {given.threads} threads", flush=True)
            if their_gb > given.memory:
                print(f"{about}: {baseline} left out, it needs over {given.memory:.1f} GB")
                continue

            def known() -> None:
                RidgeCV(alphas).fit(StandardScaler().fit_transform(x.astype(float)), y)  # noqa: B023

            theirs = timed(known)
            print(f"{about}: {baseline} {theirs:.2f} s, ratio {theirs / own:.1f}", flush=True)
            if stars == sizes[0]:
                print(compared(x, y, ours, alphas))


if __name__ == "__main__":
    main()
