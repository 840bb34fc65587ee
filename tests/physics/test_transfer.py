"""The formal solution against cases with a closed form."""

import numpy as np
import pytest

from stargrav.physics import transfer

LOG_TAU = np.linspace(-6, 2.5, 120)
STEFAN_BOLTZMANN = 5.670374419e-5  # erg / s / cm^2 / K^4


def flux(source, ratio=1.0, dtype=np.float64, log_tau=LOG_TAU):
    source = np.asarray(source, dtype)[:, None]
    return transfer.emergent_flux(np.full_like(source, ratio), source, log_tau)[0]


def test_planck_integrates_to_stefan_boltzmann():
    wave = np.geomspace(500, 5e6, 20_000)
    total = np.trapezoid(transfer.planck(wave, np.array([5000.0]))[0], wave)
    assert np.pi * total == pytest.approx(STEFAN_BOLTZMANN * 5000**4, rel=1e-3)


def test_constant_source_radiates_pi_s():
    assert flux(np.full(LOG_TAU.size, 3.0)) == pytest.approx(3 * np.pi, rel=1e-6)


def test_linear_source_obeys_eddington_barbier():
    tau = 10**LOG_TAU
    assert flux(1 + 2 * tau) == pytest.approx(np.pi * (1 + 2 * 2 / 3), rel=3e-3)


def test_a_line_sees_the_source_higher_up():
    tau = 10**LOG_TAU
    # ten times the extinction: S as a function of its own depth is ten times flatter
    assert flux(1 + 2 * tau, ratio=10.0) == pytest.approx(np.pi * (1 + 0.2 * 2 / 3), rel=3e-3)


def test_single_precision_agrees():
    tau = 10**LOG_TAU
    assert flux(1 + tau, dtype=np.float32) == pytest.approx(flux(1 + tau), rel=1e-5)


def test_optical_depth_of_a_power_law():
    # alpha / alpha_5000 = tau^(1/2): tau_lambda = tau^(3/2) / 1.5
    ratio = (10 ** (LOG_TAU / 2))[:, None]
    depth = transfer.optical_depth(ratio, LOG_TAU)[:, 0]
    assert depth[-1] == pytest.approx(10 ** (1.5 * LOG_TAU[-1]) / 1.5, rel=1e-2)


def test_chunks_join():
    rng = np.random.default_rng(1)
    ratio = rng.uniform(0.5, 2, (LOG_TAU.size, 5000))
    source = rng.uniform(0.5, 2, ratio.shape)
    whole = transfer.emergent_flux(ratio, source, LOG_TAU)
    part = transfer.emergent_flux(ratio[:, 2000:2100], source[:, 2000:2100], LOG_TAU)
    np.testing.assert_allclose(whole[2000:2100], part, rtol=1e-12)
