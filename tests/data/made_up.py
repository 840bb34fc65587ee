"""A small grid of made-up spectra near the Ca II triplet."""

from itertools import product

import numpy as np

AXES = ((4000, 5000, 6000), (1, 3, 5), (-1, 0), (0, 0.4), (0,))
NODES = np.array(list(product(*AXES)), dtype=float)
WAVE = np.exp(np.arange(np.log(8300), np.log(8400), 1 / 10_000))


def spectra(labels):
    """Smooth spectra (n, p) with one line that follows the labels."""
    t, g, m, a, _ = (labels[:, i, None] for i in range(5))
    depth = 0.4 + 0.1 * m + 0.1 * a
    line = depth * np.exp(-np.abs(WAVE - 8350) / (3 + g))
    return 1e5 * (t / 5000) ** 4 * (1 - line)
