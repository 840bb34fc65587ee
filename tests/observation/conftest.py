"""A smooth made-up library, enough like stars for everything but astrophysics."""

from itertools import product

import numpy as np
import pytest

from stargrav.physics.grid import Library

AXES = ((3750, 4500, 5250, 6000), (1, 3, 5), (-2.5, -1, 0.75), (-0.25, 0.5), (-0.75, 0.5))


def made_up_spectra(wave, labels):
    """Planck-like slopes with lines that follow the labels, (n, p)."""
    t, g, m, a, c = (labels[:, i, None] for i in range(5))
    flux = (wave / 8000) ** (2 - t / 1500)
    for centre, depth, width in ((7300, 0.1 + 0.03 * a, 4), (8200, 0.1 + 0.05 * c, 6)):
        flux = flux * (1 - depth * np.exp(-(((wave - centre) / width) ** 2)))
    for centre in (8500.4, 8544.4, 8664.5):
        line = 0.35 + 0.06 * m - 0.02 * g
        flux = flux * (1 - line * np.exp(-np.abs(wave - centre) / (3 + g)))
    return flux


@pytest.fixture(scope="session")
def library():
    wave = np.exp(np.arange(np.log(7080), np.log(8870), 1 / 20_000))
    labels = np.array(list(product(*AXES)), dtype=float)
    return Library.from_grid(wave, made_up_spectra(wave, labels), labels, 12, 10_000.0, "fake.h5")
