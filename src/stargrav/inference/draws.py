"""Noisy spectra as a model sees them: the noise of a draw belongs to the seed and the star's id.

Whatever reads spectra beside stored latents (probes on pixels, students, limits) sees through
this the very noise that the latents were read from. More spectra than memory holds are read
through `StreamedPixels`.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stargrav.data import store
from stargrav.data.loader import Clean
from stargrav.errors import InputError
from stargrav.observation.noise import fixed_noise, observe

BATCH = 1024
INPUTS = {
    "flux": lambda flux, error: flux,
    "error": lambda flux, error: error,
    "log_error": lambda flux, error: error.log10(),
    "whitened": lambda flux, error: flux / error,
}


def noisy_draw(
    clean: Clean, rows: np.ndarray | slice, noise_level: float, seed: int, draw: int = 0
) -> tuple[Tensor, Tensor]:
    """Some spectra with the noise of one draw.

    Args:
        clean: the data set.
        rows: (b,) or slice of its stars.
        noise_level: noise added, in units of the error.
        seed: of the noise.
        draw: number of the draw, from 0.

    Returns:
        noisy flux (b, p) and the error (b, p) that is reported with it.
    """
    flux, error, photons = clean(rows)
    pixels = flux.shape[1]
    ids = clean.spectra.ids[rows]
    noise = np.stack([fixed_noise(seed, star, pixels, draw) for star in ids])
    noise = torch.from_numpy(noise).to(flux.device)
    return observe(flux, error, noise_level, noise, photon_variance=photons)


def pixels(
    clean: Clean,
    rows: np.ndarray,
    inputs: Sequence[str],
    noise_level: float,
    seed: int,
    draw: int = 0,
) -> np.ndarray:
    """What is measured of some stars, as features.

    Args:
        clean: the data set.
        rows: (n,) of its stars, ascending.
        inputs: names in `INPUTS`, laid side by side.
        noise_level: see `noisy_draw`, as for seed and draw.
        seed: of the noise.
        draw: number of the draw.

    Returns:
        (n, len(inputs) p), float32.

    Raises:
        InputError: there is no such input.
    """
    for name in inputs:
        if name not in INPUTS:
            raise InputError("spectra", "inputs", repr(name), "one of " + ", ".join(INPUTS))
    width = clean.spectra.flux.shape[1]
    found = np.empty((len(rows), len(inputs) * width), dtype=np.float32)
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        flux, error = noisy_draw(clean, rows[part], noise_level, seed, draw)
        for number, name in enumerate(inputs):
            columns = slice(number * width, (number + 1) * width)
            found[part, columns] = INPUTS[name](flux, error).cpu().numpy()
    return found


class StreamedPixels:
    """What `pixels` gives of some stars, as an array (n, f) that is never held as a whole.

    Rows are read, and get their noise, when they are asked for by number, slice or list. It is
    pickled with the name of the file rather than with what stands in it, for workers that see
    the same files.

    Args:
        path: of the data set.
        rows: (n,) of its stars.
        inputs: see `pixels`, as for noise_level, seed and draw.
        noise_level: of the flux.
        seed: of the noise.
        error: kind of error, see `Clean`.
        draw: number of the draw.
    """

    def __init__(
        self,
        path: Path,
        rows: np.ndarray,
        inputs: Sequence[str],
        noise_level: float,
        seed: int,
        error: str | None = None,
        draw: int = 0,
    ) -> None:
        self.path = Path(path).resolve()
        self.rows = np.asarray(rows)
        self._seen = (tuple(inputs), noise_level, seed, draw)
        self._error = error

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Stars and features."""
        return len(self), len(self._seen[0]) * self._clean.spectra.flux.shape[1]

    def __getitem__(self, key: int | slice | Sequence[int]) -> np.ndarray:
        rows = self.rows[key]
        found = pixels(self._clean, np.atleast_1d(rows), *self._seen)
        for values in (self._clean.spectra.flux, self._clean.spectra.error):
            _forget(values)
        return found if np.ndim(rows) else found[0]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_clean"}

    @cached_property
    def _clean(self) -> Clean:
        return Clean(store.read_spectra(self.path), error=self._error)


def _forget(values: np.ndarray) -> None:
    """Hand back the pages of a memory map that were read: they count as memory of the process."""
    if isinstance(values, np.memmap):
        values._mmap.madvise(mmap.MADV_DONTNEED)
