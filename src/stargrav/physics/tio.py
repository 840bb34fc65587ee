"""Lines of TiO from its potential curves: gamma, gamma', epsilon, delta and phi systems.

Vibrational levels and their transition moments are solved in the potential of each electronic
state (Colbert & Miller 1992, J. Chem. Phys. 96, 1982). In Hund's case (a), with v and Sigma as
basis and the rotational constant as a matrix in v (which carries centrifugal distortion),

    H = E_v + A L_z S_z + spin-spin + spin-rotation + B_vv' R^2 + spin-orbit to a singlet

is diagonalised for each J and parity. Titanium's other isotopes move every level by its kinetic
energy times the relative change of 1/mu (Hellmann & Feynman).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from stargrav.constants import HC_CM_K
from stargrav.physics.hund import MolecularLines, clebsch_gordan, read_table

MASS_U = 63.866  # IUPAC standard atomic weights
OXYGEN_U = 15.994_914_62
# Titanium: mass (u; Wang et al. 2017, AME2016) and fraction (Meija et al. 2016).
ISOTOPES = {
    48: (47.947_940_9, 0.7372),
    46: (45.952_626_9, 0.0825),
    47: (46.951_757_9, 0.0744),
    49: (48.947_864_8, 0.0541),
    50: (49.944_785_8, 0.0518),
}
HBAR2_CM_A2_U = 16.857_629  # hbar^2 / 2 in cm^-1 A^2 u
DISSOCIATION_CM = 55_410.0
R_GRID = np.arange(1.25, 2.45, 0.0125)  # A
LEVELS = 12  # vibrational levels of a state
J = np.arange(0.0, 141.0)
WINDOW = (11_250.0, 14_150.0)  # cm^-1: 7067-8889 A
# Lines with gf e^{-E / k FAINT_K} below this are left out; the strongest reach 1.4.
FAINT, FAINT_K = 1e-4, 3500.0
F_PER_DEBYE2_CM = 4.701_75e-7  # f = this * wavenumber * S / g, S in debye^2
BLOCKS = (("X3Delta", "a1Delta"), ("E3Pi", "b1Pi"), ("A3Phi", "c1Phi"), ("B3Pi",), ("d1Sigma",))


def reduced_mass(isotope: int = 48) -> float:
    """Reduced mass of a titanium isotope and 16O, u."""
    titanium = ISOTOPES[isotope][0]
    return titanium * OXYGEN_U / (titanium + OXYGEN_U)


@dataclass(frozen=True)
class Vibration:
    """Vibrational levels of one electronic state.

    Attributes:
        energy: (v,) cm^-1 above the minimum of X.
        wavefunction: (r, v), normalised on `R_GRID`.
        kinetic: (v, v) cm^-1.
        rotation: (v, v) cm^-1, hbar^2 / (2 mu r^2).
    """

    energy: np.ndarray
    wavefunction: np.ndarray
    kinetic: np.ndarray
    rotation: np.ndarray


@cache
def _states() -> dict[str, dict[str, float]]:
    rows = read_table("tio_states.csv")
    return {
        row["state"]: {k: float(x) for k, x in row.items() if k not in ("state", "source")}
        for row in rows
    }


def potential(state: str, r: np.ndarray) -> np.ndarray:
    """Extended Morse potential of a state in cm^-1 at distances r (A)."""
    c = _states()[state]
    y = (r**2 - c["r_e"] ** 2) / (r**2 + c["r_e"] ** 2)
    inner = np.polynomial.polynomial.polyval(y, [c["b0"], c["b1"]])
    outer = np.polynomial.polynomial.polyval(y, [c[f"b{i}"] for i in range(5)])
    morse = 1 - np.exp(-np.where(y < 0, inner, outer) * (r - c["r_e"]))
    return c["T_e"] + (DISSOCIATION_CM - c["T_e"]) * morse**2


@cache
def vibration(state: str) -> Vibration:
    """Solves the vibration of 48TiO in a state, by sinc functions on `R_GRID`."""
    n, step = R_GRID.size, R_GRID[1] - R_GRID[0]
    factor = HBAR2_CM_A2_U / reduced_mass()
    difference = np.subtract.outer(np.arange(n), np.arange(n))
    sign = np.where(difference % 2, -1.0, 1.0)
    off = 2 * sign / np.where(difference, difference, 1) ** 2
    kinetic = factor / step**2 * np.where(difference, off, np.pi**2 / 3)
    energy, vector = np.linalg.eigh(kinetic + np.diag(potential(state, R_GRID)))
    vector = vector[:, :LEVELS]
    rotation = vector.T @ (factor / R_GRID[:, None] ** 2 * vector)
    return Vibration(energy[:LEVELS], vector, vector.T @ kinetic @ vector, rotation)


def transition_moments(system: dict[str, str]) -> np.ndarray:
    """(v_upper, v_lower) transition moments between levels of definite parity, debye.

    That is sqrt 2 times the Cartesian moment: from mu_x to the spherical component where both
    Lambda > 0, from one to both senses of Lambda where the lower Lambda is 0.
    """
    r0, mu0, k = (float(system[key]) for key in ("r0", "mu0", "k"))
    mu = mu0 * (0.5 + np.arctan(k * (R_GRID - r0)) / np.pi)
    lower, upper = vibration(system["lower"]), vibration(system["upper"])
    return np.sqrt(2) * upper.wavefunction.T @ (mu[:, None] * lower.wavefunction)


@dataclass(frozen=True)
class Block:
    """Levels of the states that mix, for all J of one parity.

    Attributes:
        energy: (J, level) cm^-1 above the minimum of X; infinite where no such level exists.
        vector: (J, basis, level).
        kinetic: (J, level) mean kinetic energy, cm^-1.
        basis: state and Sigma -> slice of the basis (its v).
    """

    energy: np.ndarray
    vector: np.ndarray
    kinetic: np.ndarray
    basis: dict[tuple[str, int], slice]


def _sigmas(state: str) -> tuple[int, ...]:
    return (-1, 0, 1) if _states()[state]["multiplicity"] == 3 else (0,)


def _projections(state: str, sigma: int) -> float:
    """J(J+1) - <R^2> = Omega^2 + Lambda^2 + Sigma^2 - S(S+1), as M19 fitted the potentials."""
    c = _states()[state]
    spin, lam = (c["multiplicity"] - 1) / 2, c["lambda"]
    return (lam + sigma) ** 2 + lam**2 + sigma**2 - spin * (spin + 1)


@cache
def block(states: tuple[str, ...], parity: int) -> Block:
    """Diagonalises the states of one of `BLOCKS`; parity 1 for e and -1 for f levels."""
    keys = [(state, sigma) for state in states for sigma in _sigmas(state)]
    basis = {key: slice(i * LEVELS, (i + 1) * LEVELS) for i, key in enumerate(keys)}
    size = len(keys) * LEVELS
    fixed = np.zeros((size, size))
    kinetic = np.zeros((J.size, size, size))
    missing = np.zeros((J.size, size), bool)
    jj = J * (J + 1)
    for (state, sigma), here in basis.items():
        c, levels = _states()[state], vibration(state)
        spin, omega = (c["multiplicity"] - 1) / 2, c["lambda"] + sigma
        energy = levels.energy + c["spin_orbit"] * sigma
        energy += 2 / 3 * c["spin_spin"] * (3 * sigma**2 - spin * (spin + 1))
        energy += c["spin_rotation"] * (omega * sigma - spin * (spin + 1))
        if c["lambda"] == 1 and sigma == -1:
            energy += parity * c["opq"]
        fixed[here, here] += np.diag(energy)
        square = jj - _projections(state, sigma)
        kinetic[:, here, here] += levels.kinetic + square[:, None, None] * levels.rotation
        fixed[here, here] -= levels.kinetic
        missing[:, here] = (J < omega)[:, None] | (c["lambda"] == 0 and parity < 0)
        if sigma < spin and (state, sigma + 1) in basis:
            there = basis[state, sigma + 1]
            ladder = np.sqrt(np.maximum(jj - omega * (omega + 1), 0)) * np.sqrt(2)
            mixing = c["spin_rotation"] / 2 * np.eye(LEVELS)
            if c["lambda"] == 1 and sigma == -1:
                mixing = mixing - parity * c["p2q"] / 2 * np.eye(LEVELS)
            _fill(kinetic, here, there, -ladder[:, None, None] * levels.rotation)
            _fill(kinetic, here, there, ladder[:, None, None] * mixing)
    for row in read_table("tio_couplings.csv"):
        triplet, singlet = (row["triplet"], 0), (row["singlet"], 0)
        if triplet in basis:
            overlap = vibration(triplet[0]).wavefunction.T @ vibration(singlet[0]).wavefunction
            fixed[basis[triplet], basis[singlet]] = float(row["coupling"]) * overlap
            fixed[basis[singlet], basis[triplet]] = float(row["coupling"]) * overlap.T
    hamiltonian = fixed + kinetic
    # States that do not exist at this J are decoupled and sent to infinity.
    absent = missing[:, :, None] | missing[:, None, :]
    hamiltonian = np.where(absent, np.eye(size) * 1e7, hamiltonian)
    energy, vector = np.linalg.eigh(hamiltonian)
    mean = np.einsum("jbl,jbl->jl", vector, kinetic @ vector)
    return Block(np.where(energy > 9e6, np.inf, energy), vector, mean, basis)


def _fill(matrix: np.ndarray, here: slice, there: slice, value: np.ndarray) -> None:
    matrix[:, here, there] += value
    matrix[:, there, here] += np.swapaxes(value, 1, 2)


@cache
def lines() -> MolecularLines:
    """Lines of all band systems within `WINDOW`, the five isotopologues together."""
    found = [_system_lines(row) for row in read_table("tio_systems.csv")]
    columns = (np.concatenate(column) for column in zip(*found, strict=True))
    wavenumber, energy, gf, shift, energy_shift = columns
    parts = []
    for isotope, (_, fraction) in ISOTOPES.items():
        change = reduced_mass() / reduced_mass(isotope) - 1
        parts.append(
            (
                wavenumber + change * shift,
                energy + change * energy_shift,
                fraction * gf,
            )
        )
    return MolecularLines(*(np.concatenate(x) for x in zip(*parts, strict=True)), MASS_U)


def _system_lines(system: dict[str, str]) -> tuple[np.ndarray, ...]:
    """Wavenumber, lower energy, gf of 48TiO, and the kinetic energies that isotopes scale."""
    lower_block, upper_block = (
        next(states for states in BLOCKS if system[key] in states) for key in ("lower", "upper")
    )
    moments = transition_moments(system)
    zero = ground_energy()
    q = int(_states()[system["upper"]]["lambda"] - _states()[system["lower"]]["lambda"])
    lambda_lower = _states()[system["lower"]]["lambda"]
    result = []
    for parity in (1, -1):
        low = block(lower_block, parity)
        for delta_j in (-1, 0, 1):
            high = block(upper_block, parity if delta_j else -parity)
            start = np.arange(max(0, -delta_j), J.size - max(0, delta_j))
            end = start + delta_j
            amplitude = 0.0
            for sigma in _sigmas(system["lower"]):
                factor = clebsch_gordan(J[start], lambda_lower + sigma, q, delta_j)
                left = high.vector[end][:, high.basis[system["upper"], sigma]]
                right = low.vector[start][:, low.basis[system["lower"], sigma]]
                scale = (factor * np.sqrt(2 * J[start] + 1))[:, None, None]
                amplitude = amplitude + scale * (np.swapaxes(left, 1, 2) @ (moments @ right))
            e_low, e_high = low.energy[start][:, None, :], high.energy[end][:, :, None]
            exists = np.isfinite(e_low) & np.isfinite(e_high)
            nu = np.where(exists, e_high, 0) - np.where(exists, e_low, 0)
            keep = exists & (nu > WINDOW[0]) & (nu < WINDOW[1]) & (amplitude != 0)
            pick = np.nonzero(keep)
            strength = F_PER_DEBYE2_CM * nu[pick] * amplitude[pick] ** 2
            energy = e_low[pick[0], 0, pick[2]] - zero
            bright = strength * np.exp(-HC_CM_K * energy / FAINT_K) > FAINT
            at, to, of = (index[bright] for index in pick)
            t_low, t_high = low.kinetic[start[at], of], high.kinetic[end[at], to]
            found = nu[pick], energy, strength
            result.append((*(x[bright] for x in found), t_high - t_low, t_low))
    return tuple(np.concatenate(x) for x in zip(*result, strict=True))


def ground_energy() -> float:
    """Energy of the lowest level, X 3Delta_1 v = 0 J = 1, above the minimum of X, cm^-1."""
    return float(np.min(block(BLOCKS[0], 1).energy))


def partition_function(temperature: np.ndarray) -> np.ndarray:
    """Sum over the levels of all states of the table, without nuclear spin.

    Spin-orbit coupling between states and the mixing of Sigma are left out here.

    Args:
        temperature: (L,) K.

    Returns:
        (L,).
    """
    t = np.asarray(temperature, float)[:, None]
    total = np.zeros(t.size)
    rotation = np.arange(0.0, 250.0)
    for state, c in _states().items():
        levels = vibration(state)
        for sigma in _sigmas(state):
            omega = c["lambda"] + sigma
            square = rotation * (rotation + 1) - _projections(state, sigma)
            energy = levels.energy + c["spin_orbit"] * sigma - ground_energy()
            energy = energy[:, None] + np.diag(levels.rotation)[:, None] * square
            weight = (2 * rotation + 1) * (rotation >= omega) * (2 if c["lambda"] else 1)
            for level in energy:
                total += np.exp(-HC_CM_K * level / t) @ weight
    return total
