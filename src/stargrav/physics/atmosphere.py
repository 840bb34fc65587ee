r"""The model atmosphere: temperature and pressure against optical depth.

Temperature is that of flux-constant, line-blanketed and convective models, never grey: the
Sun's, scaled with the effective temperature at equal continuum optical depth, and corrected to
first order for what temperature, gravity and metallicity change (line blanketing, its molecules,
where convection sets in),

    T / T_eff = theta_Sun(tau) + theta_T(tau) dT_eff + theta_g(tau) d log g + theta_M(tau) M_H,

with the three responses fitted to six more models between 4000 and 6000 K, log g 1 to 4.5 and
M_H -2 to 0 (MARCS, Gustafsson et al. 2008, A&A 486, 951; `tables/temperature_structure.csv`).

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
from scipy.interpolate import CubicSpline, PchipInterpolator

from stargrav.physics import opacity
from stargrav.physics.equation_of_state import State, solve
from stargrav.physics.transfer import logarithmic_mean

LOG_TAU = np.concatenate([np.arange(-6.0, -2.9, 0.25), np.linspace(-2.8, 1.6, 45)])
T_EFF_SUN, LOG_G_SUN = 5777.0, 4.44
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
def _structure() -> CubicSpline:
    """theta of the Sun and its derivatives by T_eff / 1000 K, log g and M_H, against log tau."""
    text = (files("stargrav.physics") / "tables" / "temperature_structure.csv").read_text("utf-8")
    rows = list(csv.DictReader(row for row in text.splitlines() if not row.startswith("#")))
    grid = np.arange(-6.5, 1.701, 0.05)
    offsets, curves = [], []
    for name in dict.fromkeys(row["model"] for row in rows):
        model = [row for row in rows if row["model"] == name]
        t_eff, log_g, m_h = (float(model[0][key]) for key in ("t_eff", "log_g", "m_h"))
        log_tau = np.array([float(row["log_tau_5000"]) for row in model])
        theta = np.array([float(row["temperature_k"]) for row in model]) / t_eff
        curve = PchipInterpolator(log_tau, theta)
        inside = np.clip(grid, log_tau[0], log_tau[-1])
        curves.append(curve(inside) + curve(inside, 1) * (grid - inside))
        offsets.append([(t_eff - T_EFF_SUN) / 1000, log_g - LOG_G_SUN, m_h])
    sun, others = curves[0], np.array(curves[1:])
    response = np.linalg.lstsq(np.array(offsets[1:]), others - sun, rcond=None)[0]
    return CubicSpline(grid, np.vstack([sun, response]), axis=1)


def temperature(
    log_tau: np.ndarray, t_eff: float, log_g: float, metallicity: float = 0.0
) -> np.ndarray:
    """Temperature at given depths.

    Args:
        log_tau: (L,) log10 of the optical depth at 5000 A, -6.5 to 1.7.
        t_eff: effective temperature, K.
        log_g: log10 of the gravity in cm/s^2.
        metallicity: M_H, dex.

    Returns:
        (L,) K.
    """
    sun, *response = _structure()(log_tau)
    offset = ((t_eff - T_EFF_SUN) / 1000, log_g - LOG_G_SUN, metallicity)
    return t_eff * (sun + sum(d * by for d, by in zip(offset, response, strict=True)))


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
    metallicity: float = 0.0,
    log_tau: np.ndarray = LOG_TAU,
) -> Atmosphere:
    """Model atmosphere in hydrostatic equilibrium.

    Args:
        t_eff: effective temperature, K.
        log_g: log10 of the gravity in cm/s^2.
        abundance: element -> atoms per hydrogen atom.
        metallicity: M_H, dex, for the temperature structure.
        log_tau: (L,) depths, increasing.

    Raises:
        ArithmeticError: pressure did not converge.
    """
    tau = 10.0**log_tau
    t = temperature(log_tau, t_eff, log_g, metallicity)
    # the Sun's pressures scaled with g^.6, to start from
    pressure = 10 ** (5.0 + 0.6 * (log_g - 4.44) + 0.53 * np.minimum(log_tau, 0))
    step = np.diff(np.log(tau))
    for _ in range(_SWEEPS):
        state = solve(t, pressure, abundance)
        alpha = extinction(np.array([5000.0]), state)[:, 0]
        weight = 10.0**log_g * state.rho / alpha * tau  # dP / d ln tau
        root = 1.5 * np.sqrt(pressure) * weight
        # above the first layer P grows like tau^.6
        integral = np.concatenate([[root[0] / 0.9], logarithmic_mean(root[1:], root[:-1]) * step])
        new = np.cumsum(integral) ** (2 / 3)
        change = np.max(np.abs(np.log(new / pressure)))
        pressure = new
        if change < _TOLERANCE:
            return Atmosphere(log_tau, state, alpha)
    raise ArithmeticError(
        f"atmosphere T_eff {t_eff:g} K, log g {log_g:g}: pressure still changes by {change:.2g}"
    )
