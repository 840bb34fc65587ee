"""How far spectra interpolated in the library are from synthesised ones.

Draws labels at random, warm (above 4300 K) and cool, synthesises them, and compares with the
library at the same labels, both at R = 5000 (FWHM) and divided by their median. Printed: the rms
difference over wavelength, its median and 90 % quantile over the draws, beside the limits; where
the worst ones are; the same at nodes of the library, where only the principal components that
were left out make a difference; and how well d F / d log g agrees, per spectrum.

Usage: python bench/library_accuracy.py LIBRARY.h5 [--spectra N] [--processes N] [--seed N]
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from stargrav.data import store
from stargrav.labels import LABELS, LOG_G, RANGES, UNITS
from stargrav.observation.transforms import broaden
from stargrav.physics.grid import Library
from stargrav.physics.nodes import degrade
from stargrav.physics.synthesis import Synthesizer

R = 5000.0
WARM = 4300.0  # K
LIMITS = {"warm": {0.5: 0.001, 0.9: 0.0025}, "cool": {0.5: 0.005}}
STEP = 0.2  # dex in log g, for the derivative


def draw(count: int, seed: int) -> np.ndarray:
    """Labels (2 count, 5): warm ones, then cool ones."""
    generator = np.random.default_rng(seed)
    low, high = np.array([RANGES[label] for label in LABELS]).T
    labels = generator.uniform(low, high, (2 * count, 5))
    labels[:count, 0] = generator.uniform(WARM, high[0], count)
    labels[count:, 0] = generator.uniform(low[0], WARM, count)
    # so that the derivative's steps stay within the range
    labels[:, LOG_G] = labels[:, LOG_G].clip(low[LOG_G] + STEP / 2, high[LOG_G] - STEP / 2)
    return labels


def draw_nodes(library: Library, count: int, seed: int) -> np.ndarray:
    """Labels (count, 5) of random nodes."""
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.choice(library.axes[label], count) for label in LABELS])


def at_r(wave: np.ndarray, flux: np.ndarray, resolution: float) -> np.ndarray:
    """Spectra (n, p) of some resolution at R, divided by their median."""
    smooth = broaden(wave, np.asarray(flux, float), resolution, R)
    return smooth / np.median(smooth, axis=1, keepdims=True)


def rms(difference: np.ndarray) -> np.ndarray:
    """(n, p) -> (n,)."""
    return np.sqrt(np.mean(difference**2, axis=1))


def report(name: str, errors: np.ndarray, labels: np.ndarray) -> None:
    """Print quantiles beside their limits, and the worst labels."""
    for quantile, limit in {0.5: None, 0.9: None, **LIMITS.get(name, {})}.items():
        found = np.quantile(errors, quantile)
        verdict = "" if limit is None else f" (limit {limit}: {'ok' if found <= limit else 'NO'})"
        print(f"{name:6s} {quantile:4.0%} of rms {found:.5f}{verdict}")
    for i in np.argsort(-errors)[:3]:
        where = ", ".join(
            f"{label} {value:.2f} {UNITS[label]}"
            for label, value in zip(LABELS, labels[i], strict=True)
        )
        print(f"       worst: rms {errors[i]:.5f} at {where}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--spectra", type=int, default=100, help="warm ones, and as many cool")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    library = store.read_library(arguments.library)
    count = arguments.spectra
    labels = draw(count, arguments.seed)
    step = np.zeros(5)
    step[LOG_G] = STEP / 2
    nodes = draw_nodes(library, max(1, count // 4), arguments.seed + 1)
    wanted = np.concatenate([labels, nodes, labels + step, labels - step])
    with ProcessPoolExecutor(arguments.processes) as pool:
        made = np.stack(list(pool.map(_spectrum, wanted, chunksize=8)))
    wave = library.wave.numpy()
    made = at_r(wave, made, library.resolution)
    given = at_r(wave, library.flux_at(torch.from_numpy(wanted)).numpy(), library.resolution)
    errors = rms(given - made)
    n = 2 * count
    report("warm", errors[:count], labels[:count])
    report("cool", errors[count:n], labels[count:])
    report("nodes", errors[n : n + len(nodes)], nodes)
    up, down = (slice(n + len(nodes) + k * n, n + len(nodes) + (k + 1) * n) for k in (0, 1))
    true, ours = made[up] - made[down], given[up] - given[down]
    agreement = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(true, ours, strict=True)])
    ratio = rms(ours) / rms(true)
    for name, part in (("warm", slice(0, count)), ("cool", slice(count, n))):
        print(
            f"{name:6s} dF/dlog g: correlation median {np.median(agreement[part]):.4f}, "
            f"lowest tenth {np.quantile(agreement[part], 0.1):.4f}; "
            f"norm ratio {ratio[part].min():.2f}-{ratio[part].max():.2f}"
        )


_SYNTHESIZER: list[Synthesizer] = []  # one per process


def _spectrum(labels: np.ndarray) -> np.ndarray:
    if not _SYNTHESIZER:
        _SYNTHESIZER.append(Synthesizer())
    return degrade(_SYNTHESIZER[0](labels))


if __name__ == "__main__":
    main()
