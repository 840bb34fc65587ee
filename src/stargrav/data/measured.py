"""Measured spectra: what a mask flags tells nothing, and nothing else may be missing.

A mask of booleans is true where a pixel is good, one of integers has bits set where it is not: as
in pfsspec, `Spectrum.get_mask_as_bool`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stargrav.data import validate
from stargrav.data.store import ERROR, FLUX, read_arrays


@dataclass(frozen=True)
class Measured:
    """Measured spectra, without labels.

    Attributes:
        wave: (p,) vacuum wavelengths [Angstrom].
        flux: (n, p) at any level, float32; 0 in masked pixels.
        error: (n, p) 1 sigma, in the unit of `flux`; 1 in masked pixels.
        good: (n, p) pixels that are not masked.
        left_out: pixels of the file that are not among these.
    """

    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    good: np.ndarray
    left_out: int

    def __len__(self) -> int:
        return len(self.flux)


def read_measured(path: Path, bits: int, within: Callable[[np.ndarray], slice]) -> Measured:
    """Measured spectra of a pfsspec file, which needs no labels.

    Args:
        path: the file.
        bits: those that make a pixel bad in a mask of integers; if 0, no mask is applied.
        within: the pixels that are used, by their wavelengths, whatever stands in the others.

    Raises:
        InputError: the file is not whole, or a value cannot be used.
    """
    wave, flux, error, mask = read_arrays(path)
    kept = within(wave)
    good = np.ones(flux.shape, dtype=bool)
    if mask is not None and bits:
        good = mask if mask.dtype == bool else mask.astype(np.uint64) & np.uint64(bits) == 0
    outside = np.delete(np.arange(len(wave)), kept)
    good[:, outside] = False
    validate.fill_edges(error)
    flux, error = np.where(good, flux, np.float32(0)), np.where(good, error, np.float32(1))
    validate.finite(flux, path, FLUX)
    validate.finite(error, path, ERROR)
    validate.positive(error, path, ERROR)
    rows = zip(flux, good, strict=True)
    level = [np.median(row[seen]) if seen.any() else 1.0 for row, seen in rows]
    validate.positive(np.array(level)[:, None], path, f"median of {FLUX}")
    return Measured(wave[kept], flux[:, kept], error[:, kept], good[:, kept], len(outside))
