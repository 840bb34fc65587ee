"""Where spectra come from, behind one door.

A folder of BOSZ files, a grid HDF5 or a library become a `Library`, from which stars at any labels
are simulated; a pfsspec file is a data set as it is. What a path holds is told by its content.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stargrav.data import store, validate
from stargrav.data.bosz import read_bosz_folder
from stargrav.errors import InputError
from stargrav.observation.instrument import PFS_MR
from stargrav.physics.grid import Library
from stargrav.spectrum import Spectra

_MARGIN = 30.0  # Angstrom beyond the arm, for its line spread function


def open_source(source: str | Path, n_components: int = 60) -> Library | Spectra:
    """Open a source of spectra.

    Args:
        source: a library, a grid HDF5, a folder of BOSZ files or a pfsspec data set.
        n_components: principal components kept of a grid.

    Returns:
        `Library` of rest-frame spectra, or the ready-made `Spectra` of a pfsspec data set.

    Raises:
        InputError: the source cannot be used; names file and field.
    """
    path = Path(source)
    if path.is_dir():
        wave, flux, labels, resolution = read_bosz(path)
        return Library.from_grid(wave, flux, labels, n_components, resolution, str(path))
    kind = store.kind_of(path)
    if kind == "pfsspec":
        spectra = store.read_spectra(path)
        validate.overlap(spectra.wave, PFS_MR.blue, PFS_MR.red, path, store.WAVE)
        store.check(spectra, path)
        return spectra
    if kind == "library":
        library = store.read_library(path)
        validate.overlap(library.wave.numpy(), PFS_MR.blue, PFS_MR.red, path, "wave")
        return library
    wave, flux, labels, resolution = store.read_grid(path)
    validate.overlap(wave, PFS_MR.blue, PFS_MR.red, path, "wave")
    low, high = PFS_MR.blue - _MARGIN, PFS_MR.red + _MARGIN
    inside = (wave >= low) & (wave <= high)
    validate.enough(wave[inside], low, high, path, "wave")
    for row in np.flatnonzero(np.median(flux[:, inside], axis=1) <= 0):
        raise InputError(path, f"flux, row {row}", "a median at or below 0", "a spectrum")
    resolution = two_point_resolution(wave) if resolution is None else resolution
    return Library.from_grid(
        wave[inside], flux[:, inside], labels, n_components, resolution, str(path)
    )


def resolved(source: object, resolution: float, spectra: float = PFS_MR.resolution) -> str:
    """What is seen of a source's resolution, which of a grid may follow from its points alone,
    in spectra of another."""
    seen = min(resolution, spectra)
    return f"{source}: resolution {resolution:g}, seen at {seen:g} (spectra: {spectra:g})"


def read_bosz(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """All BOSZ spectra below a folder, in the wavelengths of the arm.

    Returns:
        wave (p,) [Angstrom], flux (n, p), labels (n, 5) in the order `LABELS`, resolution; what
        `store.write_grid` takes.
    """
    return read_bosz_folder(folder, PFS_MR.blue - _MARGIN, PFS_MR.red + _MARGIN)


def two_point_resolution(wave: np.ndarray) -> float:
    """Resolution (three digits) of a grid that does not say it: two points per FWHM, as BOSZ."""
    return float(f"{0.5 / np.median(np.diff(np.log(wave))):.3g}")
