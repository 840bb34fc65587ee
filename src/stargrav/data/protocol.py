"""The protocol of low noise: which stars of a data set have the least noise, written once.

SNR is the median over pixels of flux / error; of a simulated data set, of the flux without noise.
Low noise is the fifth of the stars with the largest SNR; the threshold is a quantile of the
training stars, so that it is not chosen by the stars that models are tested on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FILE = "protocol.json"
SHARE = 0.2  # of the stars, those with the largest SNR
QUANTILES = (0.0, 0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.95, 1.0)


def written(snr: Mapping[str, np.ndarray | None]) -> dict[str, object]:
    """The protocol of a data set, as plain values.

    Args:
        snr: split -> (n,) SNR of its stars; None where it is not known.

    Returns:
        the definition, the threshold, and the quantiles of each split.
    """
    known = {split: values for split, values in snr.items() if values is not None}
    train = known.get("train")
    return {
        "snr": "median over pixels of flux / error",
        "low_noise": f"SNR at or above the {1 - SHARE:g} quantile of the training stars",
        "threshold": None if train is None else float(np.quantile(train, 1 - SHARE)),
        "stars": {split: len(values) for split, values in known.items()},
        "quantiles": {
            split: {f"{q:g}": float(np.quantile(values, q)) for q in QUANTILES}
            for split, values in known.items()
        },
    }


def threshold(folder: Path) -> float | None:
    """The least SNR of a low-noise star; None where SNR is not known, or nothing is written."""
    path = Path(folder) / FILE
    return json.loads(path.read_text())["threshold"] if path.is_file() else None
