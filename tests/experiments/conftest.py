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
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.noise import NoiseModel
from stargrav.physics.grid import Library
from stargrav.settings import Limits
from stargrav.stages import limits

PIXELS = 256
SIZES = {"train": 400, "valid": 120, "test": 150}
INSTRUMENT = PFS_MR.cut(PFS_MR.wave[0] - 0.3, PFS_MR.wave[PIXELS - 1] + 0.3)
CONDITIONS = {"mag": 21.5, "seeing": 1.0, "zenith_angle": 22.5, "field_angle": 0.325}
READOUTS = (("enc_last", "global_mean"), ("enc_pre_latent", "seg_mean_8"))


def spectra(n, seed):
    """Spectra whose lines, one region per label, deepen with that label."""
    rng = np.random.default_rng(seed)
    unit = rng.uniform(size=(n, len(LABELS)))
    flux = seen(unit)
    error = np.full_like(flux, 0.05)
    stars = pd.DataFrame(from_unit(unit), columns=LABELS).assign(**CONDITIONS)
    return flux, error, stars.assign(snr=np.median(flux / error, axis=1))


def seen(unit):
    """Flux of label vectors of the unit cube."""
    centres = np.linspace(30, 226, len(LABELS))
    lines = np.exp(-0.5 * ((np.arange(PIXELS) - centres[:, None]) / 6) ** 2)
    return (1 - 0.6 * unit @ lines).astype(np.float32)


def library():
    """The grid of the same spectra."""
    unit = np.stack(np.meshgrid(*[[0.0, 1.0]] * len(LABELS), indexing="ij"), axis=-1)
    unit = unit.reshape(-1, len(LABELS))
    return Library.from_grid(INSTRUMENT.wave, seen(unit), from_unit(unit), 5, 5000.0)


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
        store.write_spectra(path, INSTRUMENT.wave, [(flux, error)], stars)
        splits[split] = store.read_spectra(path)
    draws = {"train": 2, "valid": 1, "test": 1}
    extract_latents(splits, teacher, READOUTS, folders["latents@base"] / "noise-1", 1.0, draws)
    folders["limits"] = root / "limits"
    folders["limits"].mkdir()
    chosen = Limits(points=2**12, least_ess=50, neighbours=32)
    noise = NoiseModel(INSTRUMENT)
    limits.write(folders["limits"], splits["test"], splits["train"], library(), noise, chosen)
    return Inputs(folders)
