r"""Paschen lines of H I with Stark broadening, and the dissolution of their upper levels.

The fields of ions and electrons broaden the lines 3 -> n.  In units of the Holtsmark field,
beta = |Delta lambda| / (K_3n F_0) with F_0 = 1.25e-9 n_e^(2/3), the profile is

    S = H(beta) (1 + q_e) / A * gamma_e / pi / (gamma_e^2 + beta^2) * thermal profile,

* meaning convolution: the quasi-static Holtsmark distribution H of the ions, the share q_e of
the electrons that act quasi-statically too, and the impact width gamma_e of the others (Griem
1960, ApJ 132, 883; Griem 1967, ApJ 147, 1092; constants as in the HLINOP routine of Peterson
and Kurucz). A is the area of the first, so that a line keeps its oscillator strength.

Level n survives in the fluctuating field with the occupation probability w_n of Hummer &
Mihalas (1988, ApJ 331, 794), in the form of Hubeny, Hummer & Lanz (1994, A&A 282, 151),
appendix A.  What dissolves, 1 - w_n, turns from line into continuum absorption (Daeppen,
Anderson & Mihalas 1987, ApJ 319, 195), so that the series runs smoothly into the edge at
8206 A.  Perturbations by neutral atoms, which that theory exaggerates, are left out.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.integrate import cumulative_trapezoid, quad
from scipy.special import exp1

from stargrav.constants import (
    ATOMIC_MASS_UNIT_G,
    C_CGS,
    C_KM_S,
    CLASSICAL_CM2_HZ,
    HC_CM_K,
    K_BOLTZMANN_CGS,
    K_BOLTZMANN_EV,
    RYDBERG_EV,
)
from stargrav.physics.opacity import RYDBERG_PER_A, hydrogen_photoionization

LOWER = 3
HIGHEST = 40  # beyond it every level counts as dissolved
EDGE = LOWER**2 / RYDBERG_PER_A  # A, vacuum
_STEP_KM_S = 4.0
_NEGLIGIBLE = 1e-3  # of the continuum


def line_wavelength(upper: np.ndarray) -> np.ndarray:
    """Vacuum wavelength, A, of the Paschen line from level `upper`."""
    return 1 / (RYDBERG_PER_A * (1 / LOWER**2 - 1 / np.asarray(upper, float) ** 2))


def oscillator_strength(upper: int) -> float:
    """Absorption oscillator strength of 3 -> n, fit of Johnson (1972) type as in HLINOP.

    Agrees with the exact values (Goldwire 1968) to 3e-3.
    """
    n, m = LOWER, upper
    kramers = 1.9603 * n * (m / ((m - n) * (m + n))) ** 3
    power = (m - n) ** 1.2
    weight = (power - 1) / (power + 0.45 - 2.4 / n**3 * (n - 1))
    return kramers * (1 - weight * 0.2027 / n**0.71 - (0.222 + 0.124 / n / m) * (1 - weight))


def occupation_probability(
    level: np.ndarray, temperature: np.ndarray, n_e: np.ndarray
) -> np.ndarray:
    """Probability that a level of H I is not destroyed by the field of the charges.

    Args:
        level: (...,) principal quantum number, not necessarily whole.
        temperature: K, broadcastable against `level`.
        n_e: cm^-3, broadcastable against `level`.

    Returns:
        broadcast shape, 0..1.
    """
    level = np.asarray(level, float)
    quantum = np.where(level > 3, 16 / 3 * level / (level + 1) ** 2, 1.0)
    field = 8.3e14 * n_e ** (-2 / 3) * quantum / level**4
    correlation = 0.09 * n_e ** (1 / 6) / np.sqrt(temperature)
    x = (1 + correlation) ** 3.15
    ratio = 0.1402 * (x + 4 * correlation**3) * field**3 / (1 + 0.1285 * x * field**1.5)
    return ratio / (1 + ratio)


@functools.cache
def _holtsmark_table() -> tuple[np.ndarray, np.ndarray]:
    """Probability of a field below beta, 0 <= beta <= 20, halved: one side of the line."""
    beta = np.concatenate([np.arange(0, 8, 0.05), np.arange(8, 20.01, 0.25)])
    density = [
        2 * b / np.pi * quad(lambda x: x * np.exp(-(x**1.5)), 0, 14, weight="sin", wvar=b)[0]
        for b in beta
    ]
    return beta, cumulative_trapezoid(density, beta, initial=0) / 2


def holtsmark_below(beta: np.ndarray) -> np.ndarray:
    """Probability of a field strength below beta (in F_0), counted on one side of a line.

    Args:
        beta: (...) >= 0.

    Returns:
        (...), from 0 to 1/2.
    """
    table_beta, table = _holtsmark_table()
    far = np.maximum(beta, 1.0)
    above = 0.748 * far**-1.5 * (1 / 1.5 + 5.107 / 3 * far**-1.5 + 14.43 / 4.5 * far**-3)
    return np.where(beta > 20, 0.5 - above, np.interp(beta, table_beta, table))


def stark_cells(
    beta: np.ndarray, half_cell: np.ndarray, upper: int, temperature: np.ndarray, n_e: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Impact and quasi-static profile of 3 -> upper, each integrated over cells of beta.

    Args:
        beta: (L, n) distance of the cells' centres from the line's over K_3n F_0, evenly spaced
            from 0.
        half_cell: (L, 1) half the width of a cell, same unit.
        upper: upper level.
        temperature: (L,) K.
        n_e: (L,) cm^-3.

    Returns:
        two (L, n) arrays: fraction of the profile inside each cell.
    """
    log_beta, widths, missing = _impact_widths(upper, temperature, n_e)
    position = np.log(np.maximum(beta, 0.5 * half_cell)) - log_beta[0]
    position = np.clip(position / (log_beta[1] - log_beta[0]), 0, len(log_beta) - 1.001)
    index = position.astype(int)
    row = np.arange(len(index))[:, None]
    lower, higher = widths[row, index], widths[row, index + 1]
    width = lower + (higher - lower) * (position - index)
    inner, outer = beta - half_cell, beta + half_cell
    impact = (np.arctan(outer / width) - np.arctan(inner / width)) / np.pi
    scale = _impact_constants(upper, temperature, n_e)[0]
    below = holtsmark_below(np.concatenate([np.abs(inner[:, :1]), outer], axis=1))
    ions = below[:, 1:] - below[:, :-1]  # cells are adjacent
    ions[:, 0] = 2 * below[:, 1]
    ions *= 1 + _quasi_static_electrons(scale * np.maximum(beta, 0.5 * half_cell))
    centres, edges = np.exp(log_beta), _edges(np.exp(log_beta))
    whole = 2 * np.diff(holtsmark_below(edges)) * (1 + _quasi_static_electrons(scale * centres))
    return impact / missing, ions / whole.sum(axis=1, keepdims=True)


def _quasi_static_electrons(y1: np.ndarray) -> np.ndarray:
    """Share of the electrons that act as ions do, at y_1 of Griem (1967)."""
    square = (0.9 * y1) ** 2
    return (square + 0.03 * np.sqrt(y1)) / (square + 1)


def _edges(beta: np.ndarray) -> np.ndarray:
    """Edges (k + 1,) of cells around (k,) centres that are even in the logarithm, from 0."""
    return np.concatenate([[0.0], np.sqrt(beta[1:] * beta[:-1]), [beta[-1]]])


def _impact_constants(
    upper: int, temperature: np.ndarray, n_e: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """y_1 / beta and y_2 / beta^2 of Griem (1967), each (L, 1)."""
    n, m = LOWER, upper
    t, n_e = temperature[:, None], n_e[:, None]
    field = 1.25e-9 * n_e ** (2 / 3)
    slope = stark_constant(m) / line_wavelength(m)
    weight = 1 / (1 + n_e / (1e14 if m - n <= 3 else 1e13))
    low = 380 * (t / 1e4) ** 0.3 * n_e ** (-1 / 6)
    high = 2 / (1 + 0.012 / t * np.sqrt(n_e / t))
    c1 = field * 78_940 / t * slope * (m**2 - n**2) ** 2 / (n * m) ** 2
    c2 = field**2 / (5.96e-23 * n_e) * slope**2
    return c1 * (low * weight + high * (1 - weight)), c2


def _impact_widths(
    upper: int, temperature: np.ndarray, n_e: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Impact half-width gamma_e against distance, and the area of the profile it gives.

    gamma_e shrinks away from the centre, where electrons turn quasi-static, so that the
    Lorentzians fall short of unit area; `stark_cells` makes up for it.

    Returns:
        ln beta (k,), gamma_e (L, k) in units of beta, area (L, 1).
    """
    c1, c2 = _impact_constants(upper, temperature, n_e)
    t, n_e = temperature[:, None], n_e[:, None]
    log_beta = np.linspace(np.log(1e-3), np.log(3e3), 60)
    beta = np.exp(log_beta)
    y1, y2 = np.maximum(c1 * beta, 1e-8), np.maximum(c2 * beta**2, 1e-12)
    near = 0.2 + 0.09 * np.sqrt(t / 1e4) / (1 + n_e / 1e13)
    far = 0.2 / (1 + n_e / 1e15)
    strength = 0.5 * np.exp(-np.minimum(y1, 80)) + _e1(y1) - 0.5 * _e1(y2)
    strength = strength * (1 - near / (1 + (90 * y1) ** 3) - far / (1 + 2000 * y1))
    width = np.maximum(6.77 * np.sqrt(c1) * strength, 1e-12)
    edges = _edges(beta)
    cells = np.arctan(edges[1:] / width) - np.arctan(edges[:-1] / width)
    return log_beta, width, 2 / np.pi * cells.sum(axis=1, keepdims=True)


def _e1(y: np.ndarray) -> np.ndarray:
    """Exponential integral E_1 from a table in ln y; 1e-12 to 80."""
    log_y, table = _e1_table()
    return np.interp(np.log(y), log_y, table)


@functools.cache
def _e1_table() -> tuple[np.ndarray, np.ndarray]:
    log_y = np.linspace(np.log(1e-12), np.log(80.0), 4000)
    return log_y, exp1(np.exp(log_y))


def stark_constant(upper: int) -> float:
    """K_3n of Griem (1960), eq. 33: displacement in A per unit field (statvolt / cm)."""
    n, m = LOWER, upper
    if m - n <= 3:
        return (0.1001, 0.171, 0.223)[m - n - 1]
    return 5.5e-5 * (n * m) ** 4 / (m**2 - n**2) / (1 + 0.13 / (m - n))


def add_lines(
    extinction: np.ndarray,
    wave: np.ndarray,
    continuum: np.ndarray,
    temperature: np.ndarray,
    n_e: np.ndarray,
    n_h: np.ndarray,
    microturbulence: float,
    visibility: np.ndarray,
) -> None:
    """Add the Paschen lines to the extinction, in place.

    Args:
        extinction: (L, n) cm^-1.
        wave: (n,) vacuum wavelength, A, increasing.
        continuum: (L,) continuous extinction near 8500 A, to tell what is negligible, cm^-1.
        temperature: (L,) K.
        n_e, n_h: (L,) number densities of electrons and H I, cm^-3.
        microturbulence: km/s.
        visibility: (L,) 0..1, how much of a layer's light comes out; what a line adds where it
            is near 0 does not matter.
    """
    kt = K_BOLTZMANN_EV * temperature
    lower = n_h * LOWER**2 * np.exp(-RYDBERG_EV * (1 - 1 / LOWER**2) / kt)
    survives = occupation_probability(LOWER, temperature, n_e)
    thermal = 2 * K_BOLTZMANN_CGS * temperature / ATOMIC_MASS_UNIT_G * 1e-10 / 1.00784
    doppler = np.sqrt(thermal + microturbulence**2)  # (L,) km/s
    field = 1.25e-9 * n_e ** (2 / 3)
    log_wave = np.log(wave)
    seen = visibility / (_NEGLIGIBLE * continuum)
    for upper in range(LOWER + 1, HIGHEST + 1):
        centre = float(line_wavelength(upper))
        if not wave[0] - 200 < centre < wave[-1] + 200:
            continue
        present = occupation_probability(upper, temperature, n_e) / survives
        stimulated = -np.expm1(-HC_CM_K / (centre * 1e-8 * temperature))
        area = CLASSICAL_CM2_HZ * oscillator_strength(upper) * lower * present * stimulated
        area = area * (centre * 1e-8) ** 2 / C_CGS * 1e8  # (L,) cm^-1 A
        unit = stark_constant(upper) * field  # (L,) A per beta
        # distance at which the Holtsmark wing 1.5 unit^1.5 / dlambda^2.5 falls below the limit
        reach = np.max((1.5 * seen * area * unit**1.5) ** 0.4)
        if np.max(seen * area / (doppler / C_KM_S * centre)) < 1:
            continue
        reach = max(reach / centre * C_KM_S, 3 * doppler.max())
        half = int(np.ceil(min(reach, 4000.0) / _STEP_KM_S)) + 1
        per_step = _STEP_KM_S / C_KM_S * centre / unit[:, None]
        cells = stark_cells(per_step * np.arange(half + 1), per_step / 2, upper, temperature, n_e)
        folded = _convolve(*cells, doppler / _STEP_KM_S) / (_STEP_KM_S / C_KM_S * centre)
        start, stop = np.searchsorted(wave, centre * (1 + np.array([-1, 1]) * reach / C_KM_S))
        if start == stop:
            continue
        position = (log_wave[start:stop] - np.log(centre)) * C_KM_S / _STEP_KM_S + half
        index = np.clip(position.astype(int), 0, 2 * half - 1)
        fraction = np.clip(position - index, 0, 1)
        folded *= area[:, None]
        extinction[:, start:stop] += folded[:, index] * (1 - fraction)
        extinction[:, start:stop] += folded[:, index + 1] * fraction


def _convolve(impact: np.ndarray, quasi_static: np.ndarray, doppler: np.ndarray) -> np.ndarray:
    """Both Stark profiles, (L, half + 1) from the centre outwards, and the thermal one, folded.

    Returns:
        (L, 2 half + 1), both sides; what the truncation at `half` cuts off stays lost.
    """
    half = impact.shape[1] - 1
    size = next_fast_len(4 * half + 2, real=True)
    product = np.exp(-((np.pi * doppler[:, None] * np.fft.rfftfreq(size)) ** 2))
    for profile in (impact, quasi_static):
        circular = np.zeros((len(profile), size))
        circular[:, : half + 1] = profile
        circular[:, -half:] = profile[:, :0:-1]
        product = product * rfft(circular, axis=1).real
    folded = irfft(product, n=size, axis=1)
    return np.concatenate([folded[:, half:0:-1], folded[:, : half + 1]], axis=1)


def dissolved_continuum(
    wave: np.ndarray, temperature: np.ndarray, n_e: np.ndarray, n_h: np.ndarray
) -> np.ndarray:
    """Bound-free absorption from level 3 into dissolved levels, redward of the edge.

    Args:
        wave: (n,) vacuum wavelength, A.
        temperature: (L,) K.
        n_e, n_h: (L,) number densities of electrons and H I, cm^-3.

    Returns:
        (L, n) cm^-1; zero blueward of the edge, where `opacity` counts it in full.
    """
    wave = np.asarray(wave, float)
    inverse_square = 1 / LOWER**2 - 1 / (RYDBERG_PER_A * wave)
    red = inverse_square > 0
    level = np.where(red, np.maximum(inverse_square, 1e-8) ** -0.5, np.inf)
    t, electrons = temperature[:, None], n_e[:, None]
    reached = np.minimum(level, HIGHEST + 0.5)
    present = occupation_probability(reached, t, electrons)
    present = present / occupation_probability(LOWER, t, electrons)
    dissolved = np.where(level > HIGHEST + 0.5, 1.0, 1 - present)
    kt = K_BOLTZMANN_EV * temperature
    lower = n_h * LOWER**2 * np.exp(-RYDBERG_EV * (1 - 1 / LOWER**2) / kt)
    stimulated = -np.expm1(-HC_CM_K / (wave * 1e-8 * t))
    section = hydrogen_photoionization(wave, LOWER) * red
    return lower[:, None] * section * np.maximum(dissolved, 0) * stimulated
