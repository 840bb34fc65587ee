"""The served model: what it makes of the level of measured spectra."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stargrav.errors import InputError
from stargrav.inference import served

PIXELS = 64


class Drawing:
    """Stands for a teacher that draws what it denoises towards the usual level, and below it."""

    def denoise(self, flux, error):
        return SimpleNamespace(mean=0.5 * flux + 0.45)

    def layers(self, flux, error, names):
        return {name: flux[:, None, :] for name in names}  # one channel of all pixels


class FirstNumber:
    """Stands for a head that answers with the mean of the layer."""

    def predict(self, latent):
        return latent[:, 0]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    parts = {"teacher": Drawing(), "head": FirstNumber()}
    monkeypatch.setattr(served.models, "load", lambda folder: parts[folder.name])
    monkeypatch.setattr(served.models, "save", lambda model, folder: None)
    (tmp_path / "teacher").mkdir()
    valid = spectra(40)
    asked = (("enc_last", "global_mean"), "log_g", tmp_path / "teacher", valid, tmp_path / "to")
    (tmp_path / "to").mkdir()
    served.store(FirstNumber(), *asked)
    return tmp_path / "to"


def spectra(n, seed=0):
    """Flux whose noise-free median is 1, where that of the noisy flux is lower; and errors."""
    rng = np.random.default_rng(seed)
    low = 0.3 * (rng.random((n, PIXELS)) < 0.2)
    flux = 1 - low + 0.1 * rng.standard_normal((n, PIXELS))
    return flux.astype(np.float32), np.full((n, PIXELS), 0.1, dtype=np.float32)


@pytest.mark.parametrize("unit", [1.0, 3e-17])
def test_the_level_is_right_on_average_in_any_unit(stored, unit):
    """Of other stars than those that it was set by; as it comes it is lower by a tenth of 1."""
    flux, error = spectra(300, seed=1)
    found = served.ServedModel(stored).predict({"flux": unit * flux, "error": unit * error})
    ratio = found["log_g"] / flux.mean(axis=1)  # of the level that is right to that taken
    assert ratio.mean() == pytest.approx(1, abs=3e-3) and ratio.std() > 0.005
    uncorrected = served._level(Drawing(), *map(torch.from_numpy, (flux, error)))
    assert 1 - float(uncorrected.mean()) > 0.05


def test_what_is_read_is_stored(stored):
    layer, pooling, target, level = served.read(stored)
    assert (layer, pooling, target) == ("enc_last", "global_mean", "log_g")
    assert 0.5 < level < 1


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


def test_bad_pixels_are_bridged(stored):
    """A pixel of huge error, whatever stands in it, changes the answer no more than a good one."""
    model, (flux, error) = served.ServedModel(stored), spectra(20, seed=2)
    clean = model.predict({"flux": flux, "error": error})["log_g"]
    flux[:, 7:9], error[:, 7:9] = -3e5, 1e20
    found = model.predict({"flux": flux, "error": error})["log_g"]
    assert found == pytest.approx(clean, abs=0.02)
    error[3, ::2] = error[3, 1] = 1e20
    with pytest.raises(InputError, match="error, row 3"):
        model.predict({"flux": flux, "error": error})


@pytest.mark.parametrize("error", [0.0, -1.0, np.inf])
def test_an_error_that_is_none_is_refused(stored, error):
    flux, errors = spectra(4)
    errors[2, 5] = error
    with pytest.raises(InputError, match="error, row 2"):
        served.ServedModel(stored).predict({"flux": flux, "error": errors})


def test_nothing_is_refused_in_one_line(stored):
    nothing = np.empty((0, PIXELS), dtype=np.float32)
    with pytest.raises(InputError, match="no spectra"):
        served.ServedModel(stored).predict({"flux": nothing, "error": nothing})
