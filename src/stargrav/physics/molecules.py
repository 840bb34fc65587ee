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
from functools import cache, lru_cache

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
    lines: MolecularLines, wave: np.ndarray, temperature: np.ndarray, partition: np.ndarray
) -> np.ndarray:
    """Cross sections of all lines together.

    The lines are collected on a fine grid in ln(wavelength), on which every profile has the same
    width, and convolved there.

    Args:
        lines: of the molecule.
        wave: (n,) vacuum wavelength, A, increasing.
        temperature: (L,) K.
        partition: (L,) partition function at these temperatures.

    Returns:
        (L, n) cm^2 per molecule.
    """
    temperature, partition = np.atleast_1d(temperature, partition)
    thermal = 2 * K_BOLTZMANN_CGS * temperature / (lines.mass * ATOMIC_MASS_UNIT_G)
    width = np.sqrt(thermal + (MICROTURBULENCE_KM_S * 1e5) ** 2) / C_CGS / FINE_STEP
    margin = int(np.ceil(4 * width.max()))
    start = np.log(wave[0]) - margin * FINE_STEP
    size = int(np.ceil((np.log(wave[-1]) - start) / FINE_STEP)) + margin + 2
    place = (np.log(1e8 / lines.wavenumber) - start) / FINE_STEP
    inside = (place >= 0) & (place < size - 1)
    left = place[inside].astype(int)
    share = place[inside] - left
    gf, energy = lines.gf[inside], -HC_CM_K * lines.energy[inside]
    nu = 1e8 * np.exp(-start - FINE_STEP * np.arange(size))
    offset = np.arange(-margin, margin + 1)
    result = np.empty((temperature.size, len(wave)))
    for row, t, q, w in zip(result, temperature, partition, width, strict=True):
        strength = gf * np.exp(energy / t)
        right = strength * share
        collected = np.bincount(left, strength - right, size)
        collected[1:] += np.bincount(left, right, size)[:-1]
        collected *= -np.expm1(-HC_CM_K * nu / t) / nu  # per unit ln(wavelength)
        kernel = np.exp(-((offset / w) ** 2))
        kernel *= LINE_STRENGTH_CM / (q * FINE_STEP * kernel.sum())
        fine = np.convolve(collected, kernel, "same")
        row[:] = np.interp((np.log(wave) - start) / FINE_STEP, np.arange(size), fine)
    return result


def table(name: str, wave: np.ndarray) -> np.ndarray:
    """Cross sections at the temperatures of `TEMPERATURES`, kept for the last wavelength grids.

    Args:
        name: one of `MOLECULES`.
        wave: (n,) vacuum wavelength, A, increasing.

    Returns:
        (12, n) float32, cm^2 per molecule, read-only; `weights(name, temperature) @ table(name,
        wave)` is the cross section of layers.
    """
    return _table(name, np.asarray(wave, float).tobytes())


@lru_cache(maxsize=8)
def _table(name: str, wave_bytes: bytes) -> np.ndarray:
    wave = np.frombuffer(wave_bytes)
    result = sum_lines(_LINES[name](), wave, TEMPERATURES, _node_partition(name))
    result = result.astype(np.float32)
    result.flags.writeable = False
    return result


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
