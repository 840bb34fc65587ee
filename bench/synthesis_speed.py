"""Seconds per spectrum on one core, for several stars.

Usage: OMP_NUM_THREADS=1 python bench/synthesis_speed.py [--repeat N]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from stargrav.physics.lines import read_lines
from stargrav.physics.synthesis import WAVE, Synthesizer

STARS = {
    "metal-rich cool dwarf": (3800, 5.0, 0.5, 0.0, 0.0),
    "cool giant": (4250, 1.5, 0.0, 0.0, 0.0),
    "Sun": (5777, 4.44, 0.0, 0.0, 0.0),
    "metal-poor subgiant": (5800, 3.5, -2.0, 0.25, 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    lines = read_lines()
    start = time.perf_counter()
    synthesizer = Synthesizer(lines=lines)
    synthesizer(np.array(STARS["Sun"]))
    print(f"{len(WAVE)} wavelengths, {len(lines)} atomic lines")
    print(f"first spectrum, with all tables: {time.perf_counter() - start:.2f} s")
    for name, labels in STARS.items():
        seconds = []
        for _ in range(repeat):
            start = time.perf_counter()
            synthesizer(np.array(labels))
            seconds.append(time.perf_counter() - start)
        print(f"{name:22s} {np.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
