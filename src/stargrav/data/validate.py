"""What a user's spectra must be: ascending wavelengths, matching shapes, finite values."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stargrav.errors import InputError
from stargrav.labels import LABELS

_JUMP = 0.1  # of the logarithm of a step
FEWEST = 4  # wavelengths, for a cubic spline through them
PLAUSIBLE = {  # K and dex, of any star or brown dwarf
    "T_eff": (500.0, 100_000.0),
    "log_g": (-2.0, 10.0),
    "M_H": (-8.0, 2.0),
    "a_M": (-3.0, 3.0),
    "C_M": (-5.0, 5.0),
}


def wavelengths(wave: np.ndarray, where: Path | str, field: str) -> None:
    """Refuse wavelengths that are not a row of finite, strictly ascending numbers.

    Raises:
        InputError: names the first pixel at fault.
    """
    if wave.ndim != 1 or len(wave) < FEWEST:
        expected = f"one row of at least {FEWEST} wavelengths"
        raise InputError(where, field, f"shape {wave.shape}", expected)
    bad = np.flatnonzero(~np.isfinite(wave))
    if len(bad):
        raise InputError(where, f"{field}, pixel {bad[0]}", wave[bad[0]], "a finite wavelength")
    down = np.flatnonzero(np.diff(wave) <= 0)
    if len(down):
        i = down[0] + 1
        found = f"{wave[i]:.3f} after {wave[i - 1]:.3f}"
        raise InputError(where, f"{field}, pixel {i}", found, "ascending wavelengths")


def overlap(wave: np.ndarray, low: float, high: float, where: Path | str, field: str) -> None:
    """Refuse wavelengths (p,) that have nothing in common with low..high [Angstrom].

    Raises:
        InputError: names both ranges.
    """
    if wave[-1] <= low or wave[0] >= high:
        found = f"{wave[0]:.1f} to {wave[-1]:.1f} A"
        raise InputError(where, field, found, f"wavelengths within {low:.1f} to {high:.1f} A")


def enough(inside: np.ndarray, low: float, high: float, where: Path | str, field: str) -> None:
    """Refuse spectra of which hardly a wavelength lies within low..high [Angstrom].

    Args:
        inside: (q,) the wavelengths within.
        low, high: of the range.
        where: the file.
        field: of the wavelengths.

    Raises:
        InputError: names how many there are.
    """
    if len(inside) < FEWEST:
        found = f"{len(inside)} wavelengths within {low:.1f} to {high:.1f} A"
        raise InputError(where, field, found, f"at least {FEWEST}")


def continuous(wave: np.ndarray, where: Path | str, field: str, first: int = 0) -> None:
    """Refuse pixels centred on `wave` (p,) [Angstrom] that do not follow one another.

    Where their distances jump, their widths are not known from their centres.

    Raises:
        InputError: names the first distance that is other than the one before, its pixel counted
            from `first`.
    """
    steps = np.diff(wave)
    jumps = np.flatnonzero(np.abs(np.diff(np.log(steps))) > _JUMP)
    if len(jumps):
        i = jumps[0] + 1
        found = f"{wave[i]:.3f} and {wave[i + 1]:.3f} A after a step of {steps[i - 1]:.3f} A"
        raise InputError(
            where, f"{field}, pixel {first + i + 1}", found, "steps that change slowly"
        )


def same_wavelengths(
    wave: np.ndarray, expected: np.ndarray, where: Path | str, field: str
) -> None:
    """Refuse wavelengths (p,) other than those that are expected, to a hundredth of a pixel.

    Raises:
        InputError: names the number of pixels, or the first that differs.
    """
    if len(wave) != len(expected):
        raise InputError(where, field, f"{len(wave)} pixels", f"{len(expected)} pixels")
    bad = np.flatnonzero(np.abs(wave - expected) > 0.01 * np.gradient(expected))
    if len(bad):
        i = bad[0]
        raise InputError(where, f"{field}, pixel {i}", f"{wave[i]:.3f} A", f"{expected[i]:.3f} A")


def shape(flux: np.ndarray, wave: np.ndarray, where: Path | str, field: str) -> None:
    """Refuse spectra that are not (n, p) with p the number of wavelengths.

    Raises:
        InputError: names the shape or the number of pixels.
    """
    if len(flux.shape) != 2 or not flux.shape[0]:
        raise InputError(where, field, f"shape {flux.shape}", "(spectra, pixels), at least one")
    if flux.shape[1] != len(wave):
        expected = f"{len(wave)} pixels, as many as wavelengths"
        raise InputError(where, field, f"{flux.shape[1]} pixels", expected)


def single(values: np.ndarray) -> np.ndarray:
    """Values in single precision; those beyond it are infinite, for `finite` to find."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32, copy=False)


def finite(
    values: np.ndarray, where: Path | str, field: str, first_row: int = 0, unit: str = "pixel"
) -> None:
    """Refuse values (n, p) that are not finite.

    Raises:
        InputError: names the row (counted from `first_row`) and the pixel.
    """
    if np.isfinite(values).all():
        return
    row, column = np.argwhere(~np.isfinite(values))[0]
    place = f"{field}, row {first_row + row}, {unit} {column}"
    raise InputError(where, place, values[row, column], "a finite number")


def positive(values: np.ndarray, where: Path | str, field: str, first_row: int = 0) -> None:
    """Refuse values (n, p) at or below zero.

    Raises:
        InputError: names the row (counted from `first_row`) and the pixel.
    """
    if (values > 0).all():
        return
    row, column = np.argwhere(~(values > 0))[0]
    place = f"{field}, row {first_row + row}, pixel {column}"
    raise InputError(where, place, values[row, column], "a positive number")


def not_negative(values: np.ndarray, where: Path | str, field: str) -> None:
    """Refuse model fluxes (n, p) below zero.

    Raises:
        InputError: names the row and the pixel.
    """
    if (values >= 0).all():
        return
    row, column = np.argwhere(~(values >= 0))[0]
    place = f"{field}, row {row}, pixel {column}"
    raise InputError(where, place, values[row, column], "a flux that is not negative")


def plausible(labels: np.ndarray, where: Path | str, field: str) -> None:
    """Refuse labels (n, 5), order `LABELS`, that no star has: columns in another order or unit.

    Raises:
        InputError: names the row and the label.
    """
    for column, name in enumerate(LABELS):
        low, high = PLAUSIBLE[name]
        bad = np.flatnonzero(~((labels[:, column] >= low) & (labels[:, column] <= high)))
        if len(bad):
            place = f"{field}, row {bad[0]}, {name}"
            raise InputError(where, place, f"{labels[bad[0], column]:g}", f"{low:g} to {high:g}")


def fill_edges(error: np.ndarray) -> None:
    """Fill NaN at both ends of errors (n, p) from the nearest pixel, in place.

    NaN between finite pixels, and rows of nothing but NaN, are left as they are.
    """
    missing = np.isnan(error)
    for row in np.flatnonzero(missing[:, 0] | missing[:, -1]):
        known = np.flatnonzero(~missing[row])
        if len(known):
            error[row, : known[0]] = error[row, known[0]]
            error[row, known[-1] + 1 :] = error[row, known[-1]]
