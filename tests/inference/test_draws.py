"""Spectra as features are those that the latents were read from."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from stargrav import models
from stargrav.data import store
from stargrav.data.loader import Clean
from stargrav.errors import InputError
from stargrav.inference.draws import StreamedPixels, pixels
from stargrav.inference.latents import extract_latents, read_latents, read_out
from stargrav.labels import LABELS
from stargrav.observation.instrument import PFS_MR
from stargrav.spectrum import Spectra

PAIR = ("enc_last", "seg_mean_8")


@pytest.fixture(scope="module")
def spectra():
    rng = np.random.default_rng(4)
    instrument = PFS_MR.cut(7100.0, 7155.0)
    flux = rng.uniform(0.5, 1.2, (40, len(instrument.wave))).astype(np.float32)
    stars = pd.DataFrame(rng.uniform(size=(40, len(LABELS))), columns=LABELS)
    stars = stars.assign(mag=21.5, seeing=1.0, zenith_angle=20.0, field_angle=0.3, id=7)
    stars["id"] = rng.permutation(1000)[:40]
    return Spectra(instrument.wave, flux, np.full_like(flux, 0.2), stars)


@pytest.mark.parametrize("error", ["as given", "observed"])
def test_row_and_draw_are_those_of_the_latents(spectra, error, tmp_path):
    spectra = replace(spectra, error_kind=error)
    torch.manual_seed(0)
    teacher = models.build("blindspot", channels=6, depth=3, kernel=3, hidden=(6,))
    extract_latents({"train": spectra}, teacher, [PAIR], tmp_path, 0.5, 2, seed=9)
    stored = read_latents(tmp_path, *PAIR, "train")
    rows = np.array([3, 4, 17, 39])
    for draw in range(2):
        seen = pixels(Clean(spectra), rows, ("flux", "error"), 0.5, 9, draw)
        again = read_out(teacher, *np.split(seen, 2, axis=1), *PAIR)
        np.testing.assert_allclose(again, stored[draw][rows], atol=1e-5)
    assert not np.allclose(stored[0], stored[1], atol=1e-3)


def test_inputs_lie_side_by_side(spectra):
    clean, rows = Clean(spectra), np.arange(5)
    found = pixels(clean, rows, ("log_error", "whitened", "flux"), 0.0, 1)
    log_error, whitened, flux = np.split(found, 3, axis=1)
    np.testing.assert_array_equal(flux, spectra.flux[rows])
    np.testing.assert_allclose(log_error, np.log10(spectra.error[rows]), rtol=1e-6)
    np.testing.assert_allclose(whitened, flux / spectra.error[rows], rtol=1e-6)
    with pytest.raises(InputError, match="'fluxx', expected one of flux"):
        pixels(clean, rows, ("fluxx",), 0.0, 1)


@pytest.mark.parametrize("error", ["noiseless", "observed"])
def test_streamed_pixels_are_those_that_are_held(spectra, error, tmp_path):
    path, rows = tmp_path / "stars.h5", np.array([30, 3, 17, 4, 39])
    batch = [(spectra.flux, spectra.error)]
    store.write_spectra(path, spectra.wave, batch, spectra.stars, {"error": error})
    clean = Clean(store.read_spectra(path))
    held = pixels(clean, rows, ("flux", "error"), 0.5, 9, 1)
    streamed = StreamedPixels(path, rows, ("flux", "error"), 0.5, 9, draw=1)
    assert streamed.shape == held.shape and len(streamed) == len(held)
    for read in (streamed, pickle.loads(pickle.dumps(streamed))):
        np.testing.assert_array_equal(read[:], held)
        for key in (slice(1, 4), [4, 0], 2):
            np.testing.assert_allclose(read[key], held[key], rtol=1e-6)
    assert len(pickle.dumps(streamed)) < spectra.flux.nbytes / 10


def test_pages_of_the_file_that_were_read_are_handed_back(tmp_path):
    """Else peak memory grows with the number of spectra."""
    flux = np.ones((4000, 2000), dtype=np.float32)
    stars = pd.DataFrame(np.ones((4000, len(LABELS))), columns=LABELS)
    path = tmp_path / "stars.h5"
    batch = [(flux, flux)]
    store.write_spectra(path, np.arange(7100.0, 9100.0), batch, stars, {"error": "noiseless"})
    streamed = StreamedPixels(path, np.arange(4000), ("flux",), 1.0, 42)
    before = psutil.Process().memory_info().shared
    for start in range(0, 4000, 500):
        streamed[start : start + 500]
    assert psutil.Process().memory_info().shared - before < flux.nbytes / 2
