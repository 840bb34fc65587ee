"""Spectra and a library small enough for each experiment to run in seconds."""

import itertools

import numpy as np
import pandas as pd

from stargrav.labels import LABELS, from_unit
from stargrav.models.blindspot import LAYERS
from stargrav.observation.instrument import PFS_MR
from stargrav.physics.grid import Library

PIXELS = 256
SIZES = {"train": 400, "valid": 120, "test": 150}
INSTRUMENT = PFS_MR.cut(PFS_MR.wave[0] - 0.3, PFS_MR.wave[PIXELS - 1] + 0.3)
CONDITIONS = {"mag": 21.5, "seeing": 1.0, "zenith_angle": 22.5, "field_angle": 0.325}
READOUTS = (("enc_last", "global_mean"), ("enc_pre_latent", "seg_mean_8"))
POOLINGS = ("global_mean", "mean_max", "seg_mean_8", "seg_mean_16")
ALL_READOUTS = tuple(itertools.product(LAYERS, POOLINGS))


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
