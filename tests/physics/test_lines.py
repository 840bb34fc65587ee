"""The line list and its readers; Voigt profiles against exact values and sum rules."""

import csv
import dataclasses
from importlib.resources import files

import numpy as np
import pytest
from scipy.special import wofz

from stargrav.errors import InputError
from stargrav.physics import lines
from stargrav.physics.equation_of_state import abundances, solve
from stargrav.physics.line_extinction import LineExtinction, voigt

CA = (8500.355, 8544.437, 8664.519)


@pytest.fixture(scope="module")
def own():
    return lines.read_lines()


@pytest.fixture(scope="module")
def gas():
    """Two layers of solar composition: (K, dyn / cm^2) as at tau .01 and 1 in the Sun."""
    labels = np.array([5777, 4.44, 0, 0, 0])
    return solve(np.array([4740.0, 6480.0]), np.array([1.2e4, 1.3e5]), abundances(labels))


def test_own_list(own):
    assert len(own) >= 300
    assert np.all(np.diff(own.wave) >= 0) and own.wave[0] > 7090 and own.wave[-1] < 8870
    for wave in CA:
        line = own.select(np.abs(own.wave - wave) < 0.01)
        assert line.species.tolist() == ["Ca II"]
        assert line.abo_sigma[0] == 291 and line.log_gamma_rad[0] == pytest.approx(8.16)


def test_every_row_names_its_source():
    text = (files("stargrav.physics") / "tables" / "atomic_lines.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(r for r in text.splitlines() if not r.startswith("#")):
        assert row["source_gf"]
        assert bool(row["abo_sigma"]) == bool(row["source_damping"])


@pytest.mark.parametrize("a", [0.003, 0.03, 0.3, 3.0])
def test_voigt_function(a):
    u = np.linspace(0, 8, 400, dtype=np.float32)
    exact = wofz(u + 1j * a).real
    found = voigt(np.full(1, a, np.float32), u)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_abo_width_of_calcium(own, gas):
    # Barklem & O'Mara (1998): sigma 291 a0^2 at 10 km/s, alpha .275; by hand at 4740 K:
    # v = (8 k T / pi mu)^1/2 = 10.1 km/s, w = (4/pi)^.1375 Gamma(1.8625) v sigma(v), FWHM 2 w
    extinction = LineExtinction(own.select(own.wave == CA[1]), np.array(CA), 2.0)
    sigma = 291 * 2.8003e-17 * 1.011**-0.275
    by_hand = 2 * (4 / np.pi) ** 0.1375 * 0.9488 * 1.011e6 * sigma
    found = extinction._collisions_with_h(gas.temperature)[0, 0]
    assert found == pytest.approx(by_hand, rel=0.01)


def test_widths_of_calcium_converge_to_another_core(own, gas):
    # 3d4s-3d4p: its levels are bound to Ca II 3d, 6.113 + 1.70 eV, at 5.10 and 3.37 eV; Unsoeld by
    # hand: C_6 = .3e-30 (3.37^-2 - 5.10^-2), 17 * 1.8 C_6^.4 v^.6, v = 10.1 km/s
    line = own.select(np.flatnonzero(own.wave == 7150.121))
    by_hand = 17 * 1.8 * (0.3e-30 * (3.37**-2 - 5.10**-2)) ** 0.4 * 1.011e6**0.6
    found = LineExtinction(line, line.wave + [-1, 1], 2.0)._collisions_with_h(gas.temperature)
    assert found[0, 0] == pytest.approx(by_hand, rel=0.02)
    single = dataclasses.replace(line, core_ev=np.array([np.nan]))
    wider = LineExtinction(single, line.wave + [-1, 1], 2.0)._collisions_with_h(gas.temperature)
    assert wider[0, 0] > 1.8 * found[0, 0]


def test_electrons_widen_lines_of_high_levels_by_their_size(own):
    # Cowley (1971): 1e-8 n_eff^5; 3d-9f of Mg I is bound by .175 eV, n_eff 8.8
    mg = own.select((own.species == "Mg I") & (np.abs(own.wave - 8100.94) < 0.02))
    stark = LineExtinction(mg, np.array([8090.0, 8110.0]), 2.0).stark
    np.testing.assert_allclose(stark, 1e-8 * (13.606 / 0.175) ** 2.5, rtol=0.05)


def test_forbidden_line_of_sulphur_follows_its_transition_rate(own):
    # A = 1.53 / s (NIST) from a level of weight 1
    line = own.wave == 7727.172
    gf = 1.4992e-16 * own.wave[line] ** 2 * 1.53
    np.testing.assert_allclose(10 ** own.log_gf[line], gf, rtol=0.01)


def absorb(line_list, gas, wave, continuum=1e-12):
    extinction = np.zeros((2, wave.size), np.float32)
    adder = LineExtinction(line_list, wave, 2.0)
    adder.add(extinction, gas, np.full_like(extinction, continuum), np.ones(2))
    return extinction


def test_area_of_a_line_is_its_oscillator_strength(own, gas):
    line = own.select(np.array([np.flatnonzero(own.species == "Fe I")[100]]))
    wave = line.wave[0] * np.exp(np.arange(-600, 601) / 3e5)
    area = np.trapezoid(absorb(line, gas, wave, 1e-14), wave, axis=1)
    kt = 8.617333262e-5 * gas.temperature
    lower = gas.density["Fe I"] / gas.partition["Fe I"] * np.exp(-line.e_low[0] / kt)
    lower *= -np.expm1(-12398.42 / line.wave[0] / kt)
    # pi e^2 / (m c^2) = 8.8528e-13 cm
    expected = 8.8528e-13 * 10 ** line.log_gf[0] * lower * line.wave[0] ** 2 * 1e-8
    np.testing.assert_allclose(area, expected, rtol=0.02)


def test_wing_follows_the_core_without_a_step(own, gas):
    line = own.select(own.wave == CA[1])
    wave = CA[1] * np.exp(np.arange(-3000, 3001) / 1e5)
    extinction = absorb(line, gas, wave, 1e-14)
    red = extinction[:, 3001:]
    assert np.all(np.diff(red, axis=1) <= 0)
    velocity = np.arange(1, 3001) * 2.99792458
    scaled = red * velocity**2
    # far from the Doppler core the wing is that of a Lorentzian, across the join as well
    np.testing.assert_allclose(scaled[:, 20:2000] / scaled[:, [300]], 1, atol=0.03)


def test_weak_lines_and_far_wings_do_not_cost(own, gas):
    wave = np.linspace(8400, 8600, 20_000)
    bright = absorb(own, gas, wave, continuum=1e4)
    assert not bright.any()


VALD_STELLAR = """ 8540.00000, 8545.00000, 2, 100, 1.0 Wavelength region, lines selected, Vmicro
                                                  Damping parameters    Lande  Central
Spec Ion       WL_air(A)  Excit(eV) Vmic log gf* Rad.   Stark   Waals   factor  depth  Reference
'Ca 2',        8542.0910,  1.7000, 2.0, -0.410, 8.200,-5.700, 291.275,  1.100, 0.900, ' 1 gf:X '
'Fe 1',        8543.0000,  4.9130, 2.0, -2.000, 0.000, 0.000,  -7.540,  1.100, 0.100, ' 1 gf:X '
'castelli_ap00k2_T05750G40.krz',
'H :  0.92','He: -1.11',
'Li:-10.94','END'
 References:
  1. Somebody
"""

VALD_ALL = """# begin request
                                             Damping parameters  Lande
Elm Ion       WL_vac(A) Excit(eV) log gf*   Rad.  Stark    Waals factor   References
'Ti 1',      8437.27500,   0.8480, -0.886,  7.970,-5.260,  -7.540,  0.780,' 1 wl:K16'
'TiO 1',     8438.00000,   0.8480, -0.886,  7.970,-5.260,  -7.540,  0.780,' 1 wl:K16'
'Ti 3',      8439.00000,   0.8480, -0.886,  7.970,-5.260,  -7.540,  0.780,' 1 wl:K16'
"""


VALD_LONG = """ 8540.00000, 8545.00000, 1, 100, 1.0 Wavelength region, lines selected, Vmicro
                                          Lande factors        Damping parameters   Central
Spec Ion       WL_air(A)  log gf* E_low(eV) J lo E_up(eV)  J up  lower upper mean Rad. Stark
'Fe 1',        8543.0000, -2.000,  4.9130,  2.0,  6.3640,  1.0,  1.100,  1.2, 1.3, 8.0,-5.0,-7.5,
"""


def kurucz(wave_nm, log_gf, code, level, other, rad, stark, vdw, fractions="  0 0.000  0 0.000"):
    """One row in the columns of gfall; `fractions` are of hyperfine component and isotope."""
    return (
        f"{wave_nm:11.4f}{log_gf:7.3f}{code:6.2f}{level:12.3f}  2.5 {'3d 2D':10s}"
        f"{other:12.3f}  1.5 {'4p 2P':10s}{rad:6.2f}{stark:6.2f}{vdw:6.2f}K10  0 0"
        f"{fractions}\n"
    )


KURUCZ = (
    kurucz(854.2091, -0.41, 20.01, 13710.88, 25414.40, 8.20, -5.70, -7.70)
    # levels may come in either order, predicted ones are negative, 0 stands for not known
    + kurucz(853.8150, -1.0, 26.00, -47088.41, 35379.206, 0, 0, 0)
    + kurucz(853.8, -1.0, 26.02, 35379.206, 47088.4, 0, 0, 0)
)
OWN_DAMPING = "species,wave_vac,e_low_ev,log_gf,log_gamma_vdw\nFe I,8500,1.0,-1.0,-7.5\n"


def written(tmp_path, text):
    path = tmp_path / "lines.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_vald_stellar_extract_in_air(tmp_path):
    found = lines.read_lines(written(tmp_path, VALD_STELLAR))
    assert found.species.tolist() == ["Ca II", "Fe I"]
    assert found.wave[0] == pytest.approx(CA[1], abs=0.01)
    assert (found.e_low[0], found.log_gf[0]) == (1.7, -0.41)
    assert (found.abo_sigma[0], found.abo_alpha[0]) == (291, pytest.approx(0.275))
    assert found.log_gamma_stark[0] == -5.7 and np.isnan(found.log_gamma_vdw[0])
    assert np.isnan(found.log_gamma_rad[1]) and found.log_gamma_vdw[1] == -7.54


def test_vald_extract_all_in_vacuum_leaves_molecules_and_ions_out(tmp_path):
    found = lines.read_lines(written(tmp_path, VALD_ALL))
    assert found.species.tolist() == ["Ti I"]
    assert found.wave[0] == 8437.275 and found.log_gamma_rad[0] == 7.97


def test_kurucz_list(tmp_path):
    found = lines.read_lines(written(tmp_path, KURUCZ))
    assert found.species.tolist() == ["Fe I", "Ca II"]
    assert found.wave[1] == pytest.approx(CA[1], abs=0.05)
    assert found.e_low[1] == pytest.approx(1.6999, abs=1e-3)
    assert found.log_gamma_rad[1] == 8.2 and found.log_gamma_vdw[1] == -7.7
    assert np.isnan(found.log_gamma_rad[0])


def test_components_of_a_kurucz_line_have_their_share_of_its_gf(tmp_path):
    """The format's own example, Co I 8007.11, has log gf .116 and a component of -2.584 of it."""
    example = kurucz(800.7110, 0.116, 27.00, 45924.947, 33439.661, 8.19, -5.38, -7.59, " 59-2.584")
    assert example[109:115] == "-2.584"
    (found,) = lines.read_lines(written(tmp_path, example)).log_gf
    assert found == pytest.approx(0.116 - 2.584)
    shares = ((" 56-0.300", " 56-0.200"), ("         ", "         "), ("  0 0.000", " 56-1.000"))
    rows = [
        kurucz(853.8, -1.0, 26.00, 35379.206, 47088.41 + i, 0, 0, 0, "".join(pair))
        for i, pair in enumerate(shares)
    ]
    found = lines.read_lines(written(tmp_path, "".join(rows)))
    assert found.log_gf[::-1].tolist() == pytest.approx([-1.5, -1.0, -2.0])


def test_rows_beyond_the_arm_are_passed_over_unread(tmp_path):
    """One row of gfall08oct17, at 4489 A, has a blank in its gf."""
    misprint = kurucz(448.8906, 0, 26.00, 22838.323, 45109.0, 0, 0, 0).replace(
        "  0.000", "  -1 72", 1
    )
    path = written(tmp_path, KURUCZ + misprint)
    assert len(lines.read_lines(path, (7000.0, 9000.0))) == 2
    with pytest.raises(InputError, match="columns 12-18"):
        lines.read_lines(path)
    with pytest.raises(InputError, match="between 5000 and 6000 A"):
        lines.read_lines(path, (5000.0, 6000.0))


def test_a_cross_section_of_zero_is_none(tmp_path, gas):
    """As in tables that write 0 where it is not known."""
    head = "species,wave_vac,e_low_ev,log_gf,abo_sigma,abo_alpha\nFe I,8500,2.0,-1.0,"
    wave = 8500 * np.exp(np.arange(-300, 301) / 1e5)
    without, zero, known = (
        absorb(lines.read_lines(written(tmp_path, head + end)), gas, wave)
        for end in (",\n", "0.0,0.0\n", "300,0.25\n")
    )
    np.testing.assert_array_equal(zero, without)
    assert np.abs(known - without).max() > 0


def test_formats_agree_on_the_same_line(tmp_path, gas, own):
    wave = CA[1] * np.exp(np.arange(-300, 301) / 1e5)
    ours = absorb(own.select(own.wave == CA[1]), gas, wave)
    vald = lines.read_lines(written(tmp_path, VALD_STELLAR)).select(np.array([0]))
    np.testing.assert_allclose(absorb(vald, gas, wave), ours, rtol=0.15, atol=ours.max() * 0.02)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "line list"),
        ("just words\n", "line 1"),
        ("species,wave_vac,log_gf\nFe I,8500,-1\n", "e_low_ev"),
        ("species,wave_vac,e_low_ev,log_gf\nFe I,8500,1.0,x\n", "line 2, log_gf"),
        ("species,wave_vac,e_low_ev,log_gf\nUuo I,8500,1.0,1.0\n", "line list"),
        (VALD_ALL.replace("0.8480", "abc", 1), "line 4, excitation"),
        (VALD_ALL.replace("WL_vac(A)", "WL_vac(nm)"), "line 3, columns"),
        (VALD_ALL.replace("Excit(eV)", "Excit(cm-1)"), "line 3, columns"),
        (VALD_LONG, "line 3, columns"),
        (VALD_ALL.replace("-0.886", "46.3", 1), "line 4, log gf"),
        (VALD_ALL.replace("8437.27500", "8.4373", 1), "line 4, wavelength"),
        (VALD_STELLAR.replace(" 2.0, -0.410, 8.200,-5.700, 291.275,", " 2.0,", 1), "line 4"),
        (
            VALD_STELLAR.replace(
                " 1.7000, 2.0, -0.410, 8.200,-5.700, 291.275,  1.100, 0.900, ' 1 gf:X '", "", 1
            ),
            "line 4",
        ),
        (KURUCZ.replace(" -0.410", " 41.000", 1), "line 1, columns 12-18"),
        (KURUCZ.replace("  8.20", "  8.x0", 1), "line 1, columns 81-86"),
        (KURUCZ.replace(" -7.70", " -7,70", 1), "line 1, columns 93-98"),
        (OWN_DAMPING.replace("-7.5", "wide"), "line 2, log_gamma_vdw"),
        (KURUCZ.replace("  0 0.000", "  0 0.500", 1), "line 1, columns 110-115"),
        (
            OWN_DAMPING.replace("log_gamma_vdw", "abo_sigma").replace("-7.5", "300"),
            "line 2, abo_alpha",
        ),
    ],
)
def test_bad_lists_are_refused(tmp_path, text, field):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        lines.read_lines(path)
    assert caught.value.field == field and str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError):
        lines.read_lines(tmp_path / "none.csv")
