"""Seconds and peak memory of simulating and writing a data set.

    python bench/simulate_speed.py --n 100000 [--source data/library.h5]

Without a library a smooth random one of the built-in library's size is used: 60 components on a
log grid of 40,000 points per e-fold. The file is deleted afterwards.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from stargrav.data.dataset import write_dataset
from stargrav.data.sources import open_source
from stargrav.labels import LABELS, RANGES
from stargrav.observation.simulate import Simulator, draw_stars
from stargrav.physics.grid import Library


def random_library() -> Library:
    """A library of the built-in one's size with made-up spectra."""
    rng = np.random.default_rng(0)
    counts = (10, 5, 9, 6, 6)
    axes = {name: np.linspace(*RANGES[name], n) for name, n in zip(LABELS, counts, strict=True)}
    wave = np.exp(np.arange(np.log(7090.0), np.log(8860.0), 1 / 40_000))
    components = 1e-3 * rng.standard_normal((60, len(wave)))
    coefficients = rng.standard_normal((*counts, 60))
    return Library(
        wave=torch.from_numpy(wave),
        axes=axes,
        mean=torch.ones(len(wave)),
        components=torch.from_numpy(components).float(),
        coefficients=torch.from_numpy(coefficients).float(),
        resolution=20_000.0,
    )


def main() -> None:
    """Simulate, write, measure, delete."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--source", default=None)
    parser.add_argument("--error", default="noiseless")
    parser.add_argument("--folder", default=None, help="where the file is written")
    given = parser.parse_args()
    library = open_source(given.source) if given.source else random_library()
    simulator = Simulator(library, error=given.error)
    stars = draw_stars(given.n, "mag205_225", library.ranges, np.random.default_rng(42))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "simulated.h5"
        start = time.perf_counter()
        write_dataset(path, simulator, stars)
        seconds = time.perf_counter() - start
        size = path.stat().st_size / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{given.n} spectra of {len(simulator.wave)} pixels, {size:.2f} GB: "
        f"{seconds:.1f} s, peak memory {peak:.2f} GiB, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
