"""A small pipeline's artifacts, made by the modules that make the real ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from stargrav import models
from stargrav.data import store
from stargrav.experiments.inputs import Inputs
from stargrav.inference.latents import extract_latents
from stargrav.labels import LABELS, from_unit

PIXELS = 256
SIZES = {"train": 400, "valid": 120, "test": 150}
READOUTS = (("enc_last", "global_mean"), ("enc_pre_latent", "seg_mean_8"))


def spectra(n, seed):
    """Spectra whose lines, one region per label, deepen with that label."""
    rng = np.random.default_rng(seed)
    unit = rng.uniform(size=(n, len(LABELS)))
    centres = np.linspace(30, 226, len(LABELS))
    lines = np.exp(-0.5 * ((np.arange(PIXELS) - centres[:, None]) / 6) ** 2)
    flux = (1 - 0.6 * unit @ lines).astype(np.float32)
    error = np.full_like(flux, 0.05)
    stars = pd.DataFrame(from_unit(unit), columns=LABELS)
    return flux, error, stars.assign(mag=21.5, snr=np.median(flux / error, axis=1))


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Data set, an untrained teacher and its latents, read by all tests here."""
    root = tmp_path_factory.mktemp("artifacts")
    folders = {name: root / name for name in ("dataset", "train@teacher", "latents@base")}
    torch.manual_seed(0)
    teacher = models.build("blindspot", channels=8, depth=4, kernel=3, hidden=(8,))
    models.save(teacher, folders["train@teacher"])
    splits = {}
    folders["dataset"].mkdir()
    for seed, (split, n) in enumerate(SIZES.items()):
        flux, error, stars = spectra(n, seed)
        path = folders["dataset"] / f"{split}.h5"
        store.write_spectra(path, np.linspace(7100, 7209, PIXELS), [(flux, error)], stars)
        splits[split] = store.read_spectra(path)
    draws = {"train": 2, "valid": 1, "test": 1}
    extract_latents(splits, teacher, READOUTS, folders["latents@base"] / "noise-1", 1.0, draws)
    return Inputs(folders)
