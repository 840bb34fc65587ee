"""A small library: lines that deepen with their labels, in a curved way."""

from itertools import product

import numpy as np

from stargrav.labels import LABELS, RANGES
from stargrav.physics.grid import Library

PIXELS = 160
FOLD = 0.85  # share of the range where the deep line of `folded` is deepest


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


def banded():
    """Log g makes a band deeper that fills more than half of the pixels, T_eff a line beside it.

    Spectra are told by their flux over the median, that of the band: log g is all in the level.
    """
    shape = (5, 5, 1, 1, 1)
    axes = [
        np.linspace(*RANGES[name], n) if n > 1 else np.zeros(1)
        for name, n in zip(LABELS, shape, strict=True)
    ]
    labels = np.array(list(product(*axes)))
    low, high = np.array([RANGES[name] for name in LABELS[:2]]).T
    unit = (labels[:, :2] - low) / (high - low)
    pixel = np.arange(PIXELS)
    line = np.exp(-0.5 * ((pixel - 135) / 5) ** 2)
    flux = 1 - 0.3 * unit[:, 1:] * (pixel < 0.6 * PIXELS) - 0.8 * unit[:, :1] * line
    return Library.from_grid(np.linspace(7100, 7170, PIXELS), flux, labels, 4, 5000.0)


def folded():
    """Hot stars resemble cool ones in a deep line and differ in a shallow one; C_M is fixed.

    The deep line grows over most of the range of T_eff and shrinks quickly over the rest, so that
    a hot star has a wide false minimum of chi^2 and a narrow true one. Each other label has a line
    of its own, so that it tells nothing about T_eff.
    """
    shape = (21, 2, 2, 2, 1)
    axes = [np.linspace(*RANGES[name], n) for name, n in zip(LABELS, shape, strict=True)]
    labels = np.array(list(product(*axes)))
    low, high = np.array([RANGES[name] for name in LABELS]).T
    unit = ((labels - low) / (high - low)).T
    deep = 0.2 + 0.4 * np.minimum(unit[0], (1 - unit[0]) * FOLD / (1 - FOLD))
    shallow = 0.01 * np.clip((unit[0] - FOLD) / 0.08, 0, 1)
    depth = np.stack([deep, shallow, *(0.1 + 0.3 * unit[1:4])], axis=1)
    away = np.arange(PIXELS) - np.linspace(20, 140, 5)[:, None]
    lines = np.where(np.abs(away) < 6, np.exp(-0.5 * (away / 3) ** 2), 0.0)
    wave = np.linspace(7100, 7170, PIXELS)
    return Library.from_grid(wave, 1 - depth @ lines, labels, 8, 5000.0)
