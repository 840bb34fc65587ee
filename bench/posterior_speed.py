"""Seconds for a star's posterior: by the flow, and by the integral over the library beside it.

Both are told the same noisy pixels of test stars and give as many draws, as stage `posteriors`
asks for them. The flow is asked for one star at a time, as a user may, and for all at once; what
its training took is not counted.

    python bench/posterior_speed.py [--stars 100] [--draws 100] [--threads 2]
                                    [--artifacts artifacts] [--library data/library.h5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from stargrav import models
from stargrav.data import store
from stargrav.data.loader import Clean
from stargrav.data.sources import open_source
from stargrav.inference.bayes import Integrator
from stargrav.inference.draws import noisy_draw
from stargrav.inference.emulator import Emulator
from stargrav.observation.simulate import Simulator
from stargrav.stages.posteriors import BLIND, MANY


def seconds(call: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Print seconds per star, and how many times faster the flow is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stars", type=int, default=100)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--library", type=Path, default=Path("data/library.h5"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    flow = models.load(asked.artifacts / "posteriors" / "amortized")
    pixels = flow.config["pixels"]
    test = store.read_spectra(asked.artifacts / "dataset" / "test.h5")
    noisy, error = noisy_draw(Clean(test), np.arange(min(asked.stars, len(test))), 1.0, 42)
    count, generator = len(noisy), torch.Generator().manual_seed(0)

    def drawn(rows: slice) -> None:
        flow.draw(flow.told(noisy[rows, -pixels:], error[rows, -pixels:]), asked.draws, generator)

    drawn(slice(0, 1))
    alone = seconds(lambda: [drawn(slice(i, i + 1)) for i in range(count)]) / count
    together = seconds(lambda: drawn(slice(None))) / count
    emulator = Emulator(Simulator(open_source(asked.library)).library, dtype=torch.float64)
    integrate = Integrator(emulator, least_ess=MANY * asked.draws, draws=asked.draws)
    flux, blind = noisy.double(), error.double()
    blind[:, : error.shape[1] - pixels] *= BLIND
    exact = seconds(lambda: integrate(flux, blind)) / count
    print(f"{count} stars, {asked.draws} draws each, {asked.threads} threads, seconds per star")
    print(f"flow, one star at a time   {alone:.4f}")
    print(f"flow, all at once          {together:.4f}")
    print(f"exact                      {exact:.4f}   {exact / alone:.1f} and "
          f"{exact / together:.1f} times as long")  # fmt: skip


if __name__ == "__main__":
    main()
