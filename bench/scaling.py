"""Peak memory and CPU seconds of fits to spectra that are read from disk, against their number.

    python bench/scaling.py [--stars 10000 40000] [--pixels 1024] [--rounds 10]

Spectra are simulated from the built-in library into a file that is deleted afterwards. Each fit
runs in a process of its own. Ridge has to take the same memory for any number of stars; LightGBM
takes one byte per pixel more. `imports` is what a process takes that fits nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from stargrav.data.dataset import write_dataset
from stargrav.data.sources import open_source
from stargrav.inference.draws import StreamedPixels
from stargrav.models import ridge, trees
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.simulate import Simulator, draw_stars


def simulate(path: Path, stars: int, pixels: int, source: str) -> None:
    """Write spectra of the blue end of the arm, and their log g beside them."""
    library = open_source(source)
    blue = library.wave.numpy() < PFS_MR.wave[pixels - 1] + PFS_MR.step
    cut = {"mean": library.mean[blue], "components": library.components[:, blue]}
    simulator = Simulator(replace(library, wave=library.wave[blue], **cut))
    table = draw_stars(stars, "mag205_225", library.ranges, np.random.default_rng(42))
    write_dataset(path, simulator, table.assign(id=np.arange(stars)))
    np.save(path.with_suffix(".npy"), table["log_g"].to_numpy())


def fit(model: str, path: Path, stars: int, rounds: int) -> None:
    """Fit a model to the first stars of a file."""
    x = StreamedPixels(path, np.arange(stars), ("flux",), 1.0, 42)
    y = np.load(path.with_suffix(".npy"))[:stars]
    if model == "ridge":
        sums = ridge.Sums.of(x, y)
        list(sums.solutions((1.0, 100.0)))
        list(sums.principal(100).solutions(100, (1.0, 100.0)))
    elif model == "lightgbm":
        trees.boost(x, y, rounds, leaves=31, rate=0.05, share=0.1, seed=0)


def measured(model: str, path: Path, stars: int, rounds: int) -> tuple[float, float]:
    """CPU seconds, and peak memory of this process [MiB]."""
    start = time.process_time()
    fit(model, path, stars, rounds)
    seconds = time.process_time() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Simulate, fit, compare, delete."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[10_000, 40_000])
    parser.add_argument("--pixels", type=int, default=1024, help="of the 4096 of the arm")
    parser.add_argument("--rounds", type=int, default=10, help="of LightGBM")
    parser.add_argument("--source", default="data/library.h5")
    parser.add_argument("--folder", default=None, help="where the file is written")
    given = parser.parse_args()
    fresh = {"mp_context": multiprocessing.get_context("spawn"), "max_tasks_per_child": 1}
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        ProcessPoolExecutor(1, **fresh) as pool,
    ):
        path = Path(folder) / "simulated.h5"
        pool.submit(simulate, path, max(given.stars), given.pixels, given.source).result()
        size = path.stat().st_size / 2**20
        print(f"{max(given.stars):,} spectra of {given.pixels} pixels, {size:.0f} MiB on disk")
        for model in ("imports", "ridge", "lightgbm"):
            peaks = []
            for stars in given.stars:
                how = (model, path, stars, given.rounds)
                seconds, peak = pool.submit(measured, *how).result()
                peaks.append(peak)
                print(f"{model:9} {stars:9,} stars: {seconds:6.1f} s, peak {peak:6.0f} MiB")
            print(
                f"{model:9} memory of the last over that of the first: {peaks[-1] / peaks[0]:.3f}"
            )


if __name__ == "__main__":
    main()
