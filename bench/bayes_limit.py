"""Speed and calibration of the exact posterior over the library.

Stars are drawn from the prior, observed and given back their posteriors. The script prints the
time, the effective sample sizes, R2_Bayes, pulls (root mean square, 1 for true posteriors) and the
p-values of uniform ranks (simulation-based calibration), each with the number of stars, and how
far a median taken from the middle pixels alone is from that of all pixels.

`--errors other` gives each star the error array of another one. The posterior takes sigma as
given; that of the star itself depends on its labels, so that only then ranks are uniform exactly.

    python bench/bayes_limit.py [--stars 10000] [--magnitude mag215] [--noise-level 1]
                                [--errors own] [--threads 2] [--library data/library.h5]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from stargrav.data.sources import open_source
from stargrav.inference.bayes import LEAST_ESS, POINTS, Integrator, Posterior
from stargrav.inference.emulator import Emulator
from stargrav.labels import LABELS, LOG_G
from stargrav.metrics.calibration import coverage, pull_spread, pulls, uniformity
from stargrav.metrics.estimate import bootstrap
from stargrav.metrics.regression import r2
from stargrav.observation.simulate import Simulator, draw_stars

PORTION = 1000


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stars", type=int, default=10_000)
    parser.add_argument("--magnitude", default="mag215")
    parser.add_argument("--noise-level", type=float, default=1.0)
    parser.add_argument("--errors", choices=("own", "other"), default="own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--least-ess", type=float, default=LEAST_ESS)
    parser.add_argument("--library", type=Path, default=Path("data/library.h5"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def middle_error(emulator: Emulator, found: Posterior, rng: np.random.Generator) -> float:
    """Largest relative error of medians from middle pixels, at labels as wide as posteriors."""
    rows = rng.choice(len(found.mean), min(50, len(found.mean)), replace=False)
    step = rng.normal(size=(len(rows), 96, len(LABELS)))
    labels = torch.from_numpy(found.mean[rows, None] + step * found.sd[rows, None])
    labels = labels.to(emulator.vectors).clamp(emulator.low, emulator.high)
    value = emulator.coefficients(labels.flatten(0, 1)).unflatten(0, labels.shape[:2])
    near, _ = emulator.divided(value, emulator.middle_pixels(value[:, :32]))
    exact = emulator.weights(labels.flatten(0, 1)).unflatten(0, labels.shape[:2])
    return float((near[..., 0] / exact[..., 0] - 1).abs().max())


def report(truth: np.ndarray, found: Posterior) -> None:
    """Print what the posteriors are worth."""
    count = len(truth)
    below = int((found.ess < 100).sum())
    print(
        f"effective sample size: least {found.ess.min():.0f}, median {np.median(found.ess):.0f}, "
        f"{below} of {count} stars below 100; {found.refined.mean():.1%} refined"
    )
    for star in np.flatnonzero(found.ess < 100):
        print(f"  star {star}: {found.ess[star]:.0f} at {np.round(truth[star], 3)}")
    for column, name in enumerate(LABELS):
        mean, sd, rank = (each[:, column] for each in (found.mean, found.sd, found.rank))
        score = bootstrap(r2, truth[:, column], mean, seed=0)
        spread = bootstrap(pull_spread, pulls(truth[:, column], mean, sd) ** 2, seed=0)
        chance = uniformity(rank)
        print(
            f"{name:6s} R2 {score.value:.4f} [{score.interval()[0]:.4f}, "
            f"{score.interval()[1]:.4f}]  pull {spread.value:.3f} [{spread.interval()[0]:.3f}, "
            f"{spread.interval()[1]:.3f}]  rank p: KS {chance['ks']:.3f}, chi2 "
            f"{chance['chi2']:.3f}  in 68 %: {coverage(rank, 0.68).mean():.3f}  n {count}"
        )
    free = found.sd.min(axis=0) > 0
    every = pulls(truth[:, free], found.mean[:, free], found.sd[:, free])
    spread = bootstrap(pull_spread, (every**2).mean(axis=1), seed=0)
    low, high = spread.interval()
    print(f"all labels: pull {spread.value:.3f} [{low:.3f}, {high:.3f}]")
    for star in np.flatnonzero(np.abs(every).max(axis=1) > 5):
        print(f"  star {star}: pulls {np.round(every[star], 1)} at {np.round(truth[star], 3)}")
    pull = pulls(truth[:, LOG_G], found.mean[:, LOG_G], found.sd[:, LOG_G])
    print(f"log_g: refined stars' pull {pull_spread(pull[found.refined] ** 2):.3f}")


def main() -> None:
    """Measure and print."""
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    library = open_source(chosen.library)
    simulator = Simulator(library)
    rng = np.random.default_rng(chosen.seed)
    stars = draw_stars(chosen.stars, chosen.magnitude, library.ranges, rng)
    start = time.perf_counter()
    emulator = Emulator(simulator.library, chosen.device)
    integrator = Integrator(emulator, chosen.points, chosen.seed, chosen.least_ess)
    print(f"shared label vectors: {time.perf_counter() - start:.1f} s for {chosen.points:,}")
    generator = torch.Generator().manual_seed(chosen.seed)
    parts, wall, cpu = [], 0.0, 0.0
    for first in range(0, chosen.stars, PORTION):
        part = stars.iloc[first : first + PORTION]
        flux, error = simulator(part)
        if chosen.errors == "other":
            error = error.roll(1, dims=0)
        sigma = chosen.noise_level * error
        noisy = flux + sigma * torch.randn(flux.shape, generator=generator)
        truth = torch.tensor(part[list(LABELS)].to_numpy(), device=chosen.device)
        begin = time.perf_counter(), time.process_time()
        parts.append(integrator(noisy.to(chosen.device), sigma.to(chosen.device), truth))
        wall += time.perf_counter() - begin[0]
        cpu += time.process_time() - begin[1]
    names = [field.name for field in fields(Posterior)]
    found = Posterior(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
    print(
        f"{chosen.stars:,} stars, {chosen.magnitude}, noise level {chosen.noise_level:g}, errors "
        f"of {chosen.errors}: {wall:.0f} s wall, {cpu:.0f} s of processor on {chosen.threads} "
        f"threads; {1e3 * wall / chosen.stars:.1f} and {1e3 * cpu / chosen.stars:.1f} ms a star"
    )
    report(stars[list(LABELS)].to_numpy(), found)
    print(f"medians of middle pixels: off by {middle_error(emulator, found, rng):.1e} at most")


if __name__ == "__main__":
    main()
