"""Schedules: variance preserved, SNR falling, and the published numbers."""

import numpy as np
import pytest
import torch

from stargrav.diffusion.schedule import SCHEDULES, STEPS, Cosine, LinearBeta

EVERY = pytest.mark.parametrize("schedule", [kind() for kind in SCHEDULES.values()], ids=SCHEDULES)


@EVERY
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_variance_is_preserved_and_snr_falls(schedule, kind):
    t = torch.linspace(0, 1, 3 * STEPS + 1, dtype=kind)
    alpha, sigma = schedule(t)
    assert alpha.dtype == sigma.dtype == kind
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(t), atol=4e-7)
    assert alpha[0] == 1 and sigma[0] == 0 and 0 < alpha[-1] < 0.01
    snr = schedule.log_snr(t)
    assert torch.isinf(snr[0]) and (snr.diff() < 0).all() and snr[1:].isfinite().all()
    assert torch.allclose(snr[1:], 2 * (alpha[1:] / sigma[1:]).log(), rtol=1e-3, atol=1e-3)


def test_linear_betas_are_those_of_ho_et_al():
    t = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    signal = LinearBeta().signal(t)
    beta = (1 - signal[1:] / signal[:-1]).numpy()
    np.testing.assert_allclose(beta, np.linspace(1e-4, 0.02, STEPS), rtol=1e-9)
    assert float(signal[-1]) == pytest.approx(4.04e-5, rel=0.01)
    # in the limit of many steps: exp(-(.1 t + 19.9 t^2 / 2)) (Song et al. 2021, eq. 32)
    limit = torch.exp(-(0.1 * t + 9.95 * t**2))
    assert (LinearBeta().signal(t) - limit).abs().max() < 5e-3


def test_cosine_is_that_of_nichol_and_dhariwal():
    t = torch.linspace(0, 0.9, 50, dtype=torch.float64)
    angle = (t + 0.008) / 1.008 * np.pi / 2
    expected = (angle.cos() / angle[0].cos()) ** 2
    np.testing.assert_allclose(Cosine().signal(t), expected, atol=2e-3)  # least is 0 there


@EVERY
def test_time_grids_run_from_noise_to_data(schedule):
    for grid in (schedule.even(20), schedule.even_in_snr(20)):
        assert len(grid) == 21 and grid[0] == 1 and grid[-1] == 0 and (grid.diff() < 0).all()
    steps = schedule.log_snr(schedule.even_in_snr(20)[:-1]).diff()
    assert torch.allclose(steps, steps.mean().expand(19), rtol=0.05)
