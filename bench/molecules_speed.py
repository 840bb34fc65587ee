"""Seconds for the molecular opacity: line lists, tables, and the cross section of 30 layers.

python bench/molecules_speed.py [--repeat 20]
"""

import argparse
import time

import numpy as np

from stargrav.physics import cn, molecules, tio

WAVE = 7090 * np.exp(np.arange(22_290) * 1e-5)
LAYERS = np.linspace(2500.0, 8500.0, 30)


def main() -> None:
    """Prints one line per molecule."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=20, help="cross sections that are timed")
    repeat = parser.parse_args().repeat
    for name, source in (("CN", cn), ("TiO", tio)):
        start = time.perf_counter()
        lines = source.lines()
        listed = time.perf_counter()
        molecules.table(name, WAVE)
        tabled = time.perf_counter()
        for _ in range(repeat):
            molecules.cross_section(name, WAVE, LAYERS)
        layers = (time.perf_counter() - tabled) / repeat
        print(
            f"{name}: {lines.gf.size} lines in {listed - start:.2f} s, table of "
            f"{molecules.TEMPERATURES.size} temperatures in {tabled - listed:.2f} s, "
            f"{LAYERS.size} layers x {WAVE.size} points in {1e3 * layers:.1f} ms"
        )


if __name__ == "__main__":
    main()
