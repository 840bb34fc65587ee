"""Continuous opacities against published numbers and limits."""

import numpy as np
import pytest

from stargrav.constants import K_BOLTZMANN_CGS
from stargrav.physics import opacity

ONE = np.ones(1)


def test_h_minus_detachment_peaks_near_8500_angstrom():
    # bound-free alone: the difference that stays when the free-free part, smooth, is small
    wave = np.arange(4000.0, 16_000.0, 50.0)
    total = opacity.h_minus(wave, np.array([4000.0]))[0]
    assert 8000 < wave[total.argmax()] < 9000


def test_h_minus_beyond_the_threshold_is_free_free():
    # Gray (2005), eq. 8.13: k_ff = 1e-26 10^(f0 + f1 log theta + f2 log^2 theta)
    wave, theta = 17_000.0, 0.8
    log_wave, log_theta = np.log10(wave), np.log10(theta)
    f0 = -2.2763 - 1.6850 * log_wave + 0.76661 * log_wave**2 - 0.053346 * log_wave**3
    f1 = 15.2827 - 9.2846 * log_wave + 1.99381 * log_wave**2 - 0.142631 * log_wave**3
    f2 = -197.789 + 190.266 * log_wave - 67.9775 * log_wave**2 + 10.6913 * log_wave**3
    f2 -= 0.625151 * log_wave**4
    gray = 1e-26 * 10 ** (f0 + f1 * log_theta + f2 * log_theta**2)
    ours = opacity.h_minus(np.array([wave]), np.array([5040 / theta]))[0, 0]
    assert ours == pytest.approx(gray, rel=0.03)  # two fits to Bell & Berrington, 1 % each


def test_lyman_continuum_at_its_edge():
    # exact: 6.304e-18 cm^2 at the threshold of the ground level
    assert opacity.hydrogen_photoionization(np.array([911.7]), 1)[0] == pytest.approx(
        6.304e-18, rel=0.02
    )


def test_paschen_edge_is_a_step_of_level_three():
    t = 7000.0
    blue, red = opacity.hydrogen_bound_free(np.array([8200.0, 8212.0]), np.array([t]))[0]
    kt = 8.617333262e-5 * t
    level = 9 * np.exp(-13.6057 * (1 - 1 / 9) / kt) * -np.expm1(-1.51 / kt)
    step = level * opacity.hydrogen_photoionization(np.array([8206.0]), 3)[0]
    assert blue - red == pytest.approx(step, rel=0.05)


def test_rayleigh_approaches_the_fourth_power():
    near, far = (opacity.rayleigh(np.array([wave])) for wave in (50_000.0, 100_000.0))
    for a, b in zip(near, far, strict=True):
        assert a[0] / b[0] == pytest.approx(16, rel=1e-3)


def test_sum_of_all_sources_at_the_solar_surface():
    # tau_5000 about 1 in the Sun: H- dominates, the rest adds less than a tenth at 8000 A
    t, n_e, n_h = 6400 * ONE, 6e13 * ONE, 1.3e17 * ONE
    total = opacity.continuum(np.array([8000.0]), t, n_e, n_h, 0 * ONE, 0.085 * n_h)[0, 0]
    h_minus = opacity.h_minus(np.array([8000.0]), t)[0, 0]
    h_minus *= n_h[0] * n_e[0] * K_BOLTZMANN_CGS * t[0]
    assert 1.0 < total / h_minus < 1.1


def test_thomson_remains_when_hydrogen_is_gone():
    total = opacity.continuum(np.array([8000.0]), 6000 * ONE, 1e12 * ONE, *3 * (0 * ONE,))
    assert total[0, 0] == pytest.approx(6.6524587e-13, rel=1e-6)
