"""Observed spectra with their labels: what the modules exchange."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stargrav.errors import InputError
from stargrav.labels import LABELS

AS_GIVEN = "as given"


@dataclass(frozen=True)
class Spectra:
    """Spectra of stars; flux and error may be memory maps of a file.

    Attributes:
        wave: (p,) vacuum wavelengths [Angstrom].
        flux: (n, p) noiseless flux divided by its median, float32.
        error: (n, p) 1-sigma error in the unit of `flux`, float32.
        stars: (n rows) the labels and, where known, redshift, mag, snr and conditions.
        name: where they come from, named in errors.
        error_kind: what `error` is: `noiseless` or `observed` (`observation.noise`) in simulated
            spectra, `as given` in others.
    """

    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    stars: pd.DataFrame
    name: str = "spectra"
    error_kind: str = AS_GIVEN

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def labels(self) -> np.ndarray:
        """(n, 5) labels, order `LABELS`, float32."""
        return self.stars[list(LABELS)].to_numpy(dtype=np.float32)

    @property
    def ids(self) -> np.ndarray:
        """(n,) ids of the stars, which their noise belongs to; their rows where they have none."""
        return self.stars["id"].to_numpy() if "id" in self.stars else np.arange(len(self))

    def reddest(self, pixels: int | None) -> Spectra:
        """The same stars with so many of the reddest pixels alone, with all of them if None.

        Raises:
            InputError: there are fewer.
        """
        if pixels is None:
            return self
        if pixels > len(self.wave):
            raise InputError(self.name, "pixels", len(self.wave), f"at least {pixels}")
        flux, error = self.flux[:, -pixels:], self.error[:, -pixels:]
        return replace(self, wave=self.wave[-pixels:], flux=flux, error=error)
