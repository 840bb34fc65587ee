"""Hund's case (a): what the rotational structure of any diatomic molecule needs.

A basis state has the projections Lambda, Sigma and Omega = Lambda + Sigma on the axis. The dipole
component q = Omega' - Omega of the molecular frame turns into the laboratory frame by

    <J' Omega'| mu |J Omega>  ~  sqrt(2 J + 1) <J Omega; 1 q | J' Omega'>,

so a line's Hoenl-London factor is the square of the sum of these over the case (a) components of
both eigenvectors, whatever the coupling (Whiting & Nicholls 1974, ApJS 27, 1). Case (b), the
satellite branches and intensity borrowing follow by themselves.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

LINE_STRENGTH_CM = 8.852_821e-13  # pi e^2 / (m_e c^2), cm


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of a table of this package, comment lines left out."""
    text = files("stargrav.physics").joinpath("tables", name).read_text()
    return list(csv.DictReader(line for line in text.splitlines() if line[:1] != "#"))


@dataclass(frozen=True)
class MolecularLines:
    """Lines of one molecule, all isotopologues together.

    Attributes:
        wavenumber: (lines,) vacuum, cm^-1.
        energy: (lines,) of the lower level, cm^-1.
        gf: (lines,) statistical weight times absorption oscillator strength, times the fraction
            of the isotopologue.
        mass: mean molecular mass, u.
    """

    wavenumber: np.ndarray
    energy: np.ndarray
    gf: np.ndarray
    mass: float


def clebsch_gordan(j: np.ndarray, omega: float, q: int, delta_j: int) -> np.ndarray:
    """<j omega; 1 q | j + delta_j, omega + q>, zero where such a state does not exist.

    Args:
        j: (n,) angular momenta of the lower state.
        omega: projection of the lower state.
        q: -1, 0 or 1.
        delta_j: -1, 0 or 1.

    Returns:
        (n,), phases of Condon and Shortley (Edmonds 1957, table 2).
    """
    j = np.asarray(j, float)
    m = omega * (1 if q >= 0 else -1)  # q = -1 by reflection: m -> -m
    sign = 1.0 if q >= 0 or delta_j != 0 else -1.0
    exists = (j >= abs(omega)) & (j + delta_j >= abs(omega + q)) & (j + delta_j >= 0)
    if delta_j == 0:
        exists &= j > 0
    j = np.where(exists, j, abs(omega) + 2)  # anything valid
    if delta_j == 1 and q == 0:
        value = np.sqrt((j - m + 1) * (j + m + 1) / ((2 * j + 1) * (j + 1)))
    elif delta_j == 1:
        value = np.sqrt((j + m + 1) * (j + m + 2) / ((2 * j + 1) * (2 * j + 2)))
    elif delta_j == 0 and q == 0:
        value = m / np.sqrt(j * (j + 1))
    elif delta_j == 0:
        value = -np.sqrt((j + m + 1) * (j - m) / (2 * j * (j + 1)))
    elif q == 0:
        value = -np.sqrt((j - m) * (j + m) / (j * (2 * j + 1)))
    else:
        value = np.sqrt((j - m - 1) * (j - m) / (2 * j * (2 * j + 1)))
    return np.where(exists, sign * value, 0.0)
