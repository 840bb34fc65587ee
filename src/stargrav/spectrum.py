"""Observed spectra with their labels: what the modules exchange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stargrav.labels import LABELS


@dataclass(frozen=True)
class Spectra:
    """Spectra of stars; flux and error may be memory maps of a file.

    Attributes:
        wave: (p,) vacuum wavelengths [Angstrom].
        flux: (n, p) noiseless flux divided by its median, float32.
        error: (n, p) 1-sigma error in the unit of `flux`, float32.
        stars: (n rows) the labels and, where known, redshift, mag, snr and conditions.
        name: where they come from, named in errors.
    """

    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    stars: pd.DataFrame
    name: str = "spectra"

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def labels(self) -> np.ndarray:
        """(n, 5) labels, order `LABELS`, float32."""
        return self.stars[list(LABELS)].to_numpy(dtype=np.float32)
