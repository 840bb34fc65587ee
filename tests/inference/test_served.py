"""The served model: what it makes of the level of measured spectra."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from stargrav.errors import InputError
from stargrav.inference import served

PIXELS = 64


class TooLow:
    """Stands for a teacher whose denoised spectra are too low by the same share."""

    SHARE = 0.9

    def denoise(self, flux, error):
        return SimpleNamespace(mean=self.SHARE * flux)

    def layers(self, flux, error, names):
        return {name: flux[:, None, :] for name in names}  # one channel of all pixels


class FirstNumber:
    """Stands for a head that answers with the mean of the layer."""

    def predict(self, latent):
        return latent[:, 0]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    parts = {"teacher": TooLow(), "head": FirstNumber()}
    monkeypatch.setattr(served.models, "load", lambda folder: parts[folder.name])
    monkeypatch.setattr(served.models, "save", lambda model, folder: None)
    (tmp_path / "teacher").mkdir()
    valid = spectra(40)
    asked = (("enc_last", "global_mean"), "log_g", tmp_path / "teacher", valid, tmp_path / "to")
    (tmp_path / "to").mkdir()
    served.store(FirstNumber(), *asked)
    return tmp_path / "to"


def spectra(n, seed=0):
    """Flux over its median, and errors."""
    rng = np.random.default_rng(seed)
    flux = 1 + 0.2 * rng.standard_normal((n, PIXELS))
    flux /= np.median(flux, axis=1, keepdims=True)
    return flux.astype(np.float32), np.full_like(flux, 0.1, dtype=np.float32)


@pytest.mark.parametrize("unit", [1.0, 3e-17])
def test_a_level_that_is_too_low_on_average_is_set_right(stored, unit):
    """And the unit of the flux makes no difference."""
    flux, error = spectra(300, seed=1)
    found = served.ServedModel(stored).predict({"flux": unit * flux, "error": unit * error})
    np.testing.assert_allclose(found["log_g"], flux.mean(axis=1), rtol=1e-5)


def test_the_level_is_that_of_the_valid_stars(stored):
    assert served.read(stored) == ("enc_last", "global_mean", "log_g", pytest.approx(0.9))


@pytest.mark.parametrize("missing", ["layer", "level"])
def test_what_is_not_told_is_named(stored, missing):
    path = stored / served.READS
    reads = json.loads(path.read_text())
    del reads[missing]
    path.write_text(json.dumps(reads))
    with pytest.raises(InputError, match=r"reads\.json.*level"):
        served.read(stored)


def test_bad_spectra_are_refused_by_row(stored):
    model, (flux, error) = served.ServedModel(stored), spectra(4)
    with pytest.raises(InputError, match="flux, error"):
        model.predict({"flux": flux, "error": error[:, :9]})
    error[2, 5] = -1
    with pytest.raises(InputError, match="error, row 2"):
        model.predict({"flux": flux, "error": error})
