"""Networks of programme `diffusion` see the reddest pixels, and are stored with their terms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from chosen import chosen
from lamost_files import CLEAN, WAVE
from lamost_files import write as write_visit

from stargrav import models
from stargrav.errors import InputError
from stargrav.labels import LABELS
from stargrav.spectrum import Spectra
from stargrav.stages import denoiser

PIXELS = 64
DNCNN = {"dilations": (1, 1), "channels": 4}


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    found = {}
    for name, n in (("train", 96), ("valid", 32)):
        slope = np.linspace(-1, 1, 2 * PIXELS) * rng.standard_normal((n, 1))
        flux = (1 + 0.2 * slope).astype(np.float32)
        stars = pd.DataFrame(rng.uniform(size=(n, len(LABELS))), columns=LABELS)
        wave = np.linspace(8000, 8100, 2 * PIXELS)
        found[name] = Spectra(wave, flux, np.full_like(flux, 0.1), stars)
    return found


@pytest.mark.parametrize("kind", ["prior", "conditional", "dncnn"])
def test_a_network_is_stored_with_what_it_was_told(kind, splits, tmp_path):
    sizes = {"channels": (8, 16), "heads": 2, "prediction": "epsilon", "dncnn": DNCNN}
    settings = chosen("diffusion", pixels=PIXELS, spectra=64, epochs=2, batch_size=32, **sizes)
    denoiser.write(tmp_path, kind, splits, settings, accelerator="cpu")
    network, facts = models.load(tmp_path), models.read_config(tmp_path)["facts"]
    history = pd.read_csv(tmp_path / denoiser.HISTORY)
    assert np.isfinite(history["valid_loss"]).all() and len(history) == 2
    assert facts["told"] == (["noisy", "error"] if kind == "conditional" else [])
    if kind == "dncnn":
        assert network.config["dilations"] == [1, 1]
        assert not (tmp_path / denoiser.SAMPLES).exists()
    else:
        assert network.config["pixels"] == PIXELS
        assert network.config["condition"] == len(facts["told"])
        clean = splits["train"].flux[:, -PIXELS:].mean(0)
        assert network.prior.centre.numpy() == pytest.approx(clean, abs=0.1)


def test_only_the_conditional_network_measures_residuals_from_a_posterior(splits, tmp_path):
    sizes = {"channels": (8, 16), "heads": 2, "prediction": "residual", "axes": 4}
    settings = chosen("diffusion", pixels=PIXELS, spectra=64, epochs=1, batch_size=32, **sizes)
    for kind, expected in (("prior", ("residual", 0)), ("conditional", ("posterior_residual", 3))):
        denoiser.write(tmp_path / kind, kind, splits, settings, accelerator="cpu")
        stored = models.load(tmp_path / kind).config
        assert (stored["prediction"], stored["condition"]) == expected


def test_pairs_of_visits_take_the_place_of_simulated_noise(splits, tmp_path):
    folder = tmp_path / "lamost"
    for number in range(8):
        for snr, layout in ((5.0, "image"), (50.0, "table")):
            path, star = folder / f"{number}{layout}.fits", f"LAMOST J{number}"
            write_visit(path, layout, star, snr, number)
    splits = {
        name: replace(spectra, wave=np.linspace(7200, 7400, 2 * PIXELS))
        for name, spectra in splits.items()
    }
    sizes = {"channels": (8, 16), "heads": 2, "axes": 4, "dncnn": DNCNN}
    how = {"pixels": PIXELS, "epochs": 1, "batch_size": 4, "pairs": str(folder), **sizes}
    for kind in ("prior", "conditional", "dncnn"):
        out = tmp_path / kind
        out.mkdir()
        denoiser.write(out, kind, splits, chosen("diffusion", **how), accelerator="cpu")
        facts = models.read_config(out)["facts"]
        assert facts.get("pairs") == (None if kind == "prior" else str(folder))
    line = np.linspace(7200, 7400, 2 * PIXELS)[-PIXELS:]
    seen = models.load(tmp_path / "conditional").prior.centre.numpy()
    assert np.corrcoef(seen, np.interp(line, WAVE, CLEAN))[0, 1] > 0.95
    with pytest.raises(InputError, match="more than 64"):
        many = chosen("diffusion", **{**how, "axes": 64})
        denoiser.write(out, "dncnn", splits, many, accelerator="cpu")


class Killed(Exception):
    pass


def test_samples_are_drawn_as_training_goes_on_whatever_interrupts_it(
    splits, tmp_path, monkeypatch
):
    sizes = {"channels": (8, 16), "heads": 2, "axes": 4}
    settings = chosen("diffusion", pixels=PIXELS, spectra=64, epochs=5, batch_size=32, **sizes)
    monkeypatch.setattr(denoiser, "EVERY", 2)
    denoiser.write(tmp_path / "whole", "prior", splits, settings, accelerator="cpu")
    draw, drawn = denoiser.draw, []

    def drawing(*given):
        drawn.append(given)
        if len(drawn) == 2:  # after the fourth epoch, before it is kept
            raise Killed
        draw(*given)

    monkeypatch.setattr(denoiser, "draw", drawing)
    (tmp_path / "again").mkdir()
    how = {"accelerator": "cpu", "scratch": tmp_path / "scratch"}
    with pytest.raises(Killed):
        denoiser.write(tmp_path / "again", "prior", splits, settings, **how)
    assert not list((tmp_path / "again").iterdir())
    denoiser.write(tmp_path / "again", "prior", splits, settings, **how)
    kept = pd.read_csv(tmp_path / "again" / denoiser.HISTORY)["valid_loss"].argmin() + 1
    figures = {
        path.name: path.read_bytes() for path in (tmp_path / "whole" / denoiser.SAMPLES).iterdir()
    }
    assert figures.keys() == {f"epoch_{epoch:03d}.png" for epoch in (2, 4, kept)}
    for name, shown in figures.items():
        assert (tmp_path / "again" / denoiser.SAMPLES / name).read_bytes() == shown


def test_the_reddest_pixels_are_the_last(splits):
    cut = splits["valid"].reddest(10)
    assert (cut.wave == splits["valid"].wave[-10:]).all()
    assert (cut.flux == splits["valid"].flux[:, -10:]).all()
    assert cut.error.shape == cut.flux.shape
    assert splits["valid"].reddest(None) is splits["valid"]
