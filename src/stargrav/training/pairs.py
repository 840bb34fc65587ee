"""Batches of pairs of LAMOST visits: the worse one is the noisy spectrum, the better the clean.

The better visit is not clean, and what is learnt from it differs from what is learnt from spectra
to which noise was added:

- A network trained on the square error tends to the same answer, as the noise of the two visits is
  independent (Lehtinen et al. 2018, arXiv:1803.04189). Its validation loss contains the better
  visit's noise.
- A diffusion model learns what another visit as good as the better one might look like. The mean
  of its draws is right; their scatter is too wide by the better visit's error, which has at most a
  quarter of the variance of the worse one's where SNRs differ by a factor of 2.
- Pixels that the better visit does not know are straight lines in it, and are learnt as such.
- Noise is not drawn anew: an epoch shows the pairs of the one before.
- Resolution and noise are those of LAMOST (R about 1800, pixels of 2 A at 8700 A). On finer
  wavelengths neighbours share their noise. Nothing says that such a network is right for the
  spectra of another instrument.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stargrav.data.lamost import Pairs, read_pairs
from stargrav.data.splits import sampled_rows
from stargrav.errors import InputError
from stargrav.training.batches import TensorBatches

BEYOND = 5.0  # Angstrom read beyond both ends, more than a pixel
CHECKED = 0.1  # of the stars, for validation


def paired_batches(
    folder: Path, wave: np.ndarray, batch_size: int, most: int, seed: int = 42
) -> tuple[TensorBatches, TensorBatches]:
    """Batches for training and for validation, of different stars.

    Each is a dict of flux, noisy and error (b, p).

    Args:
        folder: of LAMOST spectra, in any sub-folders (see `read_pairs`).
        wave: (p,) wavelengths that the spectra are wanted on [Angstrom].
        batch_size: pairs in a batch.
        most: pairs that are trained on, at most.
        seed: of the choice of stars and of pairs.

    Raises:
        InputError: there are not pairs of two stars at least, or they do not reach as far as
            `wave`.
    """
    pairs = read_pairs(folder, wave[0] - BEYOND, wave[-1] + BEYOND)
    if pairs.wave[0] > wave[0] or pairs.wave[-1] < wave[-1]:
        found = f"{pairs.wave[0]:.1f} to {pairs.wave[-1]:.1f} A"
        raise InputError(folder, "WAVELENGTH", found, f"{wave[0]:.1f} to {wave[-1]:.1f} A")
    stars = np.unique(pairs.stars)
    if len(stars) < 2:
        raise InputError(folder, "spectra", "pairs of one star", "pairs of two stars at least")
    checked = np.random.default_rng(seed).permutation(stars)[: max(1, int(CHECKED * len(stars)))]
    aside = np.isin(pairs.stars, checked)
    train = np.flatnonzero(~aside)
    pairs = pairs.on(wave)
    return (
        _batches(pairs, train[sampled_rows(len(train), most, seed)], batch_size, shuffled=True),
        _batches(pairs, np.flatnonzero(aside), batch_size, shuffled=False),
    )


def _batches(pairs: Pairs, rows: np.ndarray, batch_size: int, shuffled: bool) -> TensorBatches:
    named = {"flux": pairs.flux, "noisy": pairs.noisy, "error": pairs.error}
    tensors = {name: torch.from_numpy(values[rows]) for name, values in named.items()}
    return TensorBatches(tensors, batch_size, torch.Generator() if shuffled else None)
