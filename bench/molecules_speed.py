"""Seconds for the molecular opacity: line lists, tables, and the cross section of 30 layers.

python bench/molecules_speed.py
"""

import time

import numpy as np

from stargrav.physics import cn, molecules, tio

WAVE = 7090 * np.exp(np.arange(22_290) * 1e-5)
LAYERS = np.linspace(2500.0, 8500.0, 30)
REPEATS = 20


def main() -> None:
    """Prints one line per molecule."""
    for name, source in (("CN", cn), ("TiO", tio)):
        start = time.perf_counter()
        lines = source.lines()
        listed = time.perf_counter()
        molecules.table(name, WAVE)
        tabled = time.perf_counter()
        for _ in range(REPEATS):
            molecules.cross_section(name, WAVE, LAYERS)
        layers = (time.perf_counter() - tabled) / REPEATS
        print(
            f"{name}: {lines.gf.size} lines in {listed - start:.2f} s, table of "
            f"{molecules.TEMPERATURES.size} temperatures in {tabled - listed:.2f} s, "
            f"{LAYERS.size} layers x {WAVE.size} points in {1e3 * layers:.1f} ms"
        )


if __name__ == "__main__":
    main()
