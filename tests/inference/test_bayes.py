"""The posterior over a library: against a brute-force grid, its own simulations and Fisher."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_library import FOLD, banded, folded, made_up

from stargrav.inference.bayes import Integrator
from stargrav.inference.emulator import Emulator
from stargrav.inference.likelihood import Likelihood
from stargrav.inference.predict import predict
from stargrav.inference.proposal import Refinement, effective_size, refine
from stargrav.labels import LABELS, LOG_G
from stargrav.metrics.calibration import pull_spread, pulls, uniformity
from stargrav.metrics.fisher import fisher_matrix, marginal_variance


@pytest.fixture(scope="module")
def emulator():
    return Emulator(made_up((5, 4, 4, 3, 1)))


@pytest.fixture(scope="module")
def integrator(emulator):
    return Integrator(emulator, points=2**10, least_ess=120)


def draw(emulator, count, error, seed=0):
    """Labels from the prior, noisy spectra and their errors."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, len(emulator.free), generator=generator)
    truth = emulator.labels(unit)
    flux = emulator.weights(truth) @ emulator.vectors
    return truth, flux + error * torch.randn(flux.shape, generator=generator), error + 0 * flux


def test_emulator_is_the_library(emulator):
    library = made_up((5, 4, 4, 3, 1))
    truth = emulator.labels(torch.rand(300, len(emulator.free)))
    flux = library.flux_at(truth.double())
    flux = flux / flux.median(dim=1, keepdim=True).values
    found = emulator.weights(truth) @ emulator.vectors
    assert found.numpy() == pytest.approx(flux.numpy(), abs=1e-5)
    assert emulator.free == [0, 1, 2, 3]


def test_derivatives_are_those_of_the_library(emulator):
    library = made_up((5, 4, 4, 3, 1))
    truth = emulator.labels(0.1 + 0.8 * torch.rand(20, len(emulator.free)))
    _, slopes = emulator.jacobian(truth)
    assert (slopes[:, 4] == 0).all()
    for column in emulator.free:
        step = torch.zeros(len(LABELS), dtype=torch.float64)
        step[column] = 1e-3 * float(emulator.high[column] - emulator.low[column])
        ahead, behind = (library.flux_at(truth.double() + sign * step) for sign in (1, -1))
        expected = (ahead - behind) / (2 * step[column])
        error = (slopes[:, column] - expected).norm(dim=1) / expected.norm(dim=1)
        assert float(error.max()) < 1e-3


def test_derivatives_where_the_median_moves():
    """A level of each star's own, which grows with T_eff and falls with log g, as light beside."""
    plain = made_up((5, 4, 4, 3, 1))
    shape = plain.coefficients.shape[:-1]
    hot, dense = (np.linspace(0, 1, n) for n in shape[:2])
    level = (0.8 * hot[:, None] - 0.3 * dense)[:, :, None, None, None] + np.zeros(shape)
    level = torch.as_tensor(level, dtype=torch.float32)[..., None]
    library = replace(
        plain,
        components=torch.cat([plain.components, torch.ones(1, len(plain.wave))]),
        coefficients=torch.cat([plain.coefficients, level], dim=-1),
    )
    emulator = Emulator(library)
    truth = emulator.labels(0.1 + 0.8 * torch.rand(20, len(emulator.free)))
    flux, slopes = emulator.jacobian(truth)
    assert torch.median(library.flux_at(truth), dim=1).values.std() > 0.1
    assert flux.median(dim=1).values.numpy() == pytest.approx(1, abs=1e-6)
    for column in emulator.free:
        step = torch.zeros(len(LABELS), dtype=torch.float64)
        step[column] = 1e-3 * float(emulator.high[column] - emulator.low[column])
        ahead, behind = (library.flux_at(truth.double() + sign * step) for sign in (1, -1))
        ahead, behind = (
            each / each.median(dim=1, keepdim=True).values for each in (ahead, behind)
        )
        expected = (ahead - behind) / (2 * step[column])
        error = (slopes[:, column] - expected).norm(dim=1) / expected.norm(dim=1)
        assert float(error.max()) < 2e-3


def test_median_of_the_middle_pixels_is_that_of_all(emulator):
    unit = 0.5 + 0.05 * torch.randn(3, 40, len(emulator.free))
    labels = emulator.labels(unit.clamp(0, 1))
    value = emulator.coefficients(labels.flatten(0, 1)).unflatten(0, (3, 40))
    found, _ = emulator.divided(value, emulator.middle_pixels(value[:, :10]))
    assert found.flatten(0, 1).numpy() == pytest.approx(
        emulator.weights(labels.flatten(0, 1)).numpy(), abs=1e-6
    )


@pytest.mark.parametrize("levels", [[1.0], np.linspace(0.8, 1.2, 41)], ids=["known", "free"])
def test_posterior_is_that_of_a_brute_force_grid(levels):
    """Two labels, and the level; the likelihood of 200 x 200 of their values from all pixels."""
    emulator = Emulator(made_up((5, 5, 1, 1, 1)))
    free = len(levels) > 1
    integrator = Integrator(emulator, points=2**12, least_ess=1500, free_level=free)
    truth, flux, sigma = draw(emulator, 4, 0.1)
    flux = 1.02 * flux if free else flux
    found = integrator(flux, sigma, truth)
    axis = (torch.arange(200) + 0.5) / 200
    labels = emulator.labels(torch.cartesian_prod(axis, axis))
    model = (emulator.weights(labels) @ emulator.vectors).double()
    for star in range(len(flux)):
        chi2 = [(((a * model - flux[star]) / sigma[star]) ** 2).sum(dim=1) for a in levels]
        weight = torch.logsumexp(-torch.stack(chi2) / 2, dim=0).softmax(dim=0).numpy()
        mean = weight @ labels.double().numpy()
        sd = np.sqrt(weight @ (labels.double().numpy() - mean) ** 2)
        error = 5 * sd[:2] / np.sqrt(found.ess[star])
        assert (np.abs(found.mean[star, :2] - mean[:2]) < error).all()
        assert found.sd[star, :2] == pytest.approx(sd[:2], rel=0.1)
        below = weight @ (labels[:, LOG_G] < truth[star, LOG_G]).double().numpy()
        assert found.rank[star, LOG_G] == pytest.approx(below, abs=0.07)


@pytest.mark.parametrize("error", [0.25, 0.01])
def test_posteriors_are_calibrated_on_their_own_simulations(emulator, integrator, error):
    """Wide posteriors, cut by the prior's edges, and narrow ones, which need refining."""
    truth, flux, sigma = draw(emulator, 250, error)
    found = integrator(flux, sigma, truth)
    assert found.ess.min() >= 120
    assert 0 < found.refined.mean() < 1 if error > 0.1 else found.refined.all()
    for column in emulator.free:
        pull = pulls(truth[:, column].double().numpy(), found.mean[:, column], found.sd[:, column])
        assert pull_spread(pull**2) == pytest.approx(1, abs=0.18)  # 4 standard errors
        assert min(uniformity(found.rank[:, column], bins=10).values()) > 1e-4


def test_pulls_of_flux_measured_at_any_level():
    """A level taken as exact would make pulls of log g spread by a quarter more."""
    library = banded()
    truth, flux, sigma = draw(Emulator(library), 1000, 0.3)
    found = predict(3e4 * flux.numpy(), 3e4 * sigma.numpy(), library, points=2**12)
    for name in ("T_eff", "log_g"):
        true = truth[:, LABELS.index(name)].double().numpy()
        pull = pulls(true, found[name].to_numpy(), found[f"sd_{name}"].to_numpy())
        assert pull_spread(pull**2) == pytest.approx(1, abs=0.09)  # 4 standard errors
    assert found["chi2"].mean() == pytest.approx(1, abs=0.02)


def test_labels_that_lean_on_an_edge_of_the_library_are_named():
    library = made_up((5, 5, 1, 1, 1))
    emulator = Emulator(library)
    unit = torch.tensor([[0.5, 0.5], [0.5, 1.0], [0.0, 0.5], [0.0, 1.0]])
    flux = emulator.weights(emulator.labels(unit)) @ emulator.vectors
    error = np.full(flux.shape, 0.02, dtype=np.float32)
    found = predict(flux.numpy(), error, library, points=2**12)
    assert list(found["edges"]) == ["", "log_g", "T_eff", "T_eff log_g"]
    flat = predict(flux.numpy(), 1e4 * error, library, points=2**12)
    assert list(flat["edges"]) == [""] * 4  # nothing is known: no edge is any nearer


def test_posterior_at_high_snr_is_as_wide_as_the_fisher_bound(emulator, integrator):
    unit = 0.3 + 0.4 * torch.rand(30, len(emulator.free), generator=torch.manual_seed(3))
    labels = emulator.labels(unit)
    flux, slopes = emulator.jacobian(labels)
    sigma = 1e-4 * torch.ones_like(flux)
    found = integrator(flux + sigma * torch.randn(flux.shape), sigma)
    assert found.refined.all() and found.ess.min() >= 120
    matrix = fisher_matrix(slopes.numpy(), sigma.numpy())
    bound = np.sqrt(marginal_variance(matrix, LOG_G, emulator.free))
    ratio = found.sd[:, LOG_G] / bound
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert ratio == pytest.approx(1, abs=0.3)
    assert np.isnan(found.rank).all()


def test_a_flux_that_tells_nothing_leaves_the_prior(emulator, integrator):
    _, flux, sigma = draw(emulator, 3, 100.0)
    found = integrator(flux, sigma)
    low, high = emulator.low.numpy(), emulator.high.numpy()
    assert found.mean == pytest.approx(np.tile((low + high) / 2, (3, 1)), rel=0.01, abs=0.02)
    assert found.sd == pytest.approx(np.tile((high - low) / np.sqrt(12), (3, 1)), rel=0.02)
    assert not found.refined.any()


def test_the_same_seed_gives_the_same_posterior(emulator, integrator):
    _, flux, sigma = draw(emulator, 5, 0.01)
    first, again = integrator(flux, sigma), integrator(flux, sigma)
    assert (first.mean == again.mean).all() and (first.ess == again.ess).all()


def pulls_of_hot_stars(how, error=0.002):
    """Errors of the mean T_eff over the sd, both by brute force, of hot stars; the least ESS."""
    emulator = Emulator(folded())
    generator = torch.Generator().manual_seed(5)
    truth = torch.rand(24, 4, generator=generator)
    truth[:, 0] = FOLD + (1 - FOLD) * (0.6 + 0.3 * truth[:, 0])
    flux = emulator.weights(emulator.labels(truth)) @ emulator.vectors
    flux = flux + error * torch.randn(flux.shape, generator=generator)
    likelihood = Likelihood(emulator, flux, torch.full_like(flux, error))

    def log_l(unit, star):
        model = emulator.weights(emulator.labels(unit)) @ emulator.vectors
        return -(((model - flux[star]) / error) ** 2).sum(dim=1).double() / 2

    unit = torch.rand(1024, 4, generator=generator)
    values = torch.stack([log_l(unit, star) for star in range(24)])
    found = refine(emulator, likelihood, unit.expand(24, -1, -1), values, 200, generator, how)
    pulls, grid = [], (torch.arange(20_000).double() + 0.5) / 20_000
    for star, (points, log_w) in enumerate(found):
        along = truth[star].repeat(20_000, 1)
        along[:, 0] = grid
        weight = torch.softmax(log_l(along, star), dim=0)
        mean = weight @ grid
        sd = (weight @ (grid - mean) ** 2).sqrt()
        pulls.append(float((torch.softmax(log_w, dim=0) @ points[:, 0].double() - mean) / sd))
    return np.array(pulls), min(float(effective_size(log_w)) for _, log_w in found)


def test_no_mode_is_lost_where_most_points_descend_to_a_false_one():
    """Few descents lose the true mode, whatever the effective sample size says."""
    few, few_ess = pulls_of_hot_stars(Refinement(descents=4, steps=(6,)))
    assert few_ess >= 200 and np.abs(few).max() > 50
    found, ess = pulls_of_hot_stars(Refinement())
    assert ess >= 200 and np.abs(found).max() < 0.5  # 7 standard errors
    patient, _ = pulls_of_hot_stars(Refinement(descents=4, steps=(6, *[12] * 20)))
    assert np.abs(patient).max() < 0.5


@pytest.mark.parametrize("error", [3.0, 0.003])
def test_draws_are_of_the_posterior_and_change_nothing(emulator, error):
    """Also where label vectors are refined, which small errors ask for."""
    truth, flux, sigma = draw(emulator, 12, error, seed=5)
    plain = Integrator(emulator, points=2**10, least_ess=120)(flux, sigma, truth)
    found = Integrator(emulator, points=2**10, least_ess=120, draws=4000)(flux, sigma, truth)
    for name in ("mean", "sd", "rank", "ess"):
        assert np.array_equal(getattr(plain, name), getattr(found, name), equal_nan=True)
    assert found.refined.all() == (error < 0.1) and found.refined.any() == (error < 0.1)
    assert plain.draws.shape == (12, 0, len(LABELS))
    free = emulator.free
    off = (found.draws.mean(axis=1) - found.mean)[:, free] / found.sd[:, free]
    assert np.abs(off).max() < 5 / np.sqrt(4000)
    assert found.draws.std(axis=1)[:, free] == pytest.approx(found.sd[:, free], rel=0.1)
