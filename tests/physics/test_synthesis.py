"""The whole synthesis: what labels do to a spectrum, and real BOSZ spectra."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from stargrav.errors import InputError
from stargrav.physics import atmosphere
from stargrav.physics.atmosphere import LOG_TAU
from stargrav.physics.lines import read_lines
from stargrav.physics.synthesis import HIGH, LOW, RESOLUTION, WAVE, Synthesizer, synthesize

BOSZ = Path(__file__).parents[2] / "../shared/reference/bosz_r5000_8000-9000.h5"


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer()


@pytest.fixture(scope="module")
def atomic():
    """Without molecules."""
    return Synthesizer(molecules=False)


def near(centre, half):
    return np.abs(WAVE - centre) < half


def test_grid():
    assert WAVE[0] == LOW == 7090 and WAVE[-1] >= HIGH == 8860
    np.testing.assert_allclose(np.diff(np.log(WAVE)), 1 / RESOLUTION, rtol=1e-6)
    assert RESOLUTION >= 100_000  # as asked


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_wavelengths_are_refused(count):
    with pytest.raises(InputError, match=f"wave: found {count} wavelengths"):
        Synthesizer(WAVE[:count])


def test_two_wavelengths_are_enough(atomic):
    labels = np.array([5777, 4.44, 0, 0, 0])
    pair = Synthesizer(WAVE[10_000:10_002], molecules=False)(labels)
    np.testing.assert_allclose(pair, atomic(labels)[10_000:10_002], rtol=1e-3)


@pytest.mark.parametrize("labels", [(3800, 1.2, 0.4, 0, 0), (6000, 1, 0, 0, 0)])
def test_finer_sampling_and_layers_change_little(monkeypatch, labels):
    """Saturated lines of a cool giant ask for sampling, a warm giant's temperatures for layers."""
    low, high = (np.searchsorted(WAVE, edge) for edge in (8100, 8700))
    coarse = Synthesizer(WAVE[low:high])(np.array(labels))
    between = np.sqrt(WAVE[low : high - 1] * WAVE[low + 1 : high])
    fine = Synthesizer(np.sort(np.append(WAVE[low:high], between)))
    depths = np.sort(np.append(LOG_TAU, (LOG_TAU[1:] + LOG_TAU[:-1]) / 2))
    monkeypatch.setattr(atmosphere.build, "__defaults__", (0.0, depths))
    pair = (
        gaussian_filter1d(flux.astype(float), sampling / 5000 / 2.3548)[every]
        for flux, sampling, every in (
            (coarse, RESOLUTION, slice(200, -200)),
            (fine(np.array(labels)), 2 * RESOLUTION, slice(400, -400, 2)),
        )
    )
    one, other = (np.log(flux / np.median(flux)) for flux in pair)
    assert np.sqrt(np.mean((one - other[: len(one)]) ** 2)) < 3e-4


def test_flux_of_the_sun(atomic):
    flux = atomic(np.array([5777, 4.44, 0, 0, 0]))
    assert flux.dtype == np.float32 and flux.shape == WAVE.shape
    assert np.isfinite(flux).all() and flux.min() > 0
    # irradiance at 8000 A, 1 au: 1.12 W / m^2 / nm (Wehrli 1985; ASTM E490), 215.03 solar radii
    mean = flux[near(8000, 40)].mean()
    assert mean == pytest.approx(112 * 215.03**2, rel=0.04)


@pytest.mark.parametrize(
    "labels",
    [
        (3750, 1, 0.75, -0.25, 0.5),
        (3750, 5, -2.5, 0.5, -0.75),
        (6000, 1, -2.5, 0.5, 0.5),
        (6000, 5, 0.75, -0.25, -0.75),
    ],
)
def test_corners_of_the_label_range(synthesizer, labels):
    flux = synthesizer(np.array(labels, float))
    assert np.isfinite(flux).all() and flux.min() > 0


def depth(flux, centre, half):
    """Mean depression of a window below its upper envelope around."""
    return 1 - flux[near(centre, half)].mean() / np.percentile(flux[near(centre, 10 * half)], 95)


def test_calcium_triplet(atomic):
    solar = atomic(np.array([5500, 4.0, 0, 0, 0]))
    poor = atomic(np.array([5500, 4.0, -2, 0, 0]))
    alpha = atomic(np.array([5500, 4.0, -2, 0.5, 0]))
    giant = atomic(np.array([5500, 1.5, 0, 0, 0]))
    for centre in (8500.4, 8544.4, 8664.5):
        assert depth(solar, centre, 5) > depth(alpha, centre, 5) > depth(poor, centre, 5) > 0.02
    assert depth(giant, 8664.5, 5) > 1.2 * depth(solar, 8664.5, 5)


def test_paschen_lines_follow_temperature_and_gravity(atomic):
    p14 = {
        (t, g): depth(atomic(np.array([t, g, -2, 0, 0])), 8600.75, 3)
        for t in (5000, 6000)
        for g in (2, 4)
    }
    assert p14[6000, 2] > p14[6000, 4] > p14[5000, 4]
    assert p14[6000, 2] > 0.03


def molecular(synthesizer, atomic, *labels):
    labels = np.array(labels, float)
    return 1 - np.mean(synthesizer(labels) / atomic(labels))


def test_cn_in_a_giant_reacts_to_carbon(synthesizer, atomic):
    solar = molecular(synthesizer, atomic, 4250, 1.5, 0, 0, 0)
    assert 0.03 < solar < 0.06
    assert molecular(synthesizer, atomic, 4250, 1.5, 0, 0, 0.25) > 1.5 * solar
    assert molecular(synthesizer, atomic, 4250, 1.5, 0, 0, -0.5) < 0.6 * solar
    assert molecular(synthesizer, atomic, 5750, 1.5, 0, 0, 0) < 0.6 * solar


def test_tio_grows_with_gravity_and_falls_with_temperature(synthesizer, atomic):
    def band(t_eff, log_g):
        labels = np.array([t_eff, log_g, 0, 0, -0.5])  # little carbon: little CN
        ratio = synthesizer(labels) / atomic(labels)
        return 1 - ratio[near(7200, 70)].mean()

    assert band(3800, 4.5) > band(3800, 1.5) + 0.03
    assert band(3800, 4.5) > 2 * band(4100, 4.5) > 0.02
    assert band(4900, 4.5) < 0.01


def test_part_of_the_range_agrees_with_the_whole(atomic):
    labels = np.array([4800, 2.5, -0.5, 0.1, 0.0])
    part = np.flatnonzero(near(8550, 60))
    alone = synthesize(labels, wave=WAVE[part], lines=read_lines(), molecules=False)
    assert alone.shape == (1, part.size)
    np.testing.assert_allclose(alone[0], atomic(labels)[part], rtol=2e-3)


def test_without_lines_the_spectrum_is_smooth():
    empty = read_lines().select(np.zeros(len(read_lines()), bool))
    flux = synthesize([[4500, 3, -1, 0, 0]], lines=empty, molecules=False)[0]
    # the largest step left is where the Paschen series is cut off at n = 40
    assert np.abs(np.diff(np.log(flux))).max() < 1e-3


@pytest.mark.skipif(not BOSZ.exists(), reason="needs shared/reference/bosz_r5000_8000-9000.h5")
def test_real_bosz_spectra(synthesizer):
    with h5py.File(BOSZ) as file:
        wave, fluxes, para = file["wave"][:], file["flux"][:], file["para"][:]
    use = (wave >= 8000) & (wave <= 8850)

    def both(m_h, t_eff, log_g):
        row = np.flatnonzero(np.all(para[:, :3] == (m_h, t_eff, log_g), axis=1))[0]
        ours = synthesizer(np.array([t_eff, log_g, m_h, 0, 0]))
        ours = gaussian_filter1d(ours.astype(float), RESOLUTION / 5000 / 2.3548)
        ours = np.interp(wave[use], WAVE, ours)
        real = fluxes[row, use]
        return np.log(ours / np.median(ours)), np.log(real / np.median(real))

    start = both(-0.5, 5750, 2.5)
    assert np.std(start[0] - start[1]) < 0.009
    for step in ((-0.5, 5750, 3.0), (-0.5, 6000, 2.5), (0, 5750, 2.5)):
        end = both(*step)
        ours, real = end[0] - start[0], end[1] - start[1]
        assert np.corrcoef(ours, real)[0, 1] > 0.92
        assert 0.8 < np.linalg.norm(ours) / np.linalg.norm(real) < 1.2
