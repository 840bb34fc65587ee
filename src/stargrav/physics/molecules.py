r"""Molecular line opacity: CN (red system) and TiO, cross sections per molecule.

In LTE the cross section of a molecule is

    sigma(nu) = (pi e^2 / m_e c^2) (1 - e^{-h nu / k T}) sum gf e^{-E / k T} / Q(T) phi(nu),

with Gaussian profiles of thermal and micro-turbulent width. A hundred thousand lines are summed
once per wavelength grid for a dozen temperatures; a layer's cross section is then a combination of
those, smooth in 1/T: `table` and `weights` give the two factors of that matrix product.

Q(T) is that of the equation of state, so that number density times cross section does not depend
on it; `partition_function` sums the levels of the line lists themselves, as a check.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from stargrav.constants import ATOMIC_MASS_UNIT_G, C_CGS, HC_CM_K, K_BOLTZMANN_CGS
from stargrav.physics import cn, equation_of_state, tio
from stargrav.physics.hund import LINE_STRENGTH_CM, MolecularLines

MICROTURBULENCE_KM_S = 2.0
TEMPERATURES = np.geomspace(1800.0, 9500.0, 12)  # K
# Layers are interpolated in sigma Q e^{E / k T}, nearly straight in 1/T for this lower energy.
REFERENCE_ENERGY_K = 12_000.0
FINE_STEP = 2e-6  # of ln(wavelength): 0.6 km/s, a third of the narrowest profile

_LINES: dict[str, Callable[[], MolecularLines]] = {"CN": cn.lines, "TiO": tio.lines}
_PARTITION: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "CN": cn.partition_function,
    "TiO": tio.partition_function,
}
MOLECULES = tuple(_LINES)


def partition_function(name: str, temperature: np.ndarray) -> np.ndarray:
    """Partition function of a molecule's levels, without nuclear spin.

    Args:
        name: one of `MOLECULES`.
        temperature: (L,) K.

    Returns:
        (L,).
    """
    return _PARTITION[name](np.atleast_1d(np.asarray(temperature, float)))


@cache
def _node_partition(name: str) -> np.ndarray:
    return equation_of_state.partition_function(name, TEMPERATURES)


def sum_lines(
    lines: MolecularLines, wave: np.ndarray, temperature: float, partition: float
) -> np.ndarray:
    """Cross section of all lines at one temperature.

    The lines are collected on a fine grid in ln(wavelength), on which every profile has the same
    width, and convolved there.

    Args:
        lines: of the molecule.
        wave: (n,) vacuum wavelength, A, increasing.
        temperature: K.
        partition: partition function at this temperature.

    Returns:
        (n,) cm^2 per molecule.
    """
    thermal = 2 * K_BOLTZMANN_CGS * temperature / (lines.mass * ATOMIC_MASS_UNIT_G)
    width = np.sqrt(thermal + (MICROTURBULENCE_KM_S * 1e5) ** 2) / C_CGS / FINE_STEP
    margin = int(np.ceil(6 * width))
    start = np.log(wave[0]) - margin * FINE_STEP
    size = int(np.ceil((np.log(wave[-1]) - start) / FINE_STEP)) + margin + 2
    place = (np.log(1e8 / lines.wavenumber) - start) / FINE_STEP
    inside = (place >= 0) & (place < size - 1)
    nu, place = lines.wavenumber[inside], place[inside]
    strength = lines.gf[inside] * np.exp(-HC_CM_K * lines.energy[inside] / temperature)
    strength *= -np.expm1(-HC_CM_K * nu / temperature) / nu  # per unit ln(wavelength)
    left = place.astype(int)
    share = place - left
    collected = np.bincount(left, strength * (1 - share), size)
    collected += np.bincount(left + 1, strength * share, size)
    offset = np.arange(-margin, margin + 1)
    kernel = np.exp(-((offset / width) ** 2))
    kernel *= LINE_STRENGTH_CM / (partition * FINE_STEP * kernel.sum())
    padded = size + 2 * margin
    smooth = np.fft.irfft(np.fft.rfft(collected, padded) * np.fft.rfft(kernel, padded), padded)
    fine = np.maximum(smooth[margin : margin + size], 0)
    return np.interp((np.log(wave) - start) / FINE_STEP, np.arange(size), fine)


_TABLES: dict[tuple[str, bytes], np.ndarray] = {}


def table(name: str, wave: np.ndarray) -> np.ndarray:
    """Cross sections at the temperatures of `TEMPERATURES`, kept for the wavelength grid.

    Args:
        name: one of `MOLECULES`.
        wave: (n,) vacuum wavelength, A, increasing.

    Returns:
        (12, n) float32, cm^2 per molecule; `weights(name, temperature) @ table(name, wave)` is
        the cross section of layers.
    """
    wave = np.ascontiguousarray(wave, float)
    key = name, wave.tobytes()
    if key not in _TABLES:
        lines = _LINES[name]()
        rows = [
            sum_lines(lines, wave, t, q)
            for t, q in zip(TEMPERATURES, _node_partition(name), strict=True)
        ]
        _TABLES[key] = np.array(rows, np.float32)
    return _TABLES[key]


def weights(name: str, temperature: np.ndarray) -> np.ndarray:
    """Weights of the rows of `table` for layers: cubic in 1/T between the four nearest nodes.

    Args:
        name: one of `MOLECULES`.
        temperature: (L,) K; outside the table its nearest end counts.

    Returns:
        (L, 12) float32.
    """
    t = np.clip(np.atleast_1d(np.asarray(temperature, float)), TEMPERATURES[0], TEMPERATURES[-1])
    theta, nodes = 1 / t, 1 / TEMPERATURES
    first = np.clip(np.searchsorted(TEMPERATURES, t) - 2, 0, TEMPERATURES.size - 4)
    result = np.zeros((t.size, TEMPERATURES.size))
    partition = equation_of_state.partition_function(name, t)
    row = np.arange(t.size)
    for k in range(4):
        node = first + k
        lagrange = np.ones(t.size)
        for other in (first + i for i in range(4) if i != k):
            lagrange *= (theta - nodes[other]) / (nodes[node] - nodes[other])
        scale = np.exp(-REFERENCE_ENERGY_K * (theta - nodes[node]))
        result[row, node] = lagrange * scale * _node_partition(name)[node] / partition
    return result.astype(np.float32)


def cross_section(name: str, wave: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Line absorption cross section of CN or TiO, stimulated emission included.

    Args:
        name: one of `MOLECULES`.
        wave: (n,) vacuum wavelength, A, increasing.
        temperature: (L,) K.

    Returns:
        (L, n) float32, cm^2 per molecule.
    """
    return weights(name, temperature) @ table(name, wave)
