r"""Atomic lines: the list, and the extinction of Voigt profiles.

    alpha(v) = sqrt(pi) e^2 / (m c) f n_l lambda / b (1 - e^{-h nu / kT}) H(a, v / b),

with n_l the density of the lower level, b^2 = 2 kT / m + xi^2 the Doppler velocity, xi the
micro-turbulence, H the Voigt function and a = gamma lambda / (4 pi b) from

- radiation: the list's value or the classical 2.223e15 / lambda^2 (A),
- collisions with H atoms: ABO theory where the list has it, or else Unsoeld's approximation
  times an enhancement (as used with the MARCS models, Edvardsson et al. 1993, A&A 275, 101);
  He and H2 add .42 and .85 of what H does, per particle (Kurucz 1979, ApJS 40, 1),
- electrons: the list's value or 1e-8 n_eff^5 per electron (Cowley 1971, Observatory 91, 139).

The core of a line (within 6 Doppler widths) is a full Voigt function layer by layer.  Outside,
H = a / sqrt(pi) / (u^2 - 3/2) separates into a function of depth times one of wavelength, and is
followed until it falls to 1e-4 of the continuum.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.special import gamma as gamma_function

from stargrav.constants import (
    ATOMIC_MASS_UNIT_G,
    BOHR_RADIUS_CM,
    C_CGS,
    C_KM_S,
    ELECTRON_CHARGE_ESU,
    ELECTRON_MASS_G,
    EV_WAVENUMBER,
    HC_CM_K,
    K_BOLTZMANN_CGS,
    K_BOLTZMANN_EV,
    RYDBERG_EV,
)
from stargrav.errors import InputError
from stargrav.physics.equation_of_state import State, atomic_mass, elements

_CLASSICAL = np.pi * ELECTRON_CHARGE_ESU**2 / (ELECTRON_MASS_G * C_CGS)  # cm^2 Hz
_NEGLIGIBLE_LINE = 1e-3  # central extinction over the continuum's below which a line is left out
_NEGLIGIBLE_WING = 1e-4
_CORE_WIDTHS = 6.0
_STRONG_WIDTHS = 12.0  # core of lines whose damping parameter exceeds _STRONG anywhere
_STRONG = 0.3
_REACH_KM_S = 6000.0
_ATOMIC_NUMBERS = {
    symbol: number
    for number, symbol in enumerate(
        "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
        "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu "
        "Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi".split(),
        start=1,
    )
}
# Edvardsson et al. (1993), sect. 4.2.1, after measured and empirical damping constants
_ENHANCEMENT = {"Na I": 2.0, "Si I": 1.3, "Ca I": 1.8, "Fe I": 1.4}
_ENHANCEMENT_OTHER = 2.5


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

    def __len__(self) -> int:
        return len(self.wave)

    def select(self, keep: np.ndarray) -> LineList:
        """The lines where `keep`, (n,) bool or index, says so."""
        return LineList(*(getattr(self, field.name)[keep] for field in fields(self)))


def read_lines(path: str | Path | None = None) -> LineList:
    """Line list: Stargrav's own, or a user's.

    Three formats are told apart by their content: a table with the columns of Stargrav's own
    (species, wave_vac, e_low_ev, log_gf; the damping columns may be missing), a VALD extract in
    short format ("extract all" or "extract stellar", air or vacuum, eV), and Kurucz's fixed
    columns (gfall).  Lines of elements outside the equation of state, of ions beyond the first
    and of molecules are passed over, as are those of hydrogen.

    Args:
        path: file; None for Stargrav's own table.

    Raises:
        InputError: unreadable, of no known format, or without a usable line.
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
        found = _kurucz_rows(source, body)
    else:
        raise InputError(
            source, "line 1", repr(head[:40]), "a Stargrav table, a VALD extract or a Kurucz list"
        )
    known = {f"{e} {stage}" for e in elements() if e != "H" for stage in ("I", "II")}
    table = sorted((row for row in found if row[0] in known), key=lambda row: row[1])
    if not table:
        raise InputError(
            source, "line list", "no usable line", "lines of neutral or ionised atoms"
        )
    species, *numbers = zip(*table, strict=True)
    return LineList(np.array(species), *(np.array(column, float) for column in numbers))


_REQUIRED = ("wave_vac", "e_low_ev", "log_gf")
_Row = tuple[str, float, float, float, float, float, float, float, float]


def _own_rows(source: object, body: list[tuple[int, str]]) -> Iterable[_Row]:
    optional = ("log_gamma_rad", "log_gamma_stark", "abo_sigma", "abo_alpha", "log_gamma_vdw")
    names = next(csv.reader([body[0][1]]))
    for name in _REQUIRED:
        if name not in names:
            raise InputError(source, name, "no such column", "a column of this name")
    for number, text in body[1:]:
        row = dict(zip(names, next(csv.reader([text])), strict=False))
        yield (
            row["species"],
            *(_number(source, number, name, row.get(name)) for name in _REQUIRED),
            *(
                _number(source, number, name, row[name]) if row.get(name) else math.nan
                for name in optional
            ),
        )


def _vald_rows(source: object, body: list[tuple[int, str]]) -> Iterable[_Row]:
    header = next(row for _, row in body if "WL_" in row)
    air = "WL_air" in header
    stellar = "Vmic" in header
    for number, text in body:
        row = next(csv.reader([text], quotechar="'", skipinitialspace=True))
        if not re.fullmatch(r"[A-Z][a-z]? [12]", row[0].strip()) or len(row) < 9:
            if text.startswith("'") and len(row) <= 2 or "'END'" in text:
                break  # the model and abundances that follow the lines
            continue
        element, stage = row[0].split()
        values = row[1:3] + row[4:8] if stellar else row[1:7]
        names = ("wavelength", "excitation", "log gf", "Rad.", "Stark", "Waals")
        wave, e_low, log_gf, rad, stark, waals = (
            _number(source, number, name, value) for name, value in zip(names, values, strict=True)
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
        )


def _kurucz_rows(source: object, body: list[tuple[int, str]]) -> Iterable[_Row]:
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
        damping = (
            float(text[part]) if text[part].strip() else 0.0
            for part in (slice(80, 86), slice(86, 92), slice(92, 98))
        )
        rad, stark, waals = (value or math.nan for value in damping)
        yield (
            f"{symbols[atom]} {'I' * (ion + 1)}",
            1e8 / (levels[1] - levels[0]),  # vacuum, whichever medium the first column is in
            levels[0] / EV_WAVENUMBER,
            _number(source, number, "columns 12-18", log_gf),
            rad,
            stark,
            math.nan,
            math.nan,
            waals,
        )


def _number(source: object, line: int, name: str, text: str | None) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(source, f"line {line}, {name}", repr(text), "a number")
    return value


def air_to_vacuum(wave: np.ndarray | float) -> np.ndarray | float:
    """Vacuum wavelength, A, of a wavelength in air (Morton 2000, ApJS 130, 403, eq. 8)."""
    vacuum = wave
    for _ in range(3):
        s = (1e4 / vacuum) ** 2
        vacuum = wave * (1.0000834254 + 0.02406147 / (130 - s) + 0.00015998 / (38.9 - s))
    return vacuum


@functools.cache
def _ionization() -> dict[str, float]:
    """Ionisation energy, eV, of every species."""
    text = (files("stargrav.physics") / "tables" / "ionization.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(row for row in text.splitlines() if not row.startswith("#"))
    return {row["species"]: float(row["energy_ev"]) for row in rows}


class LineExtinction:
    """Adds the extinction of a line list on a fixed wavelength grid.

    Args:
        lines: the list; lines off the grid by more than 100 A are dropped.
        wave: (n,) vacuum wavelength, A, increasing.
        microturbulence: km/s.
    """

    def __init__(self, lines: LineList, wave: np.ndarray, microturbulence: float) -> None:
        keep = (lines.wave > wave[0] - 100) & (lines.wave < wave[-1] + 100)
        self.lines = lines = lines.select(keep)
        self.wave = wave
        self.velocity = np.log(wave) * C_KM_S
        self.microturbulence = microturbulence
        self.species, self.species_index = np.unique(lines.species, return_inverse=True)
        self.masses = np.array([atomic_mass(name.split()[0]) for name in self.species])
        stage = np.array([2.0 if name.endswith(" II") else 1.0 for name in self.species])
        stage = stage[self.species_index]
        ionization = np.array([_ionization()[name] for name in self.species])[self.species_index]
        e_up = lines.e_low + HC_CM_K * K_BOLTZMANN_EV / (lines.wave * 1e-8)
        # states above the ionisation limit (of another core) count as bound by .3 eV
        bound_up = np.maximum(ionization - e_up, 0.3)
        bound_low = np.maximum(ionization - lines.e_low, 0.3)
        self.radiative = np.where(
            np.isnan(lines.log_gamma_rad), 2.223e15 / lines.wave**2, _power(lines.log_gamma_rad)
        )
        n_eff = stage * np.sqrt(RYDBERG_EV / bound_up)
        self.stark = np.where(
            np.isnan(lines.log_gamma_stark), 1e-8 * n_eff**5, _power(lines.log_gamma_stark)
        )
        enhancement = np.array([_ENHANCEMENT.get(s, _ENHANCEMENT_OTHER) for s in lines.species])
        c6 = 0.3e-30 * stage**2 * np.abs(bound_up**-2 - bound_low**-2)
        self.unsold = 17 * enhancement * np.maximum(c6, 1e-34) ** 0.4  # times v^(3/5)
        self.mass = self.masses[self.species_index]

    def _collisions_with_h(self, temperature: np.ndarray) -> np.ndarray:
        """Damping (rad/s) per H atom per cm^3, (lines, L)."""
        lines = self.lines
        reduced = self.mass / (self.mass + 1.008) * 1.008 * ATOMIC_MASS_UNIT_G
        speed = np.sqrt(8 * K_BOLTZMANN_CGS * temperature / np.pi / reduced[:, None])  # cm/s
        rate = self.unsold[:, None] * speed**0.6
        abo = np.flatnonzero(~np.isnan(lines.abo_sigma))
        alpha = lines.abo_alpha[abo, None]
        area = lines.abo_sigma[abo, None] * BOHR_RADIUS_CM**2
        factor = 2 * (4 / np.pi) ** (alpha / 2) * gamma_function(2 - alpha / 2)
        rate[abo] = factor * area * speed[abo] * (speed[abo] / 1e6) ** -alpha
        given = np.flatnonzero(~np.isnan(lines.log_gamma_vdw))
        rate[given] = 10 ** lines.log_gamma_vdw[given, None] * (temperature / 1e4) ** 0.3
        return rate

    def add(
        self,
        extinction: np.ndarray,
        state: State,
        continuum: np.ndarray,
        visibility: np.ndarray,
    ) -> None:
        """Add all lines to the extinction, in place.

        Args:
            extinction: (L, n) cm^-1.
            state: the gas of the L layers.
            continuum: (L, n) continuous extinction on the same grid, cm^-1.
            visibility: (L,) 0..1, how much of a layer's light comes out; what a line adds where
                it is near 0 does not matter.
        """
        lines, which = self.lines, self.species_index
        if not len(lines):
            return
        temperature = state.temperature
        kt = K_BOLTZMANN_EV * temperature
        at = np.clip(np.searchsorted(self.wave, lines.wave), 0, len(self.wave) - 1)
        background = continuum[:, at].T / visibility  # (lines, L)
        doppler = 2e-10 * K_BOLTZMANN_CGS * temperature / ATOMIC_MASS_UNIT_G / self.masses[:, None]
        doppler = np.sqrt(doppler + self.microturbulence**2)[which]  # km/s
        ready = np.array([state.density[s] / state.partition[s] for s in self.species])[which]
        wave_cm = lines.wave[:, None] * 1e-8
        centre = _CLASSICAL / np.sqrt(np.pi) * 10.0 ** lines.log_gf[:, None] * ready
        centre *= np.exp(-lines.e_low[:, None] / kt) * -np.expm1(
            -HC_CM_K / (wave_cm * temperature)
        )
        centre *= wave_cm / (doppler * 1e5)  # extinction where H = 1
        used = np.flatnonzero(np.max(centre / background, axis=1) > _NEGLIGIBLE_LINE)
        perturbers = (
            state.density["H I"] + 0.42 * state.density["He I"] + 0.85 * state.density["H2"]
        )
        gamma = self._collisions_with_h(temperature) * perturbers
        gamma += self.radiative[:, None] + self.stark[:, None] * state.electron_density
        damping = gamma * wave_cm / (4 * np.pi * doppler * 1e5)
        strong = damping[used][:, visibility > 0.3].max(axis=1) > _STRONG
        for group, widths in ((used[~strong], _CORE_WIDTHS), (used[strong], _STRONG_WIDTHS)):
            if len(group):
                self._add_group(
                    extinction,
                    lines.wave[group],
                    widths,
                    centre[group].astype(np.float32),
                    doppler[group].astype(np.float32),
                    damping[group].astype(np.float32),
                    background[group].astype(np.float32),
                )

    def _add_group(
        self,
        extinction: np.ndarray,
        line_wave: np.ndarray,
        widths: float,
        centre: np.ndarray,
        doppler: np.ndarray,
        damping: np.ndarray,
        background: np.ndarray,
    ) -> None:
        line_velocity = np.log(line_wave) * C_KM_S
        core = widths * float(doppler.max())  # km/s
        edges = np.searchsorted(
            self.velocity, np.stack([line_velocity - core, line_velocity + core])
        )
        size = int((edges[1] - edges[0]).max())
        if size:
            index = np.minimum(edges[0][:, None] + np.arange(size), len(self.wave) - 1)
            distance = self.velocity[index] - line_velocity[:, None]  # (lines, size)
            distance = distance.astype(np.float32)
            profile = voigt(damping[:, :, None], distance[:, None, :] / doppler[:, :, None])
            profile *= centre[:, :, None]
            for line, (start, stop) in enumerate(edges.T):
                extinction[:, start:stop] += profile[line, :, : stop - start]
        wing = centre * damping * doppler**2 / np.sqrt(np.pi)
        reach = np.sqrt(np.max(wing / background, axis=1) / _NEGLIGIBLE_WING)
        mean_square = 1.5 * np.mean(doppler**2, axis=1)
        for line in np.flatnonzero(reach > core):
            limit = min(reach[line], _REACH_KM_S)
            low, high = np.searchsorted(
                self.velocity, [line_velocity[line] - limit, line_velocity[line] + limit]
            )
            for start, stop in ((low, edges[0, line]), (edges[1, line], high)):
                square = (self.velocity[start:stop] - line_velocity[line]) ** 2
                shape = 1 / (square - mean_square[line])
                extinction[:, start:stop] += wing[line, :, None] * shape.astype(extinction.dtype)


# Hui, Armstrong & Wray (1978, JQSRT 19, 509), p = 6
_HUI_ABOVE = (122.607931777, 214.382388695, 181.928533092, 93.1555804581, 30.1801421962,
              5.91262620977, 0.564189583563)  # fmt: skip
_HUI_BELOW = (122.607931774, 352.730625111, 457.334478784, 348.703917719, 170.354001821,
              53.9929069129, 10.4798571143, 1.0)  # fmt: skip


def voigt(a: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Voigt function H(a, u), H(0, 0) = 1.

    The rational approximation of Hui, Armstrong & Wray (1978), good to 1e-4 of H for a > .01.

    Args:
        a: damping parameter, > 0.
        u: distance from the centre in Doppler widths, broadcastable against `a`.
    """
    z = a - 1j * u
    above = np.full_like(z, _HUI_ABOVE[-1])
    for coefficient in _HUI_ABOVE[-2::-1]:
        above *= z
        above += coefficient
    below = z + _HUI_BELOW[-2]
    for coefficient in _HUI_BELOW[-3::-1]:
        below *= z
        below += coefficient
    above /= below
    return above.real


def _power(log: np.ndarray) -> np.ndarray:
    return 10.0 ** np.nan_to_num(log)
