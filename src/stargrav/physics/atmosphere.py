r"""The model atmosphere: temperature and pressure against optical depth.

Temperature follows a flux-constant, line-blanketed and convective model of the Sun, scaled with
the effective temperature at equal continuum optical depth,

    T(tau_5000) = T_eff theta(tau_5000).

Pressure follows from hydrostatic equilibrium,

    d P_gas / d tau_5000 = g rho / alpha_5000,

with the extinction of `opacity` and the gas of `equation_of_state`.  With kappa growing like a
power of P the integral of P^(1/2) dP converges in a few sweeps (Gray 2005, The Observation and
Analysis of Stellar Photospheres, eq. 9.12).
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from scipy.interpolate import PchipInterpolator

from stargrav.physics import opacity
from stargrav.physics.equation_of_state import State, solve

LOG_TAU = np.concatenate([np.arange(-6.0, -2.9, 0.3), np.linspace(-2.75, 1.6, 24)])
_SWEEPS = 12
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Atmosphere:
    """A model atmosphere of L layers, from the top.

    Attributes:
        log_tau: (L,) log10 of the continuum optical depth at 5000 A.
        state: the gas in each layer, temperature and pressure included.
        extinction_5000: (L,) continuous extinction at 5000 A, cm^-1.
    """

    log_tau: np.ndarray
    state: State
    extinction_5000: np.ndarray


@functools.cache
def _structure() -> PchipInterpolator:
    text = (files("stargrav.physics") / "tables" / "temperature_structure.csv").read_text("utf-8")
    rows = list(csv.DictReader(row for row in text.splitlines() if not row.startswith("#")))
    rows = [row for row in rows if row["model"] == "Sun"]
    log_tau = np.array([float(row["log_tau_5000"]) for row in rows])
    theta = np.array([float(row["temperature_k"]) / float(row["t_eff"]) for row in rows])
    return PchipInterpolator(log_tau, theta)


def temperature(log_tau: np.ndarray, t_eff: float) -> np.ndarray:
    """Temperature at given depths.

    Above the table (log tau < -4.9) the slope at its end goes on.

    Args:
        log_tau: (L,) log10 of the optical depth at 5000 A.
        t_eff: effective temperature, K.

    Returns:
        (L,) K.
    """
    curve = _structure()
    inside = np.clip(log_tau, curve.x[0], curve.x[-1])
    return t_eff * (curve(inside) + curve(inside, 1) * (log_tau - inside))


def extinction(wave: np.ndarray, state: State) -> np.ndarray:
    """Continuous extinction of the gas, (L, n) cm^-1, at wavelengths (n,) in A."""
    density = state.density
    return opacity.continuum(
        wave,
        state.temperature,
        state.electron_density,
        density["H I"],
        density["H2"],
        density["He I"],
    )


def build(
    t_eff: float,
    log_g: float,
    abundance: Mapping[str, float],
    log_tau: np.ndarray = LOG_TAU,
) -> Atmosphere:
    """Model atmosphere in hydrostatic equilibrium.

    Args:
        t_eff: effective temperature, K.
        log_g: log10 of the gravity in cm/s^2.
        abundance: element -> atoms per hydrogen atom.
        log_tau: (L,) depths, increasing.

    Raises:
        ArithmeticError: pressure did not converge.
    """
    tau = 10.0**log_tau
    t = temperature(log_tau, t_eff)
    # the Sun's pressures scaled with g^.6, to start from
    pressure = 10 ** (5.0 + 0.6 * (log_g - 4.44) + 0.53 * np.minimum(log_tau, 0))
    step = np.diff(np.log(tau))
    for _ in range(_SWEEPS):
        state = solve(t, pressure, abundance)
        alpha = extinction(np.array([5000.0]), state)[:, 0]
        weight = 10.0**log_g * state.rho / alpha * tau  # dP / d ln tau
        root = 1.5 * np.sqrt(pressure) * weight
        # above the first layer P grows like tau^.6
        integral = np.concatenate([[root[0] / 0.9], (root[1:] + root[:-1]) / 2 * step])
        new = np.cumsum(integral) ** (2 / 3)
        change = np.max(np.abs(np.log(new / pressure)))
        pressure = new
        if change < _TOLERANCE:
            return Atmosphere(log_tau, state, alpha)
    raise ArithmeticError(
        f"atmosphere T_eff {t_eff:g} K, log g {log_g:g}: pressure still changes by {change:.2g}"
    )
