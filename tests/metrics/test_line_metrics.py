"""Lines: known strengths, known velocities, and edits that come back as they were made."""

import numpy as np
import pytest

from stargrav.constants import C_KM_S
from stargrav.metrics.lines import MEASURED, line_scores, measured_lines, velocity
from stargrav.named_lines import LINES, centre_depth, scaled, strength, within

WAVE = 7100.2 + 0.4271 * np.arange(4096)
AT = LINES["Ca II 8664.5"]


def spectra(depth, shift_km_s=0.0, at=AT, sigma=1.2):
    """A line in each spectrum on a sloping continuum."""
    depth, shift = np.broadcast_arrays(np.atleast_1d(depth), shift_km_s)
    centre = at * (1 + shift[:, None] / C_KM_S)
    line = 1 - depth[:, None] * np.exp(-0.5 * ((WAVE - centre) / sigma) ** 2)
    return (1 + 2e-4 * (WAVE - 8000)) * line


def test_all_lines_to_be_measured_are_held():
    assert tuple(measured_lines(WAVE)) == MEASURED
    assert set(MEASURED) <= set(within(WAVE))
    assert not measured_lines(WAVE[:500])


@pytest.mark.parametrize("shift", [-77.0, -5.0, 0.0, 0.4, 12.3, 100.0])
def test_velocities_come_back(shift):
    """To .3 km/s, whatever the depth; the parabola is no exact form of the correlation."""
    flux, template = spectra([0.2, 0.6], shift), spectra([0.4, 0.4])
    assert velocity(WAVE, flux, template, AT) == pytest.approx([shift, shift], abs=0.3)


def test_velocities_with_noise_are_unbiased():
    rng = np.random.default_rng(0)
    clean = spectra(np.full(400, 0.5), 20.0)
    found = velocity(WAVE, clean + 0.03 * rng.standard_normal(clean.shape), spectra(0.5)[0], AT)
    error = found.std() / np.sqrt(len(found))
    assert np.isfinite(found).all() and error < 0.3
    assert abs(found.mean() - 20.0) < 4 * error + 0.3


def test_where_there_is_no_line_there_is_no_velocity_to_believe():
    rng = np.random.default_rng(0)
    found = velocity(WAVE, 1 + 0.1 * rng.standard_normal((50, 4096)), spectra(0.5)[0], AT)
    assert not np.nanstd(found) < 20


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0])
def test_a_scaled_line_has_a_scaled_depth_and_leaves_the_rest_alone(factor):
    """Its width follows but for the ends of the line."""
    flux = spectra([0.1, 0.4])
    found = scaled(WAVE, flux, AT, factor)
    before, after = (centre_depth(WAVE, x, AT) for x in (flux, found))
    assert after == pytest.approx(factor * before, abs=1e-9)
    before, after = (strength(WAVE, x, AT)[0] for x in (flux, found))
    assert after == pytest.approx(factor * before, abs=0.01 * before.max())
    assert np.array_equal(found[:, np.abs(WAVE - AT) > 5], flux[:, np.abs(WAVE - AT) > 5])


def test_an_edit_fades_where_a_line_has_wings():
    """A line wider than what is edited is taken away in its middle, without a step at the end."""
    flux = spectra(0.5, sigma=5.0)
    taken = (scaled(WAVE, flux, AT, 0.0) - flux)[0]
    offset = np.abs(WAVE - AT)
    assert 0 < taken[(offset < 5) & (offset > 4.7)].max() < 0.05 * taken[offset.argmin()]


def test_noise_leaves_the_mean_depth_at_the_centre_alone():
    rng = np.random.default_rng(0)
    clean = spectra(np.full(2000, 0.3))
    noisy = clean + 0.1 * rng.standard_normal(clean.shape)
    off = centre_depth(WAVE, noisy, AT) - centre_depth(WAVE, clean, AT)
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(len(off))


def test_scores_tell_the_bias_that_was_made():
    clean = spectra(np.linspace(0.2, 0.5, 100))
    flux = scaled(WAVE, spectra(np.linspace(0.2, 0.5, 100), 3.0), AT, 0.9)
    found = line_scores(WAVE, flux, clean, AT, seed=0)
    assert found["width_bias"].value == pytest.approx(-0.1, abs=0.005)
    assert found["velocity_bias"].value == pytest.approx(3.0, abs=0.2)
    assert found["depth_bias"].value == pytest.approx(-0.035, abs=0.006)
    assert found["velocity_found"].value == 1
    low, high = found["velocity_bias"].interval()
    assert low <= found["velocity_bias"].value <= high
