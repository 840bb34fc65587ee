"""Limits of test stars: stored and read, with a library and without, by two routes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from chosen import chosen
from small_library import made_up

from stargrav.inference.emulator import Emulator
from stargrav.inference.limits import MANIFEST, path, prior_variance, read_limits, read_magnitudes
from stargrav.labels import LABELS
from stargrav.spectrum import Spectra
from stargrav.stages.limits import write

SIZES = {"points": 2**10, "least_ess": 100, "neighbours": 48}
CHOSEN = chosen("limits", noise_levels=(1.0, 0.5), **SIZES)


@pytest.fixture(scope="module")
def library():
    return made_up((5, 4, 4, 3, 1))


@pytest.fixture(scope="module")
def splits(library):
    """60 test stars and 4000 others, noiseless, with one error for all."""
    emulator, generator = Emulator(library), torch.Generator().manual_seed(0)
    found = []
    for count in (60, 4000):
        labels = emulator.labels(torch.rand(count, 4, generator=generator))
        flux = (emulator.weights(labels) @ emulator.vectors).numpy()
        stars = pd.DataFrame(labels.numpy(), columns=LABELS)
        wave = library.wave.numpy()
        found.append(Spectra(wave, flux, np.full_like(flux, 0.05), stars.assign(id=stars.index)))
    return found


def test_both_routes_to_the_bound_agree(tmp_path, library, splits):
    """A plane through curved spectra of neighbours at some distance: 15 % is what to expect."""
    write(tmp_path, *splits, library, None, CHOSEN)
    full, half = (read_limits(tmp_path, level) for level in (1.0, 0.5))
    for bound in ("sigma_fisher", "sigma_fisher3"):
        exact = full[f"{bound}_log_g"]
        near = full[f"{bound.replace('fisher', 'knn')}_log_g"]
        assert np.median(near / exact) == pytest.approx(1, abs=0.15)
        assert np.mean(np.abs(np.log(near / exact)) < np.log(2)) > 0.8  # star by star
        assert half[f"{bound}_log_g"].to_numpy() == pytest.approx(exact.to_numpy() / 2)
    assert (full["sigma_fisher3_log_g"] <= full["sigma_fisher_log_g"] * 1.0001).all()
    assert full["ess"].min() >= 100 and half["ess"].min() >= 100
    truth, error = full["log_g"], full["mean_log_g"] - full["log_g"]
    assert (error**2).mean() < 0.5 * truth.var()
    assert (half["sd_log_g"] < full["sd_log_g"]).mean() > 0.9


def test_a_data_set_without_a_library_has_the_bounds_of_neighbours(tmp_path, splits):
    write(tmp_path, *splits, None, None, CHOSEN)
    frame = read_limits(tmp_path, 1.0)
    assert np.isfinite(frame["sigma_knn_log_g"]).all()
    assert not [name for name in frame if name.startswith(("mean_", "sigma_fisher"))]
    assert list(frame["id"]) == list(range(60))


def test_limits_of_a_noise_level_are_found_and_others_are_not(tmp_path):
    frame = pd.DataFrame({"id": [3, 1], "mean_log_g": [2.5, 4.0]})
    frame.to_parquet(path(tmp_path, 1.0), index=False)
    assert read_limits(tmp_path, 1).equals(frame)
    assert read_limits(tmp_path, 0.5) is None
    assert read_magnitudes(tmp_path) is None


def test_prior_is_uniform_over_the_range(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({"log_g": [1.0, 5.0]}))
    assert prior_variance(tmp_path) == pytest.approx(4 / 3)
