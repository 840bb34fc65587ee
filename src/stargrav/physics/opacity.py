r"""Continuous extinction of a cool star's gas between 4000 A and 1 micron.

alpha(lambda) = H- bound-free and free-free + H I bound-free and free-free + Rayleigh
scattering by H, H2 and He + Thomson scattering, in cm^-1, stimulated emission included.
Scattering is counted as absorption (S = B), a good approximation redward of 7000 A.

The bound-free edges of H I are those of the undisturbed levels here; `hydrogen` adds the
quasi-continuum that dissolved levels leave redward of the Paschen edge.
"""

from __future__ import annotations

import numpy as np

from stargrav.constants import HC_CM_K, K_BOLTZMANN_CGS, K_BOLTZMANN_EV, RYDBERG_EV

THOMSON_CM2 = 6.652_458_73e-25
RYDBERG_PER_A = 1.096_775_8e-3  # hydrogen, 1/A

# John (1988, A&A 193, 189), eq. 5, table 2: photo-detachment of H-, wavelengths in micron.
_THRESHOLD_UM = 1.6419
_DETACHMENT = np.array([152.519, 49.534, -118.858, 92.536, -34.194, 4.982])
# John (1988), eq. 6, table 3a: free-free of H-, lambda > 0.3645 micron; rows n = 2..6.
_FREE_FREE = np.array(
    [
        [2483.3460, 285.8270, -2054.2910, 2827.7760, -1341.5370, 208.9520],
        [-3449.8890, -1158.3820, 8746.5230, -11485.6320, 5303.6090, -812.9390],
        [2200.0400, 2427.7190, -13651.1050, 16755.5240, -7510.4940, 1132.7380],
        [-696.2710, -1841.4000, 8624.9700, -10051.5300, 4400.0670, -655.0200],
        [88.2830, 444.5170, -1863.8640, 2095.2880, -901.7880, 132.9850],
    ]
)


def h_minus(wave: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Bound-free plus free-free absorption of H- per neutral H atom and electron pressure.

    John (1988, A&A 193, 189); fits good to 1 % between 1400 and 10080 K and above 3645 A.

    Args:
        wave: (n,) vacuum wavelength, A.
        temperature: (L,) K.

    Returns:
        (L, n), cm^4 / dyn.
    """
    micron = np.asarray(wave, float)[None, :] * 1e-4
    t = np.asarray(temperature, float)[:, None]
    c2 = HC_CM_K * 1e4  # micron K
    excess = np.maximum(1 / micron - 1 / _THRESHOLD_UM, 0)
    root = np.sqrt(excess)
    detachment = 1e-18 * micron**3 * root**3 * np.polynomial.polynomial.polyval(root, _DETACHMENT)
    bound_free = 0.750 * t**-2.5 * np.exp(c2 / (_THRESHOLD_UM * t)) * detachment
    bound_free = bound_free * -np.expm1(-c2 / (micron * t))
    powers = np.concatenate([micron**2, micron**0, 1 / micron, micron**-2, micron**-3, micron**-4])
    theta = 5040 / t
    free_free = sum(
        theta ** ((n + 1) / 2) * (row @ powers) for n, row in enumerate(_FREE_FREE, start=2)
    )
    return bound_free + 1e-29 * free_free


def hydrogen_photoionization(wave: np.ndarray, level: int) -> np.ndarray:
    """Bound-free cross section of one level of H I, also continued redward of its edge.

    Kramers with the Gaunt factor of Menzel & Pekeris as in Gray (2005), eq. 8.5.

    Args:
        wave: (n,) vacuum wavelength, A.
        level: principal quantum number.

    Returns:
        (n,) cm^2.
    """
    wave = np.asarray(wave, float)
    reduced = wave * RYDBERG_PER_A  # lambda R
    gaunt = 1 - 0.3456 / np.cbrt(reduced) * (reduced / level**2 - 0.5)
    return 7.907e-18 * level * (reduced / level**2) ** 3 * np.maximum(gaunt, 0)


def hydrogen_bound_free(wave: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Bound-free and free-free absorption of H I per neutral atom in its ground level's gas.

    Levels up to 12 one by one, those above and the free-free part in closed form
    (Gray 2005, eqs. 8.8 and 8.10); partition function 2.

    Args:
        wave: (n,) vacuum wavelength, A.
        temperature: (L,) K.

    Returns:
        (L, n), cm^2 per H atom.
    """
    wave = np.asarray(wave, float)[None, :]
    kt = K_BOLTZMANN_EV * np.asarray(temperature, float)[:, None]
    stimulated = -np.expm1(-HC_CM_K / (wave * 1e-8) * K_BOLTZMANN_EV / kt)
    total = np.zeros(np.broadcast_shapes(wave.shape, kt.shape))
    top = 12
    for level in range(1, top + 1):
        edge = wave < level**2 / RYDBERG_PER_A
        excitation = RYDBERG_EV * (1 - 1 / level**2)
        section = hydrogen_photoionization(wave, level)
        total += edge * section * level**2 * np.exp(-excitation / kt)
    # levels above `top` as an integral, and the free-free part: alpha_0 lambda^3 kT / (2 chi)
    reduced = wave * RYDBERG_PER_A
    unit = 7.907e-18 * reduced**3 * kt / (2 * RYDBERG_EV)
    above = np.exp(-RYDBERG_EV * (1 - 1 / (top + 0.5) ** 2) / kt) - np.exp(-RYDBERG_EV / kt)
    chi_lambda = HC_CM_K * K_BOLTZMANN_EV / (wave * 1e-8)  # photon energy, eV
    gaunt = 1 + 0.3456 / np.cbrt(reduced) * (kt / chi_lambda + 0.5)
    free = np.exp(-RYDBERG_EV / kt) * gaunt
    return (total + unit * (above + free)) * stimulated


def rayleigh(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rayleigh cross sections of H (Dalgarno 1962), H2 (Dalgarno & Williams 1962) and He.

    As given by Kurucz (1970, SAO Special Report 309), for wavelengths above 2000 A.

    Args:
        wave: (n,) vacuum wavelength, A.

    Returns:
        three (n,) arrays, cm^2: per H, per H2, per He atom.
    """
    inverse = np.asarray(wave, float) ** -2.0
    hydrogen = inverse**2 * (5.799e-13 + inverse * (1.422e-6 + inverse * 2.784))
    molecule = inverse**2 * (8.14e-13 + inverse * (1.28e-6 + inverse * 1.61))
    helium = 5.484e-14 * inverse**2 * (1 + 2.44e5 * inverse) ** 2
    return hydrogen, molecule, helium


def continuum(
    wave: np.ndarray,
    temperature: np.ndarray,
    n_e: np.ndarray,
    n_h: np.ndarray,
    n_h2: np.ndarray,
    n_he: np.ndarray,
) -> np.ndarray:
    """Continuous extinction.

    Args:
        wave: (n,) vacuum wavelength, A.
        temperature: (L,) K.
        n_e, n_h, n_h2, n_he: (L,) number densities of electrons, H I, H2 and He I, cm^-3.

    Returns:
        (L, n), cm^-1.
    """
    temperature = np.asarray(temperature, float)
    electron_pressure = n_e * K_BOLTZMANN_CGS * temperature
    per_atom = h_minus(wave, temperature) * electron_pressure[:, None]
    per_atom += hydrogen_bound_free(wave, temperature)
    hydrogen, molecule, helium = rayleigh(wave)
    per_atom += hydrogen
    return (
        n_h[:, None] * per_atom
        + n_h2[:, None] * molecule
        + n_he[:, None] * helium
        + (n_e * THOMSON_CM2)[:, None]
    )
