"""A small library: lines that deepen with their labels, in a curved way."""

from itertools import product

import numpy as np

from stargrav.labels import LABELS, RANGES
from stargrav.physics.grid import Library

PIXELS = 160


def made_up(nodes):
    """A library whose lines, one per label, deepen in a curved way; most pixels are continuum."""
    spans = [RANGES[name] for name in LABELS]
    axes = [
        np.linspace(*span, n) if n > 1 else np.zeros(1)
        for span, n in zip(spans, nodes, strict=True)
    ]
    labels = np.array(list(product(*axes)))
    low, high = np.array(spans).T
    unit = (labels - low) / (high - low)
    depth = 0.1 + 0.5 * unit + 0.2 * unit * np.roll(unit, 1, axis=1) - 0.2 * unit**2
    centres = np.linspace(20, 140, len(LABELS))
    away = np.arange(PIXELS) - centres[:, None]
    lines = np.where(np.abs(away) < 6, np.exp(-0.5 * (away / 3) ** 2), 0.0)
    wave = np.linspace(7100, 7170, PIXELS)
    return Library.from_grid(wave, 1 - depth @ lines, labels, 40, 5000.0)
