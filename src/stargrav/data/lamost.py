"""LAMOST low-resolution spectra, and pairs of visits to one star (Zhao et al. 2012, RAA 12, 723).

Two layouts are in use. Up to data release 7 the first part of the file is an image whose five rows
are flux, inverse variance, wavelength, and-mask and or-mask; later ones hold a table COADD whose
only row has these five as columns. Wavelengths are vacuum, in the same logarithmic steps in every
file. A star is known by the designation of its place, the keyword DESIG of both layouts.

Pixels without inverse variance, or bad in all exposures (and-mask), tell nothing: their flux is
interpolated from the others, their error is `UNKNOWN`.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from stargrav.data import validate
from stargrav.errors import InputError, first_line
from stargrav.observation.transforms import resample

ROWS = ("FLUX", "IVAR", "WAVELENGTH", "ANDMASK", "ORMASK")
UNKNOWN = 1e3  # error of a pixel that tells nothing, in medians of the flux
ENDINGS = (".fits", ".fits.gz")
_UNREADABLE = (OSError, EOFError, zlib.error, LookupError, AttributeError, TypeError, ValueError)
_UNREADABLE += (fits.VerifyError,)


@dataclass(frozen=True)
class Visit:
    """One spectrum of one star.

    Attributes:
        star: designation.
        wave: (p,) vacuum wavelengths [Angstrom].
        flux: (p,) divided by its median.
        error: (p,) 1 sigma in the unit of `flux`.
        snr: median over the pixels of flux / error.
    """

    star: str
    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    snr: float


@dataclass(frozen=True)
class Pairs:
    """Noisy spectra of stars beside better ones of the same stars.

    Attributes:
        wave: (p,) [Angstrom].
        stars: (n,) designations.
        noisy: (n, p), over their medians, float32.
        error: (n, p) of `noisy`.
        flux: (n, p) of the visit with the highest SNR of the star.
        flux_error: (n, p) of `flux`.
    """

    wave: np.ndarray
    stars: np.ndarray
    noisy: np.ndarray
    error: np.ndarray
    flux: np.ndarray
    flux_error: np.ndarray

    def __len__(self) -> int:
        return len(self.flux)

    def on(self, wave: np.ndarray) -> Pairs:
        """The pairs on other wavelengths (q,) [Angstrom] within those that they have.

        Flux by a cubic spline. Errors stay those of the pixels that they come from, so that on
        finer wavelengths neighbours share their noise.
        """

        def between(error: np.ndarray) -> np.ndarray:
            rows = [np.interp(wave, self.wave, row) for row in error]
            return np.array(rows, dtype=np.float32)

        return replace(
            self,
            wave=wave,
            noisy=resample(self.wave, self.noisy, wave),
            error=between(self.error),
            flux=resample(self.wave, self.flux, wave),
            flux_error=between(self.flux_error),
        )


def read_visit(path: Path, low: float = 0.0, high: float = np.inf) -> Visit:
    """Read a spectrum of either layout.

    Args:
        path: FITS file, compressed or not.
        low: shortest wavelength that is wanted [Angstrom].
        high: longest.

    Raises:
        InputError: the file is of neither layout, or what it holds is unusable.
    """
    star, rows = _read(Path(path))
    flux, ivar, wave, bad = (np.asarray(row, dtype=np.float64) for row in rows[:4])
    validate.wavelengths(wave, path, "WAVELENGTH")
    inside = (wave >= low) & (wave <= high)
    validate.enough(wave[inside], low, high, path, "WAVELENGTH")
    flux, ivar, wave, bad = (row[inside] for row in (flux, ivar, wave, bad))
    good = (ivar > 0) & (bad == 0) & np.isfinite(flux) & np.isfinite(ivar)
    validate.enough(wave[good], low, high, path, "IVAR above 0")
    level = np.median(flux[good])
    if level <= 0:
        raise InputError(path, "FLUX", f"a median of {level:.3g}", "a positive one")
    error = np.full(len(wave), UNKNOWN)
    error[good] = 1 / np.sqrt(ivar[good]) / level
    flux = np.interp(wave, wave[good], flux[good] / level)
    return Visit(star, wave, flux, error, float(np.median(flux[good] / error[good])))


def read_pairs(folder: Path, low: float, high: float, ratio: float = 2.0) -> Pairs:
    """Pair the visits of each star below a folder: each worse one with the best.

    Args:
        folder: with spectra of either layout, in any sub-folders.
        low: shortest wavelength that is wanted [Angstrom].
        high: longest.
        ratio: of their SNRs, at least.

    Raises:
        InputError: there is no such folder or no pair in it, or two spectra differ in wavelengths.
    """
    if not Path(folder).is_dir():
        raise InputError(folder, "spectra", "no such folder", "a folder of LAMOST spectra")
    visits: dict[str, list[Visit]] = defaultdict(list)
    wave = None
    for path in sorted(Path(folder).rglob("*")):
        if not path.name.endswith(ENDINGS):
            continue
        visit = read_visit(path, low, high)
        wave = visit.wave if wave is None else wave
        validate.same_wavelengths(visit.wave, wave, path, "WAVELENGTH")
        visits[visit.star].append(visit)
    found = []
    for star in sorted(visits):
        *worse, best = sorted(visits[star], key=lambda visit: visit.snr)
        found += [(visit, best) for visit in worse if best.snr >= ratio * visit.snr]
    if not found:
        expected = f"two visits to a star whose SNRs differ by a factor of {ratio:g}"
        counted = f"{sum(map(len, visits.values()))} visits to {len(visits)} stars"
        raise InputError(folder, "spectra", counted, expected)
    noisy, best = zip(*found, strict=True)
    return Pairs(
        wave,
        np.array([visit.star for visit in best]),
        *(
            np.array([getattr(visit, name) for visit in side], dtype=np.float32)
            for side in (noisy, best)
            for name in ("flux", "error")
        ),
    )


def _read(path: Path) -> tuple[str, list[np.ndarray]]:
    """Designation, and the five rows."""
    try:
        with fits.open(path) as file:
            star = str(file[0].header.get("DESIG", "")).strip()
            if "COADD" in file:
                table = file["COADD"].data
                missing = [name for name in ROWS if name not in table.names]
                if missing:
                    found = ", ".join(table.names)
                    raise InputError(path, missing[0], found, "a column of that name")
                rows = [np.array(table[name][0]) for name in ROWS]
            else:
                image = file[0].data
                if image is None or image.ndim != 2 or len(image) < len(ROWS):
                    found = "no image" if image is None else f"an image of shape {image.shape}"
                    expected = f"a table COADD or an image of {len(ROWS)} rows"
                    raise InputError(path, "content", found, expected)
                rows = list(np.array(image[: len(ROWS)]))
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(path, "content", first_line(error), "a FITS file of LAMOST") from error
    if not star:
        raise InputError(path, "DESIG", "nothing", "the designation of the star")
    return star, rows
