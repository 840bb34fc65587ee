"""Compares the synthesis with real BOSZ spectra, 5500-6000 K, 8000-8850 A.

Each spectrum is smoothed to the file's R = 5000 (FWHM), sampled at its wavelengths and divided
by its median, as the BOSZ spectrum is.  Printed: the rms difference over all spectra, and, for
each label, how the logarithmic derivatives from neighbouring grid points agree: the correlation
and the ratio of norms (synthesis over BOSZ), over all pairs.

Usage: python bench/synthesis_vs_bosz.py --reference DIR [--processes N]
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter1d

from stargrav.labels import LABELS
from stargrav.physics.synthesis import RESOLUTION, WAVE, Synthesizer

FILE = "bosz_r5000_8000-9000.h5"
LOW, HIGH = 8000.0, 8850.0
R = 5000
LIMITS = {"log_g": 0.93, "T_eff": 0.92, "M_H": 0.94}
STEPS = {"log_g": 0.5, "T_eff": 250.0, "M_H": 0.5}


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths (n,), labels (m, 5) in the order of `LABELS`, median-divided flux (m, n)."""
    with h5py.File(path) as file:
        wave, flux, para = file["wave"][:], file["flux"][:], file["para"][:]
    metallicity, t_eff, log_g, carbon, alpha = para.T
    labels = np.stack([t_eff, log_g, metallicity, alpha, carbon], axis=1)
    keep = (t_eff >= 5500) & (t_eff <= 6000)
    inside = (wave >= LOW) & (wave <= HIGH)
    flux = flux[keep][:, inside]
    return wave[inside], labels[keep], flux / np.median(flux, axis=1, keepdims=True)


def smooth(flux: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Flux on `WAVE` smoothed to R, sampled at `wave`, divided by its median."""
    sigma = RESOLUTION / R / np.sqrt(8 * np.log(2))
    flux = np.interp(wave, WAVE, gaussian_filter1d(np.asarray(flux, float), sigma))
    return flux / np.median(flux)


def pairs(labels: np.ndarray, name: str) -> list[tuple[int, int]]:
    """Indices of spectra one grid step apart in one label only."""
    axis = LABELS.index(name)
    found = []
    for i, j in combinations(range(len(labels)), 2):
        step = labels[j] - labels[i]
        if np.isclose(abs(step[axis]), STEPS[name]) and np.count_nonzero(step) == 1:
            found.append((i, j) if step[axis] > 0 else (j, i))
    return found


def derivatives(flux: np.ndarray, index: list[tuple[int, int]]) -> np.ndarray:
    """ln of the upper over the lower spectrum of each pair."""
    return np.array([np.log(flux[j] / flux[i]) for i, j in index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help=f"folder with {FILE}")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    wave, labels, real = read(arguments.reference / FILE)
    with ProcessPoolExecutor(arguments.processes) as pool:
        ours = np.stack([smooth(flux, wave) for flux in pool.map(Synthesizer(), labels)])
    difference = ours - real
    rms = np.sqrt(np.mean(difference**2, axis=1))
    print(f"{len(labels)} spectra, {len(wave)} wavelengths {wave[0]:.0f}-{wave[-1]:.0f} A")
    print(f"rms of the difference {np.sqrt(np.mean(difference**2)):.4f} (limit .008)")
    print(f"  per spectrum: median {np.median(rms):.4f}, largest {rms.max():.4f}")
    print("derivative   pairs  mean corr  (limit)  lowest  mean norm ratio  range")
    for name, limit in LIMITS.items():
        index = pairs(labels, name)
        a, b = derivatives(ours, index), derivatives(real, index)
        correlation = np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])
        ratio = np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        print(
            f"{name:10s} {len(index):6d} {correlation.mean():10.3f} {limit:8.2f} "
            f"{correlation.min():7.3f} {ratio.mean():12.3f} {ratio.min():13.2f}-{ratio.max():.2f}"
        )


if __name__ == "__main__":
    main()
