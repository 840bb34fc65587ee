"""Latents: the same whatever the batch, stored whole, read back as they were."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from stargrav.errors import InputError
from stargrav.inference import latents
from stargrav.inference.latents import MANIFEST, extract_latents, read_latents
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.pooling import pool
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.noise import Conditions, NoiseModel, fixed_noise, observe
from stargrav.observation.simulate import draw_stars
from stargrav.spectrum import Spectra

READOUTS = [("enc_pre_latent", "seg_mean_2"), ("enc_last", "global_mean")]
PIXELS = 50


@pytest.fixture(scope="module")
def teacher() -> BlindSpotUNet:
    torch.manual_seed(0)
    return BlindSpotUNet(channels=4, depth=3, kernel=5, hidden=(4,)).eval()


def split(n: int, first: int = 0) -> Spectra:
    rng = np.random.default_rng(n)
    flux, error = 1 + 0.1 * rng.standard_normal((n, PIXELS)), rng.uniform(0.1, 0.2, (n, PIXELS))
    stars = pd.DataFrame({"id": np.arange(first, first + n)})
    wave = np.arange(float(PIXELS))
    return Spectra(wave, flux.astype(np.float32), error.astype(np.float32), stars)


@pytest.fixture()
def splits() -> dict[str, Spectra]:
    return {"train": split(11), "test": split(5, first=11)}


def test_latents_are_the_teachers_layers_of_the_noisy_spectra(teacher, splits, tmp_path):
    draws = {"train": 3, "test": 1}
    extract_latents(splits, teacher, READOUTS, tmp_path, 0.5, draws, seed=7, batch_size=4)
    for name, spectra in splits.items():
        for layer, pooling in READOUTS:
            found = read_latents(tmp_path, layer, pooling, name)
            assert found.dtype == np.float32 and found.shape[:2] == (
                draws[name],
                len(spectra),
            )
            for draw, row in ((draws[name] - 1, 4), (0, 2)):
                noise = fixed_noise(7, int(spectra.ids[row]), PIXELS, draw)
                noisy = spectra.flux[row] + 0.5 * spectra.error[row] * noise
                pair = (torch.from_numpy(v)[None] for v in (noisy, spectra.error[row]))
                with torch.inference_mode():
                    expected = pool(teacher.layers(*pair, [layer])[layer], pooling)[0]
                assert np.allclose(found[draw, row], expected, atol=1e-5)


def test_batch_size_does_not_matter_but_seed_and_draw_do(teacher, splits, tmp_path):
    for batch in (2, 32):
        extract_latents(
            splits, teacher, READOUTS, tmp_path / str(batch), draws=2, seed=1, batch_size=batch
        )
    extract_latents(splits, teacher, READOUTS, tmp_path / "other", draws=2, seed=5)
    small, large, other = (
        read_latents(tmp_path / name, *READOUTS[0], "train") for name in ("2", "32", "other")
    )
    assert np.allclose(small, large, atol=1e-5)
    assert not np.allclose(small[0], small[1], atol=1e-3)
    assert not np.allclose(small[0], other[0], atol=1e-3)


def test_each_draw_has_the_observed_error_of_its_own_noise(teacher, tmp_path):
    instrument = PFS_MR.cut(8500.0, 8520.0)
    stars = draw_stars(5, 20.0, rng=np.random.default_rng(0)).assign(id=np.arange(3, 8))
    flux = np.random.default_rng(1).uniform(0.5, 1.5, (5, len(instrument.wave)))
    flux = flux.astype(np.float32)
    spectra = Spectra(instrument.wave, flux, np.full_like(flux, 99), stars, "", "observed")
    extract_latents({"test": spectra}, teacher, READOUTS, tmp_path, 1.0, 2, seed=7, batch_size=2)
    found = read_latents(tmp_path, *READOUTS[0], "test")
    flux, model, at = torch.from_numpy(flux), NoiseModel(instrument), Conditions.of(stars)
    sigma, photons = model.error(flux, at), model.photon_variance(flux, at)
    for draw in range(2):
        noise = [fixed_noise(7, star, flux.shape[1], draw) for star in range(3, 8)]
        noise = torch.from_numpy(np.stack(noise))
        pair = observe(flux, sigma, 1.0, noise, photon_variance=photons)
        layer, pooling = READOUTS[0]
        with torch.inference_mode():
            expected = pool(teacher.layers(*pair, [layer])[layer], pooling)
        assert np.allclose(found[draw], expected, atol=1e-5)


def test_an_interrupted_extraction_goes_on_where_it_was(teacher, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "NOTED", 2)
    arguments = (splits, teacher, READOUTS)
    settings = {"draws": 2, "seed": 7, "batch_size": 2}
    extract_latents(*arguments, tmp_path / "whole", **settings)
    passes = []

    def interrupted(rows):
        passes.append(rows)
        if len(passes) == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_latents(*arguments, tmp_path / "twice", **settings, progress=interrupted)
    assert not list((tmp_path / "twice").glob("[!.]*"))
    again = []
    extract_latents(*arguments, tmp_path / "twice", **settings, progress=again.append)
    assert again[0] == 2 * 4 * 2  # two notes of two passes of two spectra, in two draws
    assert sum(again) == 2 * 16
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "twice").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_a_kill_among_the_last_renames_does_no_harm(teacher, splits, tmp_path, monkeypatch):
    extract_latents(splits, teacher, READOUTS, tmp_path / "whole", seed=7)
    write = latents._write

    def killed(path, content):
        if path.name == MANIFEST:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(latents, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        extract_latents(splits, teacher, READOUTS, tmp_path / "twice", seed=7)
    monkeypatch.setattr(latents, "_write", write)
    extract_latents(splits, teacher, READOUTS, tmp_path / "twice", seed=7)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes()


def test_another_extraction_is_not_gone_on_with(teacher, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "NOTED", 1)

    def interrupted(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_latents(splits, teacher, READOUTS, tmp_path / "a", seed=1, progress=interrupted)
    extract_latents(splits, teacher, READOUTS, tmp_path / "a", seed=2)
    extract_latents(splits, teacher, READOUTS, tmp_path / "b", seed=2)
    found, expected = (read_latents(tmp_path / k, *READOUTS[0], "train") for k in "ab")
    assert np.array_equal(found, expected)


def test_noiseless_latents_are_alike_in_all_draws(teacher, splits, tmp_path):
    extract_latents(splits, teacher, READOUTS, tmp_path, noise_level=0.0, draws=2)
    first, second = read_latents(tmp_path, *READOUTS[0], "test")
    assert np.array_equal(first, second)


def test_manifest_tells_how_they_were_made(teacher, splits, tmp_path):
    hashes = {"data": "abc"}
    extract_latents(splits, teacher, READOUTS, tmp_path / "a", 0.5, 2, seed=3, hashes=hashes)
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_text())
    assert manifest["noise_level"] == 0.5 and manifest["seed"] == 3 and manifest["data"] == "abc"
    assert manifest["draws"] == {"train": 2, "test": 2}
    other = BlindSpotUNet(channels=4, depth=3, kernel=5, hidden=(4,))
    again = extract_latents(splits, other, READOUTS, tmp_path / "b")
    assert again["teacher"] != manifest["teacher"]
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert len(names) == 5 and not any("partial" in name for name in names)


def test_what_is_not_stored_is_named(teacher, splits, tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json: file: found nothing"):
        read_latents(tmp_path, *READOUTS[0], "train")
    extract_latents(splits, teacher, READOUTS, tmp_path)
    with pytest.raises(InputError, match=r"readouts: found dec_input\+mean_max"):
        read_latents(tmp_path, "dec_input", "mean_max", "train")
    with pytest.raises(InputError, match="split: found valid"):
        read_latents(tmp_path, *READOUTS[0], "valid")
    path = tmp_path / "train-enc_last-global_mean.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"train-enc_last-global_mean\.npy: array"):
        read_latents(tmp_path, *READOUTS[1], "train")
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="JSON"):
        read_latents(tmp_path, *READOUTS[0], "train")
