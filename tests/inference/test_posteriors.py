"""Stage `posteriors`: what is not seen tells nothing, and what is drawn is kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from chosen import chosen
from small_library import made_up

from stargrav import models
from stargrav.errors import InputError
from stargrav.inference import diffused
from stargrav.inference.posteriors import read_draws
from stargrav.labels import LABELS
from stargrav.spectrum import Spectra
from stargrav.stages import denoiser, posteriors
from stargrav.training.plan import Plan
from stargrav.training.reader import train_reader

FEW = {"stars": 12, "sampled_stars": 40, "draws": 60, "steps": 3, "points": 2**10}
SIZES = {"components": 4, "transforms": 1, "widths": (8,), "spectra": 150, "epochs": 2}
CHOSEN = chosen("posteriors", **FEW, **SIZES)
ERROR = 0.02


@pytest.fixture(scope="module")
def library():
    return made_up((5, 4, 4, 3, 1))


@pytest.fixture(scope="module")
def splits(library):
    low, high = (np.array([library.ranges[name][end] for name in LABELS]) for end in (0, 1))
    found = {}
    for seed, (split, n) in enumerate((("train", 150), ("valid", 40), ("test", 40))):
        labels = low + (high - low) * np.random.default_rng(seed).uniform(size=(n, len(LABELS)))
        flux = library.flux_at(torch.from_numpy(labels))
        flux = (flux / flux.median(dim=1, keepdim=True).values).numpy().astype(np.float32)
        stars = pd.DataFrame(labels, columns=LABELS)
        wave = library.wave.numpy()
        found[split] = Spectra(wave, flux, np.full_like(flux, ERROR), stars)
    return found


def test_pixels_that_are_not_seen_tell_nothing(library, splits, tmp_path):
    """A change of their flux leaves the posterior as it is; fewer pixels leave it wider."""
    pixels = splits["test"].flux.shape[1]
    widths = {}
    for seen in (pixels, pixels // 2):
        out = tmp_path / str(seen)
        out.mkdir()
        posteriors.exact(out, splits, library, seen, CHOSEN)
        widths[seen] = read_draws(out).of("log_g").std(axis=1).mean()
    assert widths[pixels // 2] > 1.2 * widths[pixels]
    other = splits["test"].flux.copy()
    other[:, : pixels // 2] = 1.0
    changed = {**splits, "test": Spectra(splits["test"].wave, other, splits["test"].error,
                                         splits["test"].stars)}  # fmt: skip
    (tmp_path / "other").mkdir()
    posteriors.exact(tmp_path / "other", changed, library, pixels // 2, CHOSEN)
    one, two = (read_draws(tmp_path / name) for name in (str(pixels // 2), "other"))
    spread = one.of("log_g").std(axis=1)
    assert np.abs(one.of("log_g").mean(1) - two.of("log_g").mean(1)).max() < 0.6 * spread.mean()


def test_labels_that_do_not_vary_are_left_out(library, splits, tmp_path):
    posteriors.exact(tmp_path, splits, library, splits["test"].flux.shape[1], CHOSEN)
    drawn = read_draws(tmp_path)
    assert drawn.labels == LABELS[:4] and drawn.values.shape == (12, 60, 4)
    assert read_draws(tmp_path / "nowhere") is None


def test_flow_is_drawn_from_within_the_labels_it_has_seen(splits, tmp_path):
    posteriors.amortized(tmp_path, splits, splits["test"].flux.shape[1], CHOSEN, accelerator="cpu")
    values, seen = read_draws(tmp_path).values, splits["train"].labels[:, :4]
    assert values.shape == (12, 60, 4)
    slack = 1e-5 * np.ptp(seen, axis=0)
    assert (values >= seen.min(0) - slack).all() and (values <= seen.max(0) + slack).all()
    assert models.read_config(tmp_path)["facts"]["labels"] == list(LABELS[:4])


def test_an_interrupted_sampling_goes_on_from_what_is_kept(splits, tmp_path, monkeypatch):
    narrow = {"channels": (8, 16), "stride": 4, "heads": 2, "axes": 4, "prediction": "residual"}
    tiny = chosen("diffusion", **narrow, spectra=100, epochs=1, batch_size=32)
    denoiser.write(tmp_path / "conditional", "conditional", splits, tiny, accelerator="cpu")
    given = splits, tmp_path / "conditional", CHOSEN, 42, "cpu"
    for name in ("whole", "broken", "scratch"):
        (tmp_path / name).mkdir()
    posteriors.sampled(tmp_path / "whole", *given, tmp_path / "whole")
    draw, calls = diffused.posterior_draws, []

    def breaking(*args, **how):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*args, **how)

    monkeypatch.setattr(diffused, "posterior_draws", breaking)
    with pytest.raises(KeyboardInterrupt):
        posteriors.sampled(tmp_path / "broken", *given, tmp_path / "scratch")
    assert read_draws(tmp_path / "broken") is None
    posteriors.sampled(tmp_path / "broken", *given, tmp_path / "scratch")
    assert len(calls) == 3  # two portions of stars: the first one was kept
    one, two = (read_draws(tmp_path / name).values for name in ("whole", "broken"))
    assert one.shape == (40, 60, 4) and np.array_equal(one, two)


def test_the_reader_reads_clean_spectra(splits):
    """Components that hardly vary must not drown the others."""
    plan = Plan(epochs=80, schedule="cosine", monitor="valid_r2", accelerator="cpu")
    given = splits["train"], splits["valid"], LABELS[:4], 8, 0.05, (64, 64), plan
    read = train_reader(*given, batch_size=16)
    found, truth = read(splits["test"].flux), splits["test"].labels[:, :4]
    r2 = 1 - ((found - truth) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    assert r2.min() > 0.8


def test_more_pixels_than_there_are_is_told(splits):
    with pytest.raises(InputError, match="at least 5000"):
        splits["test"].reddest(5000)
