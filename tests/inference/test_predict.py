"""Labels of measured spectra: bad pixels, spectra that are none of the library's, its range."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_library import banded, made_up

from stargrav.errors import InputError
from stargrav.inference.emulator import Emulator
from stargrav.inference.predict import predict
from stargrav.metrics.calibration import pull_spread, pulls
from stargrav.observation.view import View, covered

LABELS = ("T_eff", "log_g")


@pytest.fixture(scope="module")
def library():
    return banded()


def stars(library, count, error, seed=0):
    """True T_eff and log g, noisy flux and errors of stars from the prior, float32."""
    emulator, generator = Emulator(library), torch.Generator().manual_seed(seed)
    truth = emulator.labels(torch.rand(count, len(emulator.free), generator=generator))
    flux = (emulator.weights(truth) @ emulator.vectors).numpy()
    noise = np.random.default_rng(seed).standard_normal(flux.shape).astype(np.float32)
    return truth[:, :2].double().numpy(), flux + error * noise, np.full_like(flux, error)


def spread(found, truth):
    """Root mean square pull of T_eff and log g."""
    told = [(found[name].to_numpy(), found[f"sd_{name}"].to_numpy()) for name in LABELS]
    return [pull_spread(pulls(truth[:, i], *told[i]) ** 2) for i in range(2)]


@pytest.mark.parametrize("bad", [slice(0, 70), slice(100, 130), slice(0, 160, 3)])
def test_bad_pixels_hardly_count(library, bad):
    """Whatever stands in them: labels, their errors, chi2 and level are those of the others."""
    truth, flux, error = stars(library, 800, 0.2)
    flux[:, bad], error[:, bad] = 7e4, 2e8
    found = predict(3e4 * flux, 3e4 * error, library, points=2**12)
    assert spread(found, truth) == pytest.approx([1, 1], abs=0.1)
    assert found["chi2"].mean() == pytest.approx(1, abs=0.03)
    assert found["misfit"].std() < 1.3


@pytest.mark.parametrize("unit", [1e-21, 1e-17, 1e12])
def test_the_unit_of_the_flux_is_of_no_importance(library, unit):
    """Faint stars have 1e-19 erg / s / cm^2 / A, whose square single precision does not hold."""
    _, flux, error = stars(library, 20, 0.2)
    error[:, :9] = 1e4
    known = predict(flux, error, library, points=2**10)
    found = predict(np.float32(unit) * flux, np.float32(unit) * error, library, points=2**10)
    for name in ("log_g", "sd_log_g", "chi2"):
        apart = (found[name] - known[name]).abs() / known["sd_log_g"]
        assert apart.max() < 0.02, name


def test_components_that_pixels_do_not_tell_apart_are_no_obstacle():
    """Low resolving power makes lines alike, beyond what single precision tells apart."""
    sharp = made_up((5, 4, 4, 3, 1))
    wave = sharp.wave.numpy()
    blurred = View(sharp, wave[covered(sharp, wave, 1000.0)], 1000.0).library
    vectors = Emulator(blurred, whole=True).vectors
    assert torch.linalg.cholesky_ex((vectors @ vectors.T).double())[1] > 0
    truth, flux, error = stars(blurred, 200, 0.005)
    found = predict(flux, error, blurred, points=2**12)
    assert spread(found, truth) == pytest.approx([1, 1], abs=0.15)
    assert found["chi2"].mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("junk", [1e9, 1e20])
def test_pixels_that_are_not_usable_tell_nothing_however_many(library, junk):
    _, flux, error = stars(library, 20, 0.2)
    usable = np.ones(flux.shape, dtype=bool)
    usable[:, ::2] = usable[3] = usable[4, 5:] = False
    found = []
    for at, level, noise in ((~usable, junk, 0.01), (~usable, 0.0, junk)):
        flux[at], error[at] = level, noise
        found.append(predict(flux, error, library, points=2**10, usable=usable))
    assert found[0].loc[[3, 4]].isna().all(axis=None)
    assert found[0].drop([3, 4]).notna().all(axis=None)
    pd.testing.assert_frame_equal(*found)
    marked = predict(flux, error, library, points=2**10)  # by their errors alone
    np.testing.assert_allclose(marked["log_g"].drop([3, 4]), found[0]["log_g"].drop([3, 4]))


def test_a_spectrum_without_enough_good_pixels_has_no_labels_and_spoils_no_other(library):
    truth, flux, error = stars(library, 3, 0.1)
    alone = predict(flux[[0, 2]], error[[0, 2]], library, points=2**10)
    error[1] = 1e30
    error[1, :5] = 0.1
    found = predict(flux, error, library, points=2**10)
    assert found.index.tolist() == [0, 1, 2]
    assert found.loc[1].isna().all() and found.loc[[0, 2]].notna().all(axis=None)
    assert found.loc[[0, 2], "log_g"].to_numpy() == pytest.approx(alone["log_g"], rel=1e-4)
    with pytest.raises(InputError, match="too few in all"):
        predict(flux[[1]], error[[1]], library, points=2**10)


def test_the_misfit_tells_what_only_a_mixture_describes():
    """Differences four times those of the library's stars: chi2 is right, the misfit is not."""
    library = made_up((5, 5, 1, 1, 1))
    _, flux, error = stars(library, 60, 0.01, seed=1)
    own = predict(flux, error, library, points=2**12)
    _, clean, _ = stars(library, 60, 0.0, seed=1)
    other = predict(flux + 3 * (clean - clean.mean(axis=0)), error, library, points=2**12)
    assert np.abs(own["misfit"]).max() < 5 and (other["misfit"] > 10).mean() > 0.7
    assert other["chi2"].mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("degree", [1, 3])
def test_a_flux_of_uncertain_shape_costs_accuracy_and_no_truth(degree):
    """Pulls are right with the polynomial that spoils them without, and errors are larger."""
    library = made_up((5, 5, 1, 1, 1))
    truth, flux, error = stars(library, 400, 0.1, seed=2)
    place = np.linspace(-1, 1, flux.shape[1])
    warped = flux * (1 + 0.1 * place**degree)
    found = {
        (name, allowed): predict(each, error, library, points=2**12, continuum=allowed)
        for name, each in (("straight", flux), ("warped", warped))
        for allowed in (0, degree)
    }
    for name in ("straight", "warped"):
        assert spread(found[name, degree], truth) == pytest.approx([1, 1], abs=0.12)
        assert found[name, degree]["chi2"].mean() == pytest.approx(1, abs=0.03)
        assert abs(found[name, degree]["misfit"].median()) < 0.6
    assert max(spread(found["warped", 0], truth)) > 1.3
    for name in LABELS:
        ratio = found["straight", degree][f"sd_{name}"] / found["straight", 0][f"sd_{name}"]
        assert ratio.median() > 1


def test_labels_go_as_far_as_the_library_does(library):
    """Beyond what the pipeline draws stars from: a hotter library serves hotter stars."""
    axes = {**library.axes, "T_eff": library.axes["T_eff"] + 1500.0}
    hotter = replace(library, axes=axes)
    truth, flux, error = stars(library, 20, 0.05)
    found, moved = (predict(flux, error, each, points=2**12) for each in (library, hotter))
    assert (moved["T_eff"] - found["T_eff"]).to_numpy() == pytest.approx(1500, abs=20)
    assert moved["T_eff"].max() > 6200
