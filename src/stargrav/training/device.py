"""Where networks are trained and run: on the processor or on a CUDA GPU."""

from __future__ import annotations

import torch

from stargrav.errors import InputError


def device(accelerator: str) -> torch.device:
    """The device that a setting stands for.

    Args:
        accelerator: `cpu`, `gpu`, or `auto`: a GPU where there is one.

    Raises:
        InputError: `gpu`, and there is none.
    """
    available = torch.cuda.is_available()
    if accelerator == "gpu" and not available:
        raise InputError("settings", "accelerator", "gpu", "auto or cpu: there is no CUDA GPU")
    return torch.device("cuda" if available and accelerator != "cpu" else "cpu")
