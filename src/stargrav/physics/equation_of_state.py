r"""Chemical equilibrium of the gas: from temperature and pressure to every species' density.

All densities follow from those of the neutral atoms and of the electrons by the law of mass
action. For a molecule (or ion) s made of atoms a, nu_a of each, and of q_s fewer electrons,

    n_s / (Q_s m_s^{3/2}) = lambda_T^{3 (nu - q_s - 1)} exp(E_s / kT)
                            prod_a (n_a / (Q_a m_a^{3/2}))^{nu_a} (n_e / 2)^{-q_s},

E_s being the energy set free by forming s from neutral atoms, m a mass in units of the
electron's, and lambda_T = (h^2 / 2 pi m_e k T)^{1/2}: Saha's equation for ions, Guldberg and
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
from functools import cache, cached_property
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
_STAGES = ("I", "II", "III")
_MAX_STEP = 3.0  # in ln n, so that a bad start does not overshoot
_TOLERANCE = 1e-6  # of the last Newton step; what is left is of the order of its square
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
        density, mean_slope = system.densities(unknown, constants, amount)
        residual, jacobian = system.residuals(unknown, density, mean_slope, total, amount)
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
    spline: CubicSpline  # ln T -> ln Q, (S,)
    core: list[int]  # H, C, N, O among the elements
    trace: list[int]  # the T others
    slope: np.ndarray  # (S, K) d ln n_s / d unknown at fixed density of the trace element
    family: np.ndarray  # (T, S) 1 where species s holds trace element t
    terms: np.ndarray  # (R, S) nuclei of H, C, N, O; negative charge; particles; positive

    @cached_property
    def core_only(self) -> np.ndarray:
        """(S,) 1 where a species holds no trace element."""
        return 1.0 - self.family.sum(axis=0)

    @cached_property
    def family_slope(self) -> np.ndarray:
        """(S, T K)."""
        return _by_species(self.family[:, :, None] * self.slope)

    @cached_property
    def term_slope(self) -> np.ndarray:
        """(S, R K)."""
        return _by_species(self.terms[:, :, None] * self.slope)

    @cached_property
    def term_family(self) -> np.ndarray:
        """(S, R T)."""
        return _by_species(self.terms[:, :, None] * self.family.T)

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
        """Densities (L, S), and for the trace elements (L, T, K) the mean of `slope` over the
        species that hold them, weighted by density."""
        relative = np.exp(constants + unknown @ self.slope.T)
        norm = relative @ self.family.T  # (L, T)
        scale = np.exp(unknown[:, -1:]) * amount[self.trace] / norm
        density = relative * (scale @ self.family + self.core_only)
        mean = (relative @ self.family_slope).reshape(*norm.shape, -1) / norm[..., None]
        return density, mean

    def residuals(
        self,
        unknown: np.ndarray,
        density: np.ndarray,
        mean_slope: np.ndarray,
        total: np.ndarray,
        amount: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logarithmic residuals (L, K) of the closure and their Jacobian (L, K, K)."""
        layers, unknowns = unknown.shape
        electrons, nuclei = np.exp(unknown[:, -2]), np.exp(unknown[:, -1])
        sums = density @ self.terms.T  # (L, R)
        slope = (density @ self.term_slope).reshape(layers, -1, unknowns)
        by_family = (density @ self.term_family).reshape(layers, len(self.terms), -1)
        slope -= by_family @ mean_slope
        slope[:, :, -1] += by_family.sum(axis=2)

        balance = slice(len(_CORE), len(_CORE) + 2)  # electrons: a charge, and a particle
        sums[:, balance] += electrons[:, None]
        slope[:, balance, -2] += electrons[:, None]
        slope /= sums[..., None]
        slope[:, : len(_CORE), -1] -= 1.0
        slope[:, len(_CORE)] -= slope[:, -1]
        wanted = np.column_stack([nuclei[:, None] * amount[self.core], sums[:, -1], total])
        return np.log(sums[:, :-1] / wanted), slope[:, :-1]


def _by_species(product: np.ndarray) -> np.ndarray:
    """(A, S, B) -> (S, A B)."""
    return np.ascontiguousarray(product.transpose(1, 0, 2).reshape(product.shape[1], -1))


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
    larger = 0.5 * (np.abs(b) + np.sqrt(b * b + 4.0 * c))
    return np.where(b > 0, c / np.maximum(larger, _TINY), larger)


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
    counts = np.zeros((len(species), len(symbols)))
    for i, (atoms, _, _) in enumerate(species.values()):
        for element, number in atoms.items():
            counts[i, symbols.index(element)] = number
    charge = np.array([charge for _, charge, _ in species.values()], dtype=float)
    core = [symbols.index(element) for element in _CORE]
    trace = [i for i in range(len(symbols)) if i not in core]
    nothing, every = np.zeros(len(species)), np.ones(len(species))
    return _System(
        index={name: i for i, name in enumerate(species)},
        atoms=counts,
        charge=charge,
        energy=np.array([energy for _, _, energy in species.values()]),
        mass=counts @ np.array([mass for mass, _ in _solar().values()]),
        spline=CubicSpline(np.log(temperatures), np.column_stack([ln_q[s] for s in species])),
        core=core,
        trace=trace,
        slope=np.column_stack([counts[:, core], -charge, nothing]),
        family=counts[:, trace].T.copy(),
        terms=np.vstack([counts[:, core].T, np.maximum(-charge, 0), every, np.maximum(charge, 0)]),
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
