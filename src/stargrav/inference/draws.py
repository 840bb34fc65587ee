"""Noisy spectra as a model sees them: the noise of a draw belongs to the seed and the star's id.

Whatever reads spectra beside stored latents (probes on pixels, students, limits) sees through
this the very noise that the latents were read from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

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
    noise = np.stack([fixed_noise(seed + draw, star, pixels) for star in clean.spectra.ids[rows]])
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
