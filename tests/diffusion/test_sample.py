"""Samplers against a Gaussian whose samples are known in closed form.

Samples number N = 4000. Means and covariances may be off by 4.5 standard errors of theirs (14
numbers: one in ten thousand runs fails by chance; seeds are fixed). What steps of finite size add
is computed apart, without drawing: a thousand ancestral steps lose .7 to 4.2 % of a variance (the
smallest one with linear betas), whose standard error is 2.2 %; the others less than 1 %.
"""

import pytest
import torch
from gaussian_toy import AXES, MEAN, VARIANCE, GaussianDenoiser, deviations, draws

from stargrav.diffusion.sample import SAMPLERS, Sampler, leap, sample
from stargrav.diffusion.schedule import Cosine, LinearBeta
from stargrav.metrics.two_sample import classifier_test, energy_test
from stargrav.models.gaussian import SpectrumGaussian

N = 4000
ERRORS = 4.5
SCHEDULES = pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()], ids=["linear", "cosine"])
T = torch.float64


def drawn(name, schedule, steps=None, n=N, seed=1):
    generator = torch.Generator().manual_seed(seed)
    denoiser = GaussianDenoiser(schedule=schedule)
    return sample(denoiser, (n, 4), SAMPLERS[name], generator, steps).double(), denoiser


@SCHEDULES
@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_mean_and_covariance_of_the_data(name, schedule):
    found, denoiser = drawn(name, schedule)
    off_mean, off_covariance = deviations(found)
    assert off_mean < ERRORS and off_covariance < ERRORS
    assert denoiser.calls == SAMPLERS[name].steps


@SCHEDULES
def test_steps_of_ancestral_sampling_add_little_to_any_variance(schedule):
    """Along an axis of the Gaussian a step is x_s = gain x_t + spread z."""
    times = schedule.even(1000)
    alpha, sigma = schedule(times)
    variance = torch.ones(4, dtype=T)
    for a, s, b, r in zip(alpha, sigma, alpha[1:], sigma[1:], strict=False):
        mean = a * VARIANCE / (a**2 * VARIANCE + s**2)
        fresh = 1 - (a * r / (b * s)) ** 2
        gain = b * mean + r * (1 - fresh).sqrt() / s * (1 - a * mean)
        variance = gain**2 * variance + r**2 * fresh
    assert ((variance / VARIANCE - 1).abs() < 0.05).all()


def flow(x, schedule):
    """Where the differential equation leads from x at t = 1: (x_t - alpha m) keeps its share of
    the deviation along each axis."""
    alpha, sigma = schedule(torch.ones((), dtype=T))
    share = (VARIANCE / (alpha**2 * VARIANCE + sigma**2)).sqrt()
    return MEAN + ((x - alpha * MEAN) @ AXES * share) @ AXES.T


@SCHEDULES
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm_solver", 2)])
def test_order_of_convergence(name, order, schedule):
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=T)
    sampler, denoiser = SAMPLERS[name], GaussianDenoiser(schedule=schedule)

    def error(steps):
        found = sampler.run(denoiser, x, sampler.times(schedule, steps), None)
        return float((found - flow(x, schedule)).square().mean().sqrt())

    # the step to t = 0 is no smaller with more steps, so one is left out
    ratio = error(41) / error(81)
    assert ratio == pytest.approx(2**order, rel=0.15)
    assert error(sampler.steps) < 0.02  # of variances that are 1.08 in the mean


@SCHEDULES
def test_fifty_second_order_steps_pass_the_test_that_a_thousand_ancestral_ones_pass(schedule):
    exact = draws(1000, seed=7).numpy()
    for name in ("ancestral", "dpm_solver"):
        found = drawn(name, schedule, n=1000)[0].numpy()
        assert energy_test(found, exact, 0, 200).p > 0.01, name
        assert classifier_test(found, exact, 0).p > 0.01, name
    assert SAMPLERS["dpm_solver"].steps <= 50
    for name in ("ancestral", "ddim"):  # and the test is one
        found = drawn(name, schedule, steps=6, n=1000)[0].numpy()
        assert energy_test(found, exact, 0, 200).p < 0.01, name


def test_an_ancestral_step_is_a_draw_from_the_posterior_of_ho_et_al():
    """Equation 7: mean and variance of q(x_s | x_t, x)."""
    t = torch.tensor([0.5, 0.499], dtype=T)
    (a, b), (s, r) = LinearBeta()(t)
    beta = 1 - (a / b) ** 2
    clean, x_t = draws(1, seed=1), draws(1, seed=2)
    expected = b * beta / s**2 * clean + (1 - beta).sqrt() * r**2 / s**2 * x_t
    wide = leap(
        x_t.expand(20_000, 4),
        clean,
        (float(a), float(s)),
        (float(b), float(r)),
        generator=torch.Generator().manual_seed(3),
    )
    variance = float(r**2 / s**2 * beta)
    assert (wide.mean(0) - expected).abs().max() < 4.5 * (variance / 20_000) ** 0.5
    assert float(wide.var(0).mean()) == pytest.approx(variance, rel=4.5 * (2 / 80_000) ** 0.5)


def test_a_direction_of_large_variance_keeps_it_with_a_prior():
    """Where t = 1 leaves a tenth of the variance of x_t to the spectra."""
    prior = SpectrumGaussian(4, 1).double()
    prior.variances.fill_(3000.0)
    covariance = torch.diag(torch.tensor([3000.0, 1.0, 1.0, 1.0], dtype=T))
    denoiser = GaussianDenoiser(torch.zeros(4, dtype=T), covariance)

    def variance(prior):
        generator = torch.Generator().manual_seed(0)
        found = sample(denoiser, (N, 4), SAMPLERS["dpm_solver"], generator, prior=prior)
        return float(found[:, 0].var()) / 3000

    error = (2 / N) ** 0.5
    assert abs(variance(prior) - 1) < ERRORS * error
    assert variance(None) < 1 - 3 * error


def test_samples_are_the_generators():
    first, again = (drawn("ancestral", LinearBeta(), 10, 3)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, drawn("ancestral", LinearBeta(), 10, 3, seed=2)[0])
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    drawn("ancestral", LinearBeta(), 10, 3)
    assert torch.equal(torch.rand(2), expected)


def test_any_run_is_a_sampler():
    still = Sampler(lambda denoiser, x, times, generator: x, "even", 3)
    generator = torch.Generator().manual_seed(0)
    assert sample(GaussianDenoiser(), (2, 4), still, generator).shape == (2, 4)
