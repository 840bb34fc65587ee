"""Spectra as the teacher cleans them: E[clean flux | all pixels], the measured one included."""

from __future__ import annotations

import numpy as np
import torch

from stargrav.models.blindspot import BlindSpotUNet

BATCH = 32


def denoised(
    teacher: BlindSpotUNet,
    noisy: np.ndarray,
    error: np.ndarray,
    noise_level: float = 1.0,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Clean spectra in memory, a batch at a time.

    Args:
        teacher: the denoiser.
        noisy: (n, p) flux, over its median.
        error: (n, p) that the teacher is told, 1 sigma at noise level 1.
        noise_level: the noise in `noisy` in units of `error`.
        device: where the network runs.

    Returns:
        (n, p) flux, float32.
    """
    teacher = teacher.to(device).eval()
    found = np.empty(noisy.shape, dtype=np.float32)
    for start in range(0, len(noisy), BATCH):
        rows = slice(start, start + BATCH)
        pair = (torch.tensor(values[rows], device=device) for values in (noisy, error))
        with torch.inference_mode():
            found[rows] = teacher.denoise(*pair, noise_level).mean.float().cpu().numpy()
    return found
