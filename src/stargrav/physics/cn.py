"""Lines of the CN red system, A 2Pi - X 2Sigma+, from molecular constants.

Every vibrational level is one effective Hamiltonian in Hund's case (a) (Brown et al. 1979,
J. Mol. Spectrosc. 74, 294), diagonalised for each J and parity:

    X:  T + B N^2 - D N^4 + gamma N.S
    A:  T + B N^2 - D N^4 + A L_z S_z + A_D {N^2, L_z S_z} / 2 + Lambda doubling (p, q)

with N = J - S. Line strengths follow from the eigenvectors (`hund`) and from the oscillator
strengths of the bands of Brooke et al. (2014, ApJS 210, 23).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from stargrav.constants import HC_CM_K
from stargrav.physics.hund import MolecularLines, clebsch_gordan, read_table

MASS_U = 26.0174  # IUPAC standard atomic weights
J = np.arange(0.5, 130.5)
PARITIES = (1, -1)  # e and f levels


@cache
def _levels(state: str) -> dict[int, dict[str, float]]:
    rows = (row for row in read_table("cn_levels.csv") if row["state"] == state)
    return {
        int(row["v"]): {key: float(row[key]) for key in row if key not in ("state", "v", "source")}
        for row in rows
    }


def sigma_energies(constants: dict[str, float], parity: int) -> np.ndarray:
    """Energies (J,) in cm^-1 of X 2Sigma+: F1 (N = J - 1/2) is e, F2 (N = J + 1/2) is f."""
    n = J - 0.5 * parity
    spin = 0.5 * n if parity > 0 else -0.5 * (n + 1)
    square = n * (n + 1)
    rotation = constants["B"] * square - constants["D"] * square**2
    return constants["T"] + rotation + constants["gamma"] * spin


def pi_states(constants: dict[str, float], parity: int) -> tuple[np.ndarray, np.ndarray]:
    """Energies (J, 2) in cm^-1 and eigenvectors (J, component, 2) of A 2Pi.

    The components are Omega = 1/2 and 3/2; J = 1/2 has only the first, and its second energy is
    infinite.
    """
    x = J + 0.5
    off = np.sqrt(x**2 - 1)
    n_square = np.stack([np.stack([x**2 + 1, -off], -1), np.stack([-off, x**2 - 1], -1)], -1)
    coupling = np.diag([-0.5, 0.5])  # L_z S_z
    h = constants["T"] * np.eye(2) + constants["B"] * n_square
    h = h - constants["D"] * n_square @ n_square + constants["A"] * coupling
    h += 0.5 * constants["A_D"] * (n_square @ coupling + coupling @ n_square)
    doubling = np.zeros_like(h)
    doubling[:, 0, 0] = 0.5 * (constants["p"] + 2 * constants["q"]) * x
    doubling[:, 0, 1] = doubling[:, 1, 0] = -0.5 * constants["q"] * x * off
    energy, vector = np.linalg.eigh(h + parity * doubling)
    energy[0], vector[0] = [h[0, 0, 0] + parity * doubling[0, 0, 0], np.inf], np.eye(2)
    return energy, vector


def hoenl_london(vector: np.ndarray, lower_parity: int, delta_j: int) -> np.ndarray:
    """Hoenl-London factors from X(J, parity) to A(J + delta_j), one per upper eigenvector.

    Args:
        vector: (J, component, 2) eigenvectors of the upper state of the parity that the
            selection rule asks for (e to e with delta_j = -1, 1; e to f with 0).

    Returns:
        (J, 2); summed over everything above one lower level, 2 (2 J + 1).
    """
    amplitude = np.stack(
        [
            lower_parity * clebsch_gordan(J, -0.5, 1, delta_j),  # to Omega = 1/2
            clebsch_gordan(J, 0.5, 1, delta_j),  # to Omega = 3/2
        ],
        -1,
    )
    upper = np.clip(np.arange(J.size) + delta_j, 0, J.size - 1)
    return (2 * J + 1)[:, None] * np.einsum("jc,jcf->jf", amplitude, vector[upper]) ** 2


@cache
def lines() -> MolecularLines:
    """Every line of the bands of the table `cn_bands.csv`."""
    lower, upper = _levels("X"), _levels("A")
    ground = {(v, p): sigma_energies(c, p) for v, c in lower.items() for p in PARITIES}
    excited = {(v, p): pi_states(c, p) for v, c in upper.items() for p in PARITIES}
    wavenumber, energy, gf = [], [], []
    for band in read_table("cn_bands.csv"):
        v_upper, v_lower = int(band["v_upper"]), int(band["v_lower"])
        f, h1, h2 = (float(band[key]) for key in ("f", "h1", "h2"))
        origin = upper[v_upper]["T"] - lower[v_lower]["T"]
        for parity in PARITIES:
            low = ground[v_lower, parity]
            for delta_j in (-1, 0, 1):
                high, vector = excited[v_upper, parity if delta_j else -parity]
                factor = hoenl_london(vector, parity, delta_j)
                index = np.arange(J.size) + delta_j
                keep = (index >= 0) & (index < J.size)
                nu = high[index[keep]] - low[keep, None]
                nu[~np.isfinite(nu)] = 0
                m = delta_j * (J + (1 + delta_j) / 2)
                herman_wallis = np.maximum(1 + h1 * m + h2 * J * (J + 1), 0)[keep, None]
                strength = factor[keep] * herman_wallis * f / 2 * nu / origin
                wanted = strength > 0
                wavenumber.append(nu[wanted])
                energy.append(np.broadcast_to(low[keep, None], nu.shape)[wanted])
                gf.append(strength[wanted])
    return MolecularLines(
        np.concatenate(wavenumber), np.concatenate(energy), np.concatenate(gf), MASS_U
    )


def partition_function(temperature: np.ndarray) -> np.ndarray:
    """Sum of (2 J + 1) exp(-E / k T) over the levels of X, A and B, without nuclear spin.

    Args:
        temperature: (L,) K.

    Returns:
        (L,).
    """
    t = np.asarray(temperature, float)[:, None]
    total = np.zeros(t.size)
    energies = [sigma_energies(c, p) for s in "XB" for c in _levels(s).values() for p in PARITIES]
    energies += [pi_states(c, p)[0].T for c in _levels("A").values() for p in PARITIES]
    for energy in energies:
        flat = np.where(np.diff(energy, append=np.inf) > 0, energy, np.inf).reshape(-1)
        weight = np.tile(2 * J + 1, flat.size // J.size)
        total += np.exp(-HC_CM_K * flat / t) @ weight
    return total
