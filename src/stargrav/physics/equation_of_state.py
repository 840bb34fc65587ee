r"""Chemical equilibrium of the gas: from temperature and pressure to every species' density.

All densities follow from those of the neutral atoms and of the electrons by the law of mass
action. For a molecule (or ion) s made of atoms a, nu_a of each, and of q_s fewer electrons,

    n_s / (Q_s m_s^{3/2}) = lambda_T^{3 (nu - q_s - 1)} exp(E_s / kT)
                            prod_a (n_a / (Q_a m_a^{3/2}))^{nu_a} (n_e / 2)^{-q_s},

E_s being the energy set free by forming s from neutral atoms, masses in units of the electron's
in the exponents of lambda_T = (h^2 / 2 pi m_e k T)^{1/2}: Saha's equation for ions, Guldberg and
Waage's for molecules (Tatum 1966, Publ. Dom. Astrophys. Obs. 13, 1). Closure comes from
conservation of every element and of charge, and from the pressure of all particles,

    sum_s nu_as n_s = A_a N,    sum_s q_s n_s = n_e,    (sum_s n_s + n_e) kT = P.

Only H, C, N and O meet each other in molecules here; any other atom occurs once per molecule,
so that its ionisation and its molecules follow in closed form from the six unknowns
(n_H, n_C, n_N, n_O, n_e, N), the logarithms of which a Newton iteration finds for all layers at
once. Partition functions are those of Barklem & Collet (2016, A&A 588, A96), their lowering by
the plasma is neglected. Missing: molecules of two metals (SiS), TiO2, C3 and grains; below about
2000 K they matter.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from scipy.interpolate import CubicSpline

from stargrav.constants import (
    ATOMIC_MASS_UNIT_G,
    ELECTRON_MASS_G,
    H_CGS,
    K_BOLTZMANN_CGS,
    K_BOLTZMANN_EV,
)
from stargrav.labels import LABELS

ALPHA_ELEMENTS = ("O", "Ne", "Mg", "Si", "S", "Ca", "Ti")

_CORE = ("H", "C", "N", "O")  # the atoms that molecules may hold more than one of
_LN10 = float(np.log(10.0))
_STAGES = ("I", "II", "III")
_MAX_STEP = 3.0  # in ln n, so that a bad start does not overshoot
_TOLERANCE = 1e-10
_MAX_ITERATIONS = 60
_TINY = 1e-300


@dataclass(frozen=True)
class State:
    """Composition of the gas in each of L layers.

    Attributes:
        temperature: (L,) [K].
        gas_pressure: (L,) [dyn/cm2].
        electron_density: (L,) [1/cm3].
        rho: (L,) mass density [g/cm3].
        nuclei: (L,) density of hydrogen nuclei in any form [1/cm3].
        density: species name ("H I", "Fe II", "H-", "TiO") -> (L,) [1/cm3].
        partition: species name -> (L,) partition function, without nuclear spin.
    """

    temperature: np.ndarray
    gas_pressure: np.ndarray
    electron_density: np.ndarray
    rho: np.ndarray
    nuclei: np.ndarray
    density: Mapping[str, np.ndarray]
    partition: Mapping[str, np.ndarray]


def elements() -> tuple[str, ...]:
    """Symbols of the elements of the equation of state."""
    return tuple(_solar())


def atomic_mass(element: str) -> float:
    """Atomic mass [u] of an element's symbol."""
    return _solar()[element][0]


def abundances(labels: np.ndarray) -> dict[str, float]:
    """Number abundances for given labels: the solar mixture, scaled.

    Metals follow M_H, the `ALPHA_ELEMENTS` M_H + a_M, carbon M_H + C_M; helium stays.

    Args:
        labels: (5,), order `LABELS`; only M_H, a_M, C_M matter.

    Returns:
        element -> number of atoms per hydrogen atom (Asplund, Grevesse & Sauval 2005).
    """
    label = dict(zip(LABELS, np.asarray(labels, dtype=float), strict=True))
    result = {}
    for element, (_, log_solar) in _solar().items():
        shift = 0.0 if element in ("H", "He") else label["M_H"]
        if element in ALPHA_ELEMENTS:
            shift += label["a_M"]
        elif element == "C":
            shift += label["C_M"]
        result[element] = float(10.0 ** (log_solar - 12.0 + shift))
    return result


def partition_function(species: str, temperature: np.ndarray) -> np.ndarray:
    """Partition function of one species, without nuclear spin.

    Args:
        species: "Fe I", "Ca II", "CN", ...
        temperature: any shape [K]; beyond 1000-10000 K a power law goes on.
    """
    system = _system()
    ln_t = np.log(np.asarray(temperature, dtype=float))
    return np.exp(_ln_partition(system, ln_t)[..., system.index[species]])


def solve(
    temperature: np.ndarray, gas_pressure: np.ndarray, abundance: Mapping[str, float]
) -> State:
    """Chemical equilibrium of every layer.

    Args:
        temperature: (L,) [K], 1500 to 12000.
        gas_pressure: (L,) [dyn/cm2], including the electrons'.
        abundance: element -> atoms per hydrogen atom, as `abundances` gives it.

    Raises:
        ArithmeticError: the iteration did not converge (names the layer).
    """
    system = _system()
    temperature = np.asarray(temperature, dtype=float)
    gas_pressure = np.asarray(gas_pressure, dtype=float)
    amount = np.maximum([abundance[element] for element in _solar()], _TINY)
    ln_q = _ln_partition(system, np.log(temperature))
    constants = system.ln_constants(temperature, ln_q)
    total = gas_pressure / (K_BOLTZMANN_CGS * temperature)

    unknown = _first_guess(system, constants, total, amount)
    for _ in range(_MAX_ITERATIONS):
        density, response = system.densities(unknown, constants, amount)
        residual, jacobian = system.residuals(unknown, density, response, total, amount)
        step = np.linalg.solve(jacobian, -residual[..., None])[..., 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        unknown = unknown + step * np.minimum(1.0, _MAX_STEP / np.maximum(largest, _TINY))
        if largest.max() < _TOLERANCE:
            break
    else:
        layer = int(largest[:, 0].argmax())
        raise ArithmeticError(
            f"equation of state: layer {layer} (T {temperature[layer]:.0f} K, "
            f"P {gas_pressure[layer]:.3g} dyn/cm2) did not converge"
        )

    density, _ = system.densities(unknown, constants, amount)
    electrons = np.exp(unknown[:, -2])
    partition = np.exp(ln_q)
    return State(
        temperature=temperature,
        gas_pressure=gas_pressure,
        electron_density=electrons,
        rho=ATOMIC_MASS_UNIT_G * density @ system.mass,
        nuclei=np.exp(unknown[:, -1]),
        density={name: density[:, i] for name, i in system.index.items()},
        partition={name: partition[:, i] for name, i in system.index.items()},
    )


@dataclass(frozen=True)
class _System:
    """Stoichiometry and energies of all S species, E elements; K = 6 unknowns.

    The unknowns are ln of n(H I), n(C I), n(N I), n(O I), n_e and N, the density of H nuclei.
    """

    index: Mapping[str, int]
    atoms: np.ndarray  # (S, E) atoms of each element in a species
    charge: np.ndarray  # (S,)
    energy: np.ndarray  # (S,) eV set free by forming it from neutral atoms
    mass: np.ndarray  # (S,) u
    slope: np.ndarray  # (S, K) d ln n_s / d unknown at fixed density of the trace element
    family: np.ndarray  # (T, S) 1 where species s holds trace element t
    trace: np.ndarray  # (T,) index of the trace elements among the elements
    counts: np.ndarray  # (5, S) H, C, N, O nuclei and positive charge
    spline: CubicSpline  # ln T -> ln Q, (S,)

    def ln_constants(self, temperature: np.ndarray, ln_q: np.ndarray) -> np.ndarray:
        """ln of n_s over the product of its atoms' and electrons' densities, (L, S)."""
        # per particle: ln of Q (2 pi m kT / h^2)^{3/2}
        thermal = 1.5 * np.log(
            2.0 * np.pi * ATOMIC_MASS_UNIT_G * K_BOLTZMANN_CGS * temperature / H_CGS**2
        )
        ln_phase = ln_q + 1.5 * np.log(self.mass) + thermal[:, None]
        electron_mass = ELECTRON_MASS_G / ATOMIC_MASS_UNIT_G
        ln_phase_electron = np.log(2.0) + 1.5 * np.log(electron_mass) + thermal
        neutral = ln_phase[:, [self.index[f"{element} I"] for element in _solar()]]
        return (
            ln_phase
            - neutral @ self.atoms.T
            + np.outer(ln_phase_electron, self.charge)
            + self.energy / (K_BOLTZMANN_EV * temperature)[:, None]
        )

    def densities(
        self, unknown: np.ndarray, constants: np.ndarray, amount: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Densities (L, S) and their logarithmic derivatives (L, S, K) by the unknowns."""
        ln_n = constants + unknown @ self.slope.T
        response = np.broadcast_to(self.slope, (len(unknown), *self.slope.shape)).copy()
        member = self.family.any(axis=0)
        peak = np.where(self.family[None] > 0, ln_n[:, None, :], -np.inf).max(axis=2)  # (L, T)
        peak_s = peak @ self.family
        weight = np.where(member, np.exp(np.where(member, ln_n - peak_s, 0.0)), 0.0)
        norm = weight @ self.family.T  # (L, T)
        ln_atoms = np.log(amount[self.trace]) + unknown[:, -1:]  # (L, T)
        ln_scale = (ln_atoms - np.log(norm) - peak) @ self.family
        ln_n = ln_n + ln_scale
        share = weight / np.where(member, norm @ self.family, 1.0)
        mean_slope = np.einsum("ts,ls,sk->ltk", self.family, share, self.slope, optimize=True)
        response -= np.einsum("ts,ltk->lsk", self.family, mean_slope, optimize=True)
        response[:, member, -1] += 1.0
        return np.exp(ln_n), response

    def residuals(
        self,
        unknown: np.ndarray,
        density: np.ndarray,
        response: np.ndarray,
        total: np.ndarray,
        amount: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logarithmic residuals (L, K) of the closure and their Jacobian (L, K, K)."""
        electrons, nuclei = np.exp(unknown[:, -2]), np.exp(unknown[:, -1])
        core = [list(_solar()).index(element) for element in _CORE]
        negative = density @ np.maximum(-self.charge, 0)
        terms = np.concatenate([self.counts, np.ones((1, len(self.charge)))])  # (K, S)
        found = density @ terms.T  # (L, K)
        slope = np.einsum("ks,ls,lsj->lkj", terms, density, response, optimize=True)
        found[:, -1] += electrons
        slope[:, -1, -2] += electrons
        wanted = np.concatenate(
            [nuclei[:, None] * amount[core], (electrons + negative)[:, None], total[:, None]],
            axis=1,
        )
        slope /= found[..., None]
        slope[:, : len(_CORE), -1] -= 1.0
        minus = np.maximum(-self.charge, 0)
        slope[:, -2] -= (
            np.einsum("s,ls,lsj->lj", minus, density, response, optimize=True)
            / (electrons + negative)[:, None]
        )
        slope[:, -2, -2] -= electrons / (electrons + negative)
        return np.log(found) - np.log(wanted), slope


def _first_guess(
    system: _System, constants: np.ndarray, total: np.ndarray, amount: np.ndarray
) -> np.ndarray:
    """Unknowns (L, 6) from H, H2 and CO alone, and Saha for H and one easily ionised metal."""
    symbols = list(_solar())
    per_nucleus = amount.sum()
    nuclei = total / per_nucleus
    saha_h = np.exp(constants[:, system.index["H II"]])
    saha_metal = np.exp(constants[:, system.index["Fe II"]])
    metals = amount[[symbols.index(e) for e in ("Na", "Mg", "Al", "Si", "K", "Ca", "Fe")]].sum()
    hydrogen = _quadratic(saha_h, saha_h * nuclei)
    electrons = np.maximum(hydrogen, _quadratic(saha_metal, saha_metal * metals * nuclei))
    electrons = np.maximum(electrons, 1e-12 * total)
    h2 = 2.0 * np.exp(constants[:, system.index["H2"]])
    neutral = _quadratic(1.0 / h2, nuclei / h2) * electrons / (electrons + saha_h)
    co = np.exp(constants[:, system.index["CO"]])
    carbon, nitrogen, oxygen = (amount[symbols.index(e)] * nuclei for e in ("C", "N", "O"))
    free_carbon = _quadratic(1.0 / co + oxygen - carbon, carbon / co)
    free_oxygen = oxygen / (1.0 + co * free_carbon)
    guess = (neutral, free_carbon, nitrogen, free_oxygen, electrons, nuclei)
    return np.log(np.maximum(np.stack(guess, axis=1), _TINY))


def _quadratic(b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Positive root of x^2 + b x - c without cancellation."""
    root = np.sqrt(b * b + 4.0 * c)
    return np.where(b > 0, 2.0 * c / np.maximum(b + root, _TINY), (root - b) / 2.0)


def _ln_partition(system: _System, ln_t: np.ndarray) -> np.ndarray:
    """ln Q of all species at ln T: spline inside the table, power law outside."""
    low, high = system.spline.x[0], system.spline.x[-1]
    inside = np.clip(ln_t, low, high)
    return system.spline(inside) + system.spline(inside, 1) * (ln_t - inside)[..., None]


@cache
def _solar() -> dict[str, tuple[float, float]]:
    """Element -> mass [u] and solar log10(N / N_H) + 12."""
    return {
        row["element"]: (float(row["mass_u"]), float(row["log_abundance"]))
        for row in _table("abundances.csv")
    }


@cache
def _system() -> _System:
    """All species of the tables."""
    symbols = list(_solar())
    temperatures, ln_q = _partition_table()
    steps = {row["species"]: float(row["energy_ev"]) for row in _table("ionization.csv")}
    species: dict[str, tuple[dict[str, int], int, float]] = {}
    for element in symbols:
        energy = 0.0
        for charge, stage in enumerate(_STAGES):
            name = f"{element} {stage}"
            if name not in ln_q:
                break
            species[name] = ({element: 1}, charge, energy)
            energy -= steps.get(name, np.inf)
    species["H-"] = ({"H": 1}, -1, steps["H-"])
    for row in _table("molecular_equilibrium.csv"):
        atoms = dict(_atom_count(part) for part in row["atoms"].split())
        charge, energy = int(row["charge"]), float(row["dissociation_ev"])
        # the dissociation energy of H2+ is to H + H+
        species[row["species"]] = (atoms, charge, energy - charge * steps["H I"])
    trace = [symbols.index(element) for element in symbols if element not in _CORE]
    counts = np.zeros((len(species), len(symbols)))
    for i, (atoms, _, _) in enumerate(species.values()):
        for element, number in atoms.items():
            counts[i, symbols.index(element)] = number
    charge = np.array([charge for _, charge, _ in species.values()], dtype=float)
    core = counts[:, [symbols.index(element) for element in _CORE]]
    slope = np.column_stack([core, -charge, np.zeros(len(species))])
    return _System(
        index={name: i for i, name in enumerate(species)},
        atoms=counts,
        charge=charge,
        energy=np.array([energy for _, _, energy in species.values()]),
        mass=counts @ np.array([mass for mass, _ in _solar().values()]),
        slope=slope,
        family=counts[:, trace].T.copy(),
        trace=np.array(trace),
        counts=np.vstack([core.T, np.maximum(charge, 0)]),
        spline=CubicSpline(np.log(temperatures), np.column_stack([ln_q[s] for s in species])),
    )


def _partition_table() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Temperatures (n,) and ln Q (n,) by species; gaps at the hot end go on as a power law."""
    rows = _table("partition_functions.csv")
    columns = [key for key in rows[0] if key not in ("species", "source")]
    temperatures = np.array([float(key) for key in columns])
    ln_t = np.log(temperatures)
    table = {}
    for row in rows:
        known = np.array([bool(row[key]) for key in columns])
        ln_q = np.log([float(row[key]) for key in columns if row[key]])
        rise = (ln_q[-1] - ln_q[-2]) / (ln_t[known][-1] - ln_t[known][-2])
        full = ln_q[-1] + rise * (ln_t - ln_t[known][-1])
        full[known] = ln_q
        table[row["species"]] = full
    return temperatures, table


def _atom_count(text: str) -> tuple[str, int]:
    """ "C2" -> ("C", 2)."""
    symbol = text.rstrip("0123456789")
    return symbol, int(text[len(symbol) :])


def _table(name: str) -> list[dict[str, str]]:
    """Rows of a table of this package, comment lines left out."""
    text = files("stargrav.physics").joinpath("tables", name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
