"""Lists of atomic lines: Stargrav's own, a user's VALD extract or Kurucz list.

The own table holds the strongest lines of cool stars between 7095 and 8860 A, with the source of
each oscillator strength and damping constant (`tables/atomic_lines.csv`).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np

from stargrav.constants import EV_WAVENUMBER
from stargrav.errors import InputError
from stargrav.physics.equation_of_state import elements

_ATOMIC_NUMBERS = {
    symbol: number
    for number, symbol in enumerate(
        "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
        "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu "
        "Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi".split(),
        start=1,
    )
}


@dataclass(frozen=True)
class LineList:
    """Atomic lines, n of them.

    Attributes:
        species: (n,) such as "Fe I".
        wave: (n,) vacuum wavelength, A.
        e_low: (n,) energy of the lower level, eV.
        log_gf: (n,).
        log_gamma_rad: (n,) log10 rad/s, nan where not known.
        log_gamma_stark: (n,) log10 rad/s cm^3 per electron at 10,000 K, nan where not known.
        abo_sigma: (n,) cross section at 10 km/s in squared Bohr radii, nan where not known.
        abo_alpha: (n,) velocity exponent of it.
        log_gamma_vdw: (n,) log10 rad/s cm^3 per H atom at 10,000 K, nan where not known.
        core_ev: (n,) energy of the ion's state that both levels converge to, above its ground
            state, eV, nan where not known.
    """

    species: np.ndarray
    wave: np.ndarray
    e_low: np.ndarray
    log_gf: np.ndarray
    log_gamma_rad: np.ndarray
    log_gamma_stark: np.ndarray
    abo_sigma: np.ndarray
    abo_alpha: np.ndarray
    log_gamma_vdw: np.ndarray
    core_ev: np.ndarray

    def __len__(self) -> int:
        return len(self.wave)

    def select(self, keep: np.ndarray) -> LineList:
        """The lines where `keep`, (n,) bool or index, says so."""
        return LineList(*(getattr(self, field.name)[keep] for field in fields(self)))


def read_lines(
    path: str | Path | None = None, span: tuple[float, float] = (0.0, math.inf)
) -> LineList:
    """Line list: Stargrav's own, or a user's.

    Three formats are told apart by their content: a table with the columns of Stargrav's own
    (species, wave_vac, e_low_ev, log_gf; the others may be missing), a VALD extract in
    short format ("extract all" or "extract stellar", air or vacuum, eV), and Kurucz's fixed
    columns (gfall, gfhyper; the fraction of a hyperfine component or isotope is part of its gf).
    Lines of elements outside the equation of state, of ions beyond the first and of molecules are
    passed over, as are those of hydrogen.

    Args:
        path: file; None for Stargrav's own table.
        span: vacuum wavelengths, A, beyond which lines are passed over, too.

    Raises:
        InputError: unreadable, of no known format, or without a usable line; a row is too short,
            or a wavelength, an excitation or a log gf is no number that one can be.
    """
    source = (
        files("stargrav.physics") / "tables" / "atomic_lines.csv" if path is None else Path(path)
    )
    try:
        rows = source.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(source, "line list", error.strerror, "a readable file") from error
    body = [(i, row) for i, row in enumerate(rows, 1) if row.strip() and row.lstrip()[0] != "#"]
    if not body:
        raise InputError(source, "line list", "an empty file", "lines")
    head = body[0][1]
    if head.startswith("species,"):
        found = _own_rows(source, body)
    elif any("WL_air" in row or "WL_vac" in row for _, row in body[:5]):
        found = _vald_rows(source, body)
    elif re.match(r"[ \d]{6}\.\d{4}[ \d+-]{3}\.\d{3} *\d+\.\d\d", head):
        found = _kurucz_rows(source, body, span)
    else:
        raise InputError(
            source, "line 1", repr(head[:40]), "a Stargrav table, a VALD extract or a Kurucz list"
        )
    known = {f"{e} {stage}" for e in elements() if e != "H" for stage in ("I", "II")}
    usable = (row for row in found if row[0] in known and span[0] < row[1] < span[1])
    table = sorted(usable, key=lambda row: row[1])
    if not table:
        expected = "lines of neutral or ionised atoms"
        if math.isfinite(span[1]):
            expected += f" between {span[0]:g} and {span[1]:g} A"
        raise InputError(source, "line list", "no usable line", expected)
    species, *numbers = zip(*table, strict=True)
    return LineList(np.array(species), *(np.array(column, float) for column in numbers))


_REQUIRED = ("wave_vac", "e_low_ev", "log_gf")
_POSSIBLE = {
    "wave_vac": (500.0, 1e6),
    "e_low_ev": (0.0, 30.0),
    "log_gf": (-20.0, 3.0),
    "fraction": (-20.0, 0.0),
}
_Row = tuple[str, float, float, float, float, float, float, float, float, float]


def _own_rows(source: object, body: list[tuple[int, str]]) -> Iterable[_Row]:
    optional = (
        "log_gamma_rad",
        "log_gamma_stark",
        "abo_sigma",
        "abo_alpha",
        "log_gamma_vdw",
        "core_ev",
    )
    names = next(csv.reader([body[0][1]]))
    for name in _REQUIRED:
        if name not in names:
            raise InputError(source, name, "no such column", "a column of this name")
    for number, text in body[1:]:
        row = dict(zip(names, next(csv.reader([text])), strict=False))
        given = {
            name: _number(source, number, name, row[name]) if row.get(name) else math.nan
            for name in optional
        }
        if not given["abo_sigma"] > 0:  # as 0 where it is not known
            given["abo_sigma"] = math.nan
        elif math.isnan(given["abo_alpha"]):
            where = f"line {number}, abo_alpha"
            raise InputError(source, where, "nothing", "the exponent that abo_sigma goes with")
        yield (
            row["species"],
            *(_number(source, number, name, row.get(name), name) for name in _REQUIRED),
            *given.values(),
        )


def _vald_rows(source: object, body: list[tuple[int, str]]) -> Iterable[_Row]:
    """Lines of VALD's short format; the long one has other columns in the same places."""
    place, header = next((place, row) for place, row in body if "WL_" in row)
    if not re.search(r"WL_(air|vac)\(A\)\s+Excit\(eV\)\s+(Vmic\s+)?log gf", header):
        found, expected = " ".join(header.split()), "WL_air(A) or WL_vac(A), Excit(eV), log gf"
        raise InputError(source, f"line {place}, columns", found, f"the short format: {expected}")
    air = "WL_air" in header
    stellar = "Vmic" in header
    for number, text in body:
        row = next(csv.reader([text], quotechar="'", skipinitialspace=True))
        if not re.fullmatch(r"[A-Z][a-z]? [12]", row[0].strip()):
            if text.startswith("'") and len(row) <= 2 or "'END'" in text:
                break  # the model and abundances that follow the lines
            continue
        if len(row) < 9:
            raise InputError(source, f"line {number}", f"{len(row)} columns", "9 or more")
        element, stage = row[0].split()
        values = row[1:3] + row[4:8] if stellar else row[1:7]
        names = ("wavelength", "excitation", "log gf", "Rad.", "Stark", "Waals")
        kinds = (*_REQUIRED, "", "", "")
        wave, e_low, log_gf, rad, stark, waals = (
            _number(source, number, name, value, kind)
            for name, value, kind in zip(names, values, kinds, strict=True)
        )
        abo = waals > 20
        yield (
            f"{element} {'I' * int(stage)}",
            air_to_vacuum(wave) if air else wave,
            e_low,
            log_gf,
            rad or math.nan,
            stark or math.nan,
            math.floor(waals) if abo else math.nan,
            waals % 1 if abo else math.nan,
            waals if waals < 0 else math.nan,
            math.nan,
        )


def _kurucz_rows(
    source: object, body: list[tuple[int, str]], span: tuple[float, float]
) -> Iterable[_Row]:
    symbols = {number: symbol for symbol, number in _ATOMIC_NUMBERS.items()}
    for number, text in body:
        code, log_gf = text[18:24], text[11:18]
        atom, ion = divmod(round(100 * _number(source, number, "columns 19-24", code)), 100)
        if atom not in symbols or ion > 1:
            continue
        levels = sorted(
            abs(_number(source, number, "level energy", text[part]))
            for part in (slice(24, 36), slice(52, 64))
        )
        if levels[0] == levels[1]:
            continue
        wave = 1e8 / (levels[1] - levels[0])  # vacuum, whichever medium the first column is in
        if not span[0] < wave < span[1]:
            continue  # before the rest of the row is read, which may be misprinted
        fractions = (
            _number(source, number, f"columns {start + 1}-{start + 6}", part, "fraction")
            for start in (109, 118)  # of the hyperfine component, and of the isotope
            if (part := text[start : start + 6]).strip()
        )
        log_gf = _number(source, number, "columns 12-18", log_gf, "log_gf") + sum(fractions)
        damping = (
            _number(source, number, f"columns {start + 1}-{start + 6}", text[start : start + 6])
            if text[start : start + 6].strip()
            else 0.0
            for start in (80, 86, 92)
        )
        rad, stark, waals = (value or math.nan for value in damping)
        yield (
            f"{symbols[atom]} {'I' * (ion + 1)}",
            wave,
            levels[0] / EV_WAVENUMBER,
            log_gf,
            rad,
            stark,
            math.nan,
            math.nan,
            waals,
            math.nan,
        )


def _number(source: object, line: int, name: str, text: str | None, kind: str = "") -> float:
    """A number of a row; of some kinds it is known how large or small it may be."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(source, f"line {line}, {name}", repr(text), "a number")
    low, high = _POSSIBLE.get(kind, (-math.inf, math.inf))
    if not low <= value <= high:
        raise InputError(source, f"line {line}, {name}", f"{value:g}", f"{low:g} to {high:g}")
    return value


def air_to_vacuum(wave: np.ndarray | float) -> np.ndarray | float:
    """Vacuum wavelength, A, of a wavelength in air (Morton 2000, ApJS 130, 403, eq. 8)."""
    vacuum = wave
    for _ in range(3):
        s = (1e4 / vacuum) ** 2
        vacuum = wave * (1.0000834254 + 0.02406147 / (130 - s) + 0.00015998 / (38.9 - s))
    return vacuum
