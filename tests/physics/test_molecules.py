"""CN and TiO: line strengths, band heads, cross sections."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from stargrav.constants import HC_CM_K
from stargrav.physics import cn, equation_of_state, molecules, tio
from stargrav.physics.hund import LINE_STRENGTH_CM, clebsch_gordan

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "cn_cross_section.h5"
WAVE = 7090 * np.exp(np.arange(22_290) * 1e-5)
# Band heads of TiO in air (A): gamma 0-0 and 0-1, gamma 1-2 and 2-3 sequence, epsilon, delta
# (Phillips 1973, ApJS 26, 313; Kirkpatrick, Henry & McCarthy 1991, ApJS 77, 417).
TIO_HEADS = (7087.6, 7125.6, 7589.3, 7628.1, 8205.8, 8250.6, 8442.3, 8451.7, 8859.6)


def _air(wave):
    """Vacuum to air (Morton 1991, ApJS 77, 119)."""
    return wave / (1 + 2.735182e-4 + 131.4182 / wave**2 + 2.76249e8 / wave**4)


@pytest.mark.parametrize("q", [-1, 0, 1])
@pytest.mark.parametrize("omega", [-1.5, -0.5, 0, 0.5, 2])
def test_clebsch_gordan_coefficients_are_orthonormal(omega, q):
    j = np.arange(abs(omega) + 2, abs(omega) + 30)
    total = sum(clebsch_gordan(j, omega, q, delta) ** 2 for delta in (-1, 0, 1))
    np.testing.assert_allclose(total, 1)
    for delta, other in ((-1, 0), (0, 1)):
        # Reversal: <j m 1 q|j' m'>^2 (2j + 1) = <j' m' 1 -q|j m>^2 (2j' + 1).
        there = clebsch_gordan(j, omega, q, delta) ** 2 / (2 * (j + delta) + 1)
        back = clebsch_gordan(j + delta, omega + q, -q, -delta) ** 2 / (2 * j + 1)
        np.testing.assert_allclose(there, back)
        overlap = [
            sum(
                clebsch_gordan(j, m, p, delta) * clebsch_gordan(j, m, p, other)
                for m, p in [(omega + q - p, p) for p in (-1, 0, 1)]
            )
        ]
        np.testing.assert_allclose(overlap, 0, atol=1e-12)


def test_clebsch_gordan_of_missing_states_is_zero():
    assert clebsch_gordan(np.array([0.0]), 0, 0, 0) == 0
    assert clebsch_gordan(np.array([0.5]), 0.5, 1, 0) == 0
    assert clebsch_gordan(np.array([2.0]), 2, 0, -1) == 0


@pytest.mark.parametrize("parity", [1, -1])
def test_cn_line_strengths_above_a_level_sum_to_its_weight(parity):
    constants = cn._levels("A")[3]
    total = 0
    for delta in (-1, 0, 1):
        _, vector = cn.pi_states(constants, parity if delta else -parity)
        total = total + cn.hoenl_london(vector, parity, delta).sum(axis=1)
    inner = slice(1, -1)
    np.testing.assert_allclose(total[inner], 2 * (2 * cn.J[inner] + 1))


def test_cn_satellite_branches_fade_towards_hunds_case_b():
    """Weak spin-orbit coupling keeps F: Q21 against R2, as 1/N^2; strong coupling does not."""
    constants = dict(cn._levels("A")[3])
    share = {}
    for coupling in (-0.01, -5000.0):
        constants |= {"A": coupling, "A_D": 0.0, "p": 0.0, "q": 0.0}
        _, vector = cn.pi_states(constants, 1)
        factor = cn.hoenl_london(vector, 1, 1)[20]  # from F1
        share[coupling] = factor.min() / factor.sum()
    assert share[-0.01] < 0.002
    assert share[-5000.0] > 0.2


def test_cn_cross_section_follows_the_published_line_list():
    """Against Brooke et al. (2014) in bins of 1 A, and smoothed to R about 5000."""
    if not REFERENCE.exists():
        pytest.skip(f"no reference data at {REFERENCE}")
    with h5py.File(REFERENCE) as file:
        centre, temperature, sigma = (
            file[k][:].astype(float) for k in ("wave", "temperature", "sigma")
        )
    ours = molecules.cross_section("CN", WAVE, temperature).astype(float)
    area = 0.5 * (ours[:, 1:] + ours[:, :-1]) * np.diff(WAVE)
    cumulated = np.concatenate([np.zeros((len(ours), 1)), np.cumsum(area, axis=1)], axis=1)
    edges = np.append(centre - 0.5, centre[-1] + 0.5)
    binned = np.diff([np.interp(edges, WAVE, row) for row in cumulated], axis=1)
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 0.68) ** 2)
    for row, other in zip(binned, sigma, strict=True):
        assert np.corrcoef(row, other)[0, 1] > 0.98
        smooth = [np.convolve(x, kernel / kernel.sum(), "same") for x in (row, other)]
        assert np.corrcoef(*smooth)[0, 1] > 0.99
        for low, high in ((7101, 7430), (7430, 7870), (7870, 8270), (8270, 8849)):
            part = (centre > low) & (centre < high)
            assert row[part].sum() == pytest.approx(other[part].sum(), rel=0.12)
        for low in range(7110, 8700, 120):  # no window is shifted by half a bin
            part = np.flatnonzero((centre > low) & (centre < low + 120))
            match = [np.corrcoef(row[part], other[part + lag])[0, 1] for lag in (-1, 0, 1)]
            assert np.argmax(match) == 1


def test_tio_band_heads_stand_where_published():
    wave = np.append(WAVE, WAVE[-1] * np.exp(np.arange(1, 200) * 1e-5))  # delta is just beyond
    sigma = molecules.sum_lines(tio.lines(), wave, 3000.0, 1.0)[0]
    air = _air(wave)
    found = []
    for head in TIO_HEADS:
        near = np.abs(air - head) < 3
        found.append(air[near][np.argmax(sigma[near])])
    np.testing.assert_allclose(found, TIO_HEADS, rtol=0, atol=1.0)


def test_tio_vibration_meets_measured_constants():
    """X: interval 0-1 and B_0 of Ram et al. (1999, ApJS 122, 331); T_0 of A and B."""
    ground = tio.vibration("X3Delta")
    assert ground.energy[1] - ground.energy[0] == pytest.approx(1000.0, abs=0.2)
    assert ground.rotation[0, 0] == pytest.approx(0.5338, abs=2e-4)
    np.testing.assert_allclose(
        ground.wavefunction.T @ ground.wavefunction, np.eye(tio.LEVELS), atol=1e-10
    )
    spacing = {
        state: np.diff(tio.vibration(state).energy)[0] for state in ("A3Phi", "B3Pi", "E3Pi")
    }
    assert spacing == pytest.approx({"A3Phi": 859.9, "B3Pi": 864.2, "E3Pi": 913.0}, abs=1.0)


@pytest.mark.parametrize(("system", "nanoseconds"), [("gamma", 103.3), ("gamma'", 65.6)])
def test_tio_moments_give_the_measured_lifetimes(system, nanoseconds):
    """Hedgecock, Naulin & Costes (1995, A&A 304, 667), v' = 0; A = 64 pi^4 nu^3 mu^2 / 3 h."""
    row = next(r for r in tio.read_table("tio_systems.csv") if r["system"] == system)
    upper, lower = tio.vibration(row["upper"]), tio.vibration(row["lower"])
    wavenumber = upper.energy[0] - lower.energy
    rate = 3.136e-7 * (wavenumber**3 * tio.transition_moments(row)[0] ** 2).sum()
    assert 1e9 / rate == pytest.approx(nanoseconds, rel=0.08)


def test_tio_isotopes_shift_the_0_1_head_by_the_vibrational_ratio():
    """The shift of 50TiO follows from omega (rho - 1) without any potential."""
    rho = np.sqrt(tio.reduced_mass(48) / tio.reduced_mass(50))
    upper, lower = (tio.vibration(s) for s in ("A3Phi", "X3Delta"))
    change = tio.reduced_mass(48) / tio.reduced_mass(50) - 1
    kinetic = upper.kinetic[0, 0] - lower.kinetic[1, 1]
    zero = lower.energy[0] * 2
    expected = (rho - 1) * (0.5 * (upper.energy[1] - upper.energy[0]) - 1.5 * zero)
    assert change * kinetic == pytest.approx(expected, rel=0.03)


def test_tio_line_strengths_above_a_level_sum_to_its_weight():
    """All lines from one (J, v = 0) level of X to A, whatever v': sum of moments squared."""
    row = next(r for r in tio.read_table("tio_systems.csv") if r["system"] == "gamma")
    upper = tio.block(tio.BLOCKS[2], 1)
    moments = tio.transition_moments(row)
    j = 30
    total = 0.0
    for delta in (-1, 0, 1):
        for sigma in (-1, 0, 1):
            factor = clebsch_gordan(tio.J[[j]], 2 + sigma, 1, delta)[0] * np.sqrt(2 * j + 1)
            part = upper.vector[j + delta][upper.basis["A3Phi", sigma]]
            total += ((factor * part.T @ moments[:, 0]) ** 2).sum()
    assert total == pytest.approx(3 * (2 * j + 1) * (moments[:, 0] ** 2).sum())


@pytest.mark.parametrize(
    ("name", "tolerance", "warmest"), [("CN", 0.05, 4000.0), ("TiO", 0.08, 6000.0)]
)
def test_partition_function_agrees_with_the_equation_of_state(name, tolerance, warmest):
    """Barklem & Collet (2016); above 4000 K their CN counts half the weight of A 2Pi."""
    temperature = np.array([1000.0, 2000.0, 3000.0, 4000.0, 6000.0])
    temperature = temperature[temperature <= warmest]
    ours = molecules.partition_function(name, temperature)
    theirs = equation_of_state.partition_function(name, temperature)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance)


@pytest.mark.parametrize(("name", "source"), [("CN", cn), ("TiO", tio)])
def test_cross_section_integrates_to_the_sum_of_line_strengths(name, source):
    temperature = 3700.0
    lines = source.lines()
    wave = 7500 * np.exp(np.arange(40_000) * 1e-6)
    sigma = molecules.cross_section(name, wave, temperature)[0].astype(float)
    place = 1e8 / lines.wavenumber
    inside = (place > wave[0]) & (place < wave[-1])
    boltzmann = np.exp(-HC_CM_K * lines.energy[inside] / temperature)
    boltzmann *= -np.expm1(-HC_CM_K * lines.wavenumber[inside] / temperature)
    partition = equation_of_state.partition_function(name, temperature)
    expected = LINE_STRENGTH_CM * (lines.gf[inside] * boltzmann).sum() / partition
    assert np.trapezoid(sigma, -1e8 / wave) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", molecules.MOLECULES)
@pytest.mark.parametrize("temperature", [2300.0, 3300.0, 4700.0, 6500.0])
def test_interpolated_layers_meet_the_sum_of_lines(name, temperature):
    wave = 7090 * np.exp(np.arange(3000) * 1e-5)
    partition = equation_of_state.partition_function(name, temperature)
    lines = {"CN": cn, "TiO": tio}[name].lines()
    direct = molecules.sum_lines(lines, wave, temperature, partition)[0]
    layer = molecules.cross_section(name, wave, temperature)[0]
    strong = direct > 0.01 * direct.max()
    np.testing.assert_allclose(layer[strong], direct[strong], rtol=0.03)
    assert layer.sum() == pytest.approx(direct.sum(), rel=0.005)


def test_hotter_gas_moves_the_opacity_to_excited_levels():
    """CN 2-0 (from v = 0) fades with temperature against 5-2 (from v = 2)."""
    temperature = np.array([2500.0, 3500.0, 5000.0, 7000.0])
    sigma = molecules.cross_section("CN", WAVE, temperature)
    cold = sigma[:, (WAVE > 7876) & (WAVE < 7960)].mean(axis=1)
    hot = sigma[:, (WAVE > 7262) & (WAVE < 7330)].mean(axis=1)
    assert (np.diff(hot / cold) > 0).all()
    assert (np.diff(cold) < 0).all()


def test_a_line_has_the_doppler_width_of_its_gas():
    """One lone line: second moment of the profile = kT/m + xi^2 / 2."""
    lines = molecules.MolecularLines(np.array([12_500.0]), np.array([0.0]), np.array([1.0]), 26.0)
    wave = 8000 * np.exp(np.linspace(-5e-5, 5e-5, 1001))
    sigma = molecules.sum_lines(lines, wave, 4000.0, 1.0)[0]
    velocity = 299_792.458 * np.log(wave / 8000)
    variance = (sigma * velocity**2).sum() / sigma.sum()
    assert variance == pytest.approx(8.314e-3 * 4000 / 26.0 + 2.0, rel=0.03)


def test_cross_sections_are_not_negative():
    temperature = np.geomspace(1500, 12_000, 25)
    for name in molecules.MOLECULES:
        sigma = molecules.cross_section(name, WAVE, temperature)
        assert sigma.dtype == np.float32
        assert np.isfinite(sigma).all()
        assert sigma.min() > -1e-3 * sigma.max()
