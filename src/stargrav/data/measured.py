"""Measured spectra: what a mask flags tells nothing, and nothing else may be missing.

A mask of booleans is true where a pixel is good, one of integers has bits set where it is not: as
in pfsspec, `Spectrum.get_mask_as_bool`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stargrav.data import validate
from stargrav.data.store import ERROR, FLUX, read_arrays

ANY_BIT = -1
_TELLS_NOTHING = 1e4  # times the largest error of a spectrum: that of a masked pixel


@dataclass(frozen=True)
class Measured:
    """Measured spectra, without labels.

    Attributes:
        wave: (p,) vacuum wavelengths [Angstrom].
        flux: (n, p) at any level, float32; in masked pixels the median of the others.
        error: (n, p) 1 sigma, in the unit of `flux`; in masked pixels so large that they tell
            nothing.
        masked: share of pixels that are masked.
    """

    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    masked: float

    def __len__(self) -> int:
        return len(self.flux)

    def cut(self, pixels: slice) -> Measured:
        """The same spectra in some of the pixels."""
        flux, error = self.flux[:, pixels], self.error[:, pixels]
        return replace(self, wave=self.wave[pixels], flux=flux, error=error)


def read_measured(path: Path, bits: int = ANY_BIT) -> Measured:
    """Measured spectra of a pfsspec file, which needs no labels.

    Args:
        path: the file.
        bits: those that make a pixel bad in a mask of integers; if 0, no mask is applied.

    Raises:
        InputError: the file is not whole, or a value cannot be used.
    """
    wave, flux, error, mask = read_arrays(path)
    masked = np.zeros(flux.shape, dtype=bool)
    if mask is not None and bits:
        masked = ~mask if mask.dtype == bool else mask.astype(np.int64) & bits != 0
    for row in np.flatnonzero(masked.any(axis=1)):
        good = ~masked[row]
        flux[row, ~good] = np.median(flux[row, good]) if good.any() else 1.0
        error[row, ~good] = _TELLS_NOTHING * (np.fmax.reduce(error[row, good], initial=0.0) or 1.0)
    validate.finite(flux, path, FLUX)
    validate.fill_edges(error)
    validate.finite(error, path, ERROR)
    validate.positive(error, path, ERROR)
    validate.positive(np.median(flux, axis=1, keepdims=True), path, f"median of {FLUX}")
    return Measured(wave, flux, error, float(masked.mean()))
