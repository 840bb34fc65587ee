"""Spectra a second that the teacher encodes with two threads that wait asleep, or spin.

    python bench/waiting_threads.py [--seconds 10] [--busy 1]

The baseline is what OpenMP does by itself (its threads spin while they wait for each other); ours
is what the command line sets, OMP_WAIT_POLICY=PASSIVE. Both are run alone and beside as many busy
processes as `--busy` says, each in a process of its own, twice, in turn; then one thread alone.
The network is an untrained one of the laptop size; the latents of both are compared bit by bit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIZES = {"channels": 48, "depth": 8, "kernel": 5, "stem": 8, "hidden": (24, 16)}
PIXELS, BATCH = 4096, 250


def encode(seconds: float) -> None:
    """Print how many spectra a second are encoded, and a hash of what was said of them."""
    import torch

    from stargrav import models
    from stargrav.inference.latents import read_out
    from stargrav.models.pooling import READOUT

    torch.manual_seed(0)
    teacher = models.build("blindspot", **SIZES).eval()
    flux = np.random.default_rng(0).normal(1, 0.1, (BATCH, PIXELS)).astype(np.float32)
    error, done, start = np.full_like(flux, 0.1), 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        told = read_out(teacher, flux, error, *READOUT, torch.device("cpu"))
        done += BATCH
    rate = done / (time.perf_counter() - start)
    print(rate, hashlib.sha256(np.ascontiguousarray(told)).hexdigest()[:12])


def measured(seconds: float, **environment: str) -> tuple[float, str]:
    """The same in a process of its own, in which OpenMP starts anew."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    command = [sys.executable, __file__, "--encode", "--seconds", str(seconds)]
    said = subprocess.run(
        command, env=kept | environment, check=True, capture_output=True, text=True
    )
    rate, told = said.stdout.split()
    return float(rate), told


def compare(seconds: float, busy: int) -> None:
    """Print rates and their ratio, beside so many busy processes."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        two = {"OMP_NUM_THREADS": "2"}
        runs = [
            (measured(seconds, **two), measured(seconds, **two, OMP_WAIT_POLICY="PASSIVE"))
            for _ in range(2)
        ]
        one, _ = measured(seconds, OMP_NUM_THREADS="1")
    finally:
        for other in others:
            other.kill()
            other.wait()
    for (spin, told), (asleep, same) in runs:
        equal = "equal" if told == same else "different"
        print(
            f"{busy} busy beside: {spin:6.0f} spinning, {asleep:6.0f} asleep, "
            f"ratio {asleep / spin:.2f}; latents {equal}"
        )
    print(f"{busy} busy beside: {one:6.0f} with one thread")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside it")
    parser.add_argument("--encode", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.encode:
        encode(chosen.seconds)
        return
    print(f"{Path(__file__).name}: spectra a second, {len(os.sched_getaffinity(0))} cores")
    for busy in (0, chosen.busy):
        compare(chosen.seconds, busy)


if __name__ == "__main__":
    main()
