"""Paschen lines: atomic constants, normalisation, dissolution, and the series' end at the edge."""

import numpy as np
import pytest

from stargrav.physics import hydrogen, opacity

T = np.array([5500.0, 6500.0, 7500.0])
N_E = np.array([1e12, 1e13, 1e14])


@pytest.mark.parametrize(("upper", "wave"), [(9, 9231.55), (12, 8752.88), (14, 8600.75)])
def test_wavelengths(upper, wave):
    assert hydrogen.line_wavelength(upper) == pytest.approx(wave, abs=0.1)


@pytest.mark.parametrize(
    ("upper", "strength"), [(4, 0.8421), (5, 0.1506), (6, 0.05584), (7, 0.02768)]
)
def test_oscillator_strengths(upper, strength):
    # exact hydrogenic values (Goldwire 1968)
    assert hydrogen.oscillator_strength(upper) == pytest.approx(strength, rel=3e-3)


def test_holtsmark_distribution():
    assert hydrogen.holtsmark_below(np.array([0.0]))[0] == 0
    assert hydrogen.holtsmark_below(np.array([1e6]))[0] == pytest.approx(0.5, abs=1e-6)
    # continuous where the table hands over to the asymptote, and 1.496 beta^-5/2 beyond
    below, above = hydrogen.holtsmark_below(np.array([20.0 - 1e-6, 20.0 + 1e-6]))
    assert below == pytest.approx(above, abs=2e-4)
    a, b = hydrogen.holtsmark_below(np.array([500.0, 501.0]))
    assert b - a == pytest.approx(0.748 * 500.5**-2.5, rel=1e-3)


@pytest.mark.parametrize("upper", [10, 12, 16])
def test_stark_profile_has_unit_area(upper):
    # half a profile to beta = 2000 in cells of .25, at densities where the share of electrons
    # that acts quasi-statically counts as well
    half = 0.125
    beta = 2 * half * np.arange(8000) * np.ones((3, 1))
    for part in hydrogen.stark_cells(beta, np.full((3, 1), half), upper, T, N_E):
        area = 2 * part.sum(axis=1) - part[:, 0]
        np.testing.assert_allclose(area, 1, atol=0.03)


def test_stark_wing_is_that_of_ions_and_electrons():
    # far out all charges act quasi-statically: twice the Holtsmark wing (Griem 1960)
    beta = np.arange(0, 1e6, 50.0)[None, :]
    impact, static = hydrogen.stark_cells(beta, np.full((1, 1), 25.0), 14, T[2:], N_E[2:])
    expected = 50 * 2 * 0.748 * beta[0, -1] ** -2.5
    assert impact[0, -1] + static[0, -1] == pytest.approx(expected, rel=0.05)


def test_levels_dissolve_with_quantum_number_and_density():
    levels = np.arange(3, 40)
    survival = hydrogen.occupation_probability(levels, 6000.0, 1e13)
    assert np.all(np.diff(survival[1:]) < 0) and np.all((survival > 0) & (survival <= 1))
    assert survival[0] > 0.99999
    denser = hydrogen.occupation_probability(levels, 6000.0, 1e14)
    assert np.all(denser <= survival)
    # Inglis & Teller (1939): the last line seen obeys log n_e = 23.26 - 7.5 log n
    for n_e in (1e12, 1e13, 1e14):
        last = 10 ** ((23.26 - np.log10(n_e)) / 7.5)
        at_last = hydrogen.occupation_probability(last, 6000.0, n_e)
        assert 0.02 < at_last < 0.9


def extinction(wave, temperature, n_e, n_h=1e17):
    one = np.ones(1)
    t, n_e, n_h = temperature * one, n_e * one, n_h * one
    total = np.zeros((1, wave.size))
    hydrogen.add_lines(total, wave, 1e-12 * one, t, n_e, n_h, 2.0, one)
    return total[0]


def test_area_of_a_line_is_its_oscillator_strength():
    wave = 8600 * np.exp(np.arange(-600, 601) / 1e5)
    wave = wave[(wave > 8560) & (wave < 8650)]
    t, n_e = 6000.0, 1e12
    found = np.trapezoid(extinction(wave, t, n_e), wave)
    kt = 8.617333262e-5 * t
    lower = 1e17 * 9 * np.exp(-13.605693 * (1 - 1 / 9) / kt) * -np.expm1(-1.4415 / kt)
    lower *= hydrogen.occupation_probability(14, t, n_e)
    expected = 8.8528e-13 * hydrogen.oscillator_strength(14) * lower * 8600.75**2 * 1e-8
    assert found == pytest.approx(expected, rel=0.05)


def test_series_runs_into_the_edge_without_a_step():
    wave = 8150 * np.exp(np.arange(0, 2000) / 1e5)
    t, n_e, n_h = np.array([7000.0]), np.array([3e13]), np.array([1e17])
    total = extinction(wave, t, n_e, n_h)
    total += hydrogen.dissolved_continuum(wave, t, n_e, n_h)[0]
    total += n_h * opacity.hydrogen_bound_free(wave, t)[0]
    blue = total[(wave > 8190) & (wave < 8204)].mean()
    red = total[(wave > 8208) & (wave < 8230)].mean()
    assert red == pytest.approx(blue, rel=0.05)


def test_density_widens_the_lines():
    wave = 8600.75 + np.arange(-40, 40.1, 0.1)
    widths = []
    for n_e in (1e12, 1e13):
        profile = extinction(wave, 6000.0, n_e)
        widths.append(np.sum(profile > profile.max() / 2))
    assert widths[1] > 1.3 * widths[0]
