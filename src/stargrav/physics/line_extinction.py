r"""Extinction by atomic lines with Voigt profiles.

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
from importlib.resources import files

import numpy as np
from scipy.special import gamma as gamma_function

from stargrav.constants import (
    ATOMIC_MASS_UNIT_G,
    BOHR_RADIUS_CM,
    C_KM_S,
    CLASSICAL_CM2_HZ,
    HC_CM_K,
    K_BOLTZMANN_CGS,
    K_BOLTZMANN_EV,
    RYDBERG_EV,
)
from stargrav.physics.equation_of_state import State, atomic_mass
from stargrav.physics.lines import LineList

REACH = 100.0  # A, beyond the grid, where lines still have wings on it
_NEGLIGIBLE_LINE = 1e-3  # central extinction over the continuum's below which a line is left out
_NEGLIGIBLE_WING = 1e-4
_CORE_WIDTHS = 6.0
_STRONG_WIDTHS = 12.0  # core of lines whose damping parameter exceeds _STRONG anywhere
_STRONG = 0.3
_REACH_KM_S = 6000.0
_LEAST_BOUND = 0.05  # eV, n_eff = 16
# Edvardsson et al. (1993), sect. 4.2.1, after measured and empirical damping constants
_ENHANCEMENT = {"Na I": 2.0, "Si I": 1.3, "Ca I": 1.8, "Fe I": 1.4}
_ENHANCEMENT_OTHER = 2.5


@functools.cache
def _ionization() -> dict[str, float]:
    """Ionisation energy, eV, of every species."""
    text = (files("stargrav.physics") / "tables" / "ionization.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(row for row in text.splitlines() if not row.startswith("#"))
    return {row["species"]: float(row["energy_ev"]) for row in rows}


class LineExtinction:
    """Adds the extinction of a line list on a fixed wavelength grid.

    Args:
        lines: the list; lines off the grid by more than `REACH` are dropped.
        wave: (n,) vacuum wavelength, A, increasing.
        microturbulence: km/s.
    """

    def __init__(self, lines: LineList, wave: np.ndarray, microturbulence: float) -> None:
        keep = (lines.wave > wave[0] - REACH) & (lines.wave < wave[-1] + REACH)
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
        limit = ionization + np.nan_to_num(lines.core_ev)
        bound_up, bound_low = _bound(limit - e_up), _bound(limit - lines.e_low)
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
        centre = CLASSICAL_CM2_HZ / np.sqrt(np.pi) * 10.0 ** lines.log_gf[:, None] * ready
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


def _bound(energy: np.ndarray) -> np.ndarray:
    """Binding energies, eV; of a state above the limit (which converges to another one) .3 eV."""
    return np.where(energy > 0, np.maximum(energy, _LEAST_BOUND), 0.3)


def _power(log: np.ndarray) -> np.ndarray:
    return 10.0 ** np.nan_to_num(log)
