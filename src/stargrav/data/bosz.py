r"""BOSZ model spectra as MAST serves them (Bohlin et al. 2017, AJ 153, 234; Meszaros et al. 2024,
A&A 688, A197).

The labels stand in the file names. Those of 2017 round the abundances, which come in steps of
0.25, to one digit (`m03` is -0.25). Their wavelength column is rounded too; the true grid is that
of the synthesis code, the powers of 1 + 1/300000 in nm, begun at the first at or above 100 nm and
thinned to every (300000 / 2R)-th point,

    lambda_k = 1 nm (1 + 1/300000)^(k_0 + 300000 k / 2R),  k_0 = ceil(ln 100 / ln(1 + 1/300000)).
"""

from __future__ import annotations

import bz2
import gzip
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from stargrav.data import validate
from stargrav.errors import InputError, first_line
from stargrav.labels import LABELS

_NAME_2017 = re.compile(
    r"am(?P<m>[mp]\d\d)c(?P<c>[mp]\d\d)o(?P<a>[mp]\d\d)t(?P<t>\d{4,5})g(?P<g>\d\d)"
    r"v(?P<v>\d\d)modrt(?P<rot>\d+)b(?P<r>\d+)rs\.(?P<form>asc|asc\.bz2|fits|fits\.gz)"
)
_NUMBER = r"[+-]\d+\.\d+"
_NAME_2024 = re.compile(
    rf"bosz2024_(?P<atmosphere>\w+)_t(?P<t>\d+)_g(?P<g>{_NUMBER})_m(?P<m>{_NUMBER})"
    rf"_a(?P<a>{_NUMBER})_c(?P<c>{_NUMBER})_v(?P<v>\d+)_r(?P<r>\d+|orig)_(?:resam|noresam)"
    r"\.txt(?:\.gz)?"
)
_STEPS = 300_000
_ROUNDING = 0.02  # share of a step by which a rounded wavelength may be off
_UNREADABLE = (OSError, EOFError, zlib.error, LookupError, AttributeError, TypeError, ValueError)
_UNREADABLE += (fits.VerifyError,)


@dataclass(frozen=True)
class BoszSpectrum:
    """One file.

    Attributes:
        wave: (p,) vacuum wavelengths [Angstrom].
        flux: (p,) surface brightness per Angstrom.
        continuum: (p,) of it.
        labels: in the order `LABELS`.
        resolution: lambda / FWHM; inf for spectra that were not broadened.
    """

    wave: np.ndarray
    flux: np.ndarray
    continuum: np.ndarray
    labels: tuple[float, ...]
    resolution: float


def parse_name(name: str) -> tuple[tuple[float, ...], float] | None:
    """Labels (order `LABELS`) and resolution in a file name; None for other names."""
    if found := _NAME_2017.fullmatch(name):
        metals = {key: _quarter(found[key]) for key in "mac"}
        log_g = int(found["g"]) / 10
    elif found := _NAME_2024.fullmatch(name):
        metals = {key: float(found[key]) for key in "mac"}
        log_g = float(found["g"])
    else:
        return None
    values = {"T_eff": float(found["t"]), "log_g": log_g, "M_H": metals["m"]}
    values |= {"a_M": metals["a"], "C_M": metals["c"]}
    resolution = math.inf if found["r"] == "orig" else float(found["r"])
    return tuple(values[label] for label in LABELS), resolution


def true_wavelengths(rounded: np.ndarray, resolution: float, where: Path) -> np.ndarray:
    """The exact wavelengths behind the rounded column of a 2017 file.

    Args:
        rounded: (p,) [Angstrom].
        resolution: that the file name says.
        where: the file, named in errors.

    Returns:
        (p,) [Angstrom].

    Raises:
        InputError: the column does not lie on the grid of this resolution.
    """
    ratio = math.log1p(1 / _STEPS)
    step = _STEPS / (2 * resolution)
    first = math.ceil(math.log(100) / ratio)
    place = (np.log(rounded / 10) / ratio - first) / step
    number = np.round(place)
    off = np.flatnonzero((np.abs(place - number) > _ROUNDING) | (np.diff(number, prepend=-1) < 1))
    if len(off):
        found = f"{rounded[off[0]]} A"
        raise InputError(where, f"wavelength, row {off[0]}", found, f"the grid of R {resolution}")
    return 10 * np.exp((first + number * step) * ratio)


def read_bosz(path: Path) -> BoszSpectrum:
    """Read one BOSZ file of either naming.

    Raises:
        InputError: the name is not one of BOSZ, or the content cannot be used.
    """
    path = Path(path)
    parsed = parse_name(path.name)
    if parsed is None:
        raise InputError(path, "name", path.name, "a BOSZ name, from which labels are read")
    labels, resolution = parsed
    if path.name.startswith("bosz2024"):
        columns = _text(path)
        if columns.shape[1] == 2:
            columns = np.column_stack([_wavelengths_2024(path, resolution, len(columns)), columns])
    elif ".fits" in path.name:
        columns = _fits(path)
    else:
        columns = _text(path)
    if columns.shape[1] != 3:
        found = f"{columns.shape[1]} columns"
        raise InputError(path, "columns", found, "wavelength, flux, continuum")
    wave, flux, continuum = columns.T
    validate.wavelengths(wave, path, "wavelength")
    if not path.name.startswith("bosz2024") and _STEPS % (2 * resolution) == 0:
        wave = true_wavelengths(wave, resolution, path)
    validate.finite(validate.single(flux[None]), path, "flux")
    validate.not_negative(flux[None], path, "flux")
    return BoszSpectrum(wave, flux, continuum, labels, resolution)


def read_bosz_folder(
    folder: Path, low: float, high: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Read all BOSZ files below a folder, cut to low..high [Angstrom].

    Returns:
        wave (p,), flux (n, p) float32, labels (n, 5) in the order `LABELS`, resolution.

    Raises:
        InputError: there are none, they differ in wavelengths or resolution, or one is unusable.
    """
    files = sorted(path for path in Path(folder).rglob("*") if parse_name(path.name))
    if not files:
        raise InputError(folder, "files", "no BOSZ spectra", "names such as amm03c...rs.asc.bz2")
    fluxes, labels, wave, resolution = [], [], None, None
    for path in files:
        spectrum = read_bosz(path)
        inside = (spectrum.wave >= low) & (spectrum.wave <= high)
        if wave is None:
            validate.overlap(spectrum.wave, low, high, path, "wavelength")
            validate.enough(spectrum.wave[inside], low, high, path, "wavelength")
            wave, resolution = spectrum.wave[inside], spectrum.resolution
        if spectrum.resolution != resolution:
            raise InputError(path, "resolution", spectrum.resolution, f"{resolution}, as others")
        validate.same_wavelengths(spectrum.wave[inside], wave, path, "wavelength")
        fluxes.append(validate.single(spectrum.flux[inside]))
        if np.median(fluxes[-1]) <= 0:
            raise InputError(path, "flux", "a median at or below 0", "a spectrum")
        labels.append(spectrum.labels)
    return wave, np.array(fluxes), np.array(labels), resolution


def _quarter(text: str) -> float:
    """`m03` -> -0.25: the multiple of 0.25 that the digit was rounded from."""
    value = round(int(text[1:]) / 10 * 4) / 4
    return -value if text[0] == "m" and value else value


def _wavelengths_2024(path: Path, resolution: float, count: int) -> np.ndarray:
    """Wavelengths of resampled 2024 spectra, which stand in a file of their own."""
    name = f"bosz2024_wave_r{resolution:.0f}.txt"
    for folder in path.resolve().parents[:4]:
        if (folder / name).is_file():
            wave = _text(folder / name)[:, 0]
            if len(wave) != count:
                raise InputError(path, "rows", count, f"{len(wave)}, as in {name}")
            return wave
    raise InputError(path, "wavelengths", "no file of them", f"{name} beside or above it")


def _text(path: Path) -> np.ndarray:
    opener = {".bz2": bz2.open, ".gz": gzip.open}.get(path.suffix, open)
    try:
        with opener(path, "rt") as file:
            columns = np.loadtxt(file, ndmin=2)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(path, "content", first_line(error), "columns of numbers") from error
    if not columns.size:
        raise InputError(path, "content", "an empty file", "columns of numbers")
    return columns


def _fits(path: Path) -> np.ndarray:
    names = ("Wavelength", "SpecificIntensity", "Continuum")
    try:
        with fits.open(path) as file:
            table = file[1].data
            missing = [name for name in names if name not in table.names]
            if missing:
                raise InputError(path, missing[0], ", ".join(table.names), "a column of that name")
            return np.column_stack([np.asarray(table[name], dtype=float) for name in names])
    except InputError:
        raise
    except _UNREADABLE as error:
        expected = "a FITS table as its second part"
        raise InputError(path, "content", first_line(error), expected) from error
