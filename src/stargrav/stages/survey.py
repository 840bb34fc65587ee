"""Stages `survey` and `survey_limits`: stars of many magnitudes, and what their flux can tell.

The survey is what programme `logg_1m` works on: spectra of magnitudes 20.5 to 22.5, up to a
million, made as the data set of the other programmes is. `protocol.json` says which of its stars
count as low noise: the fifth with the largest SNR, by the quantiles of the training stars.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stargrav.data import protocol
from stargrav.data.splits import SPLITS
from stargrav.stages import Work, dataset, limits, splits

_NUMBER = 1  # of the data set: its stars are none of the other programmes'


def build(work: Work, out: Path) -> None:
    """Write train.h5, valid.h5, test.h5 and the protocol, or the limits of the test stars."""
    settings = work.settings
    if work.stage == "survey_limits":
        only = settings.limits.model_copy(update={"noise_levels": (1.0,)})
        chosen = settings.model_copy(update={"limits": only})
        folders = {"dataset": work.folders["survey"]}
        limits.build(replace(work, settings=chosen, folders=folders), out)
        return
    stars = work.scratch / "stars"
    stars.mkdir(parents=True, exist_ok=True)
    chosen = settings.model_copy(update={"splits": settings.survey})
    drawn = replace(work, settings=chosen, folders={"splits": stars})
    splits.build(drawn, stars, _NUMBER)
    dataset.build(drawn, out)
    snr = {split: _snr(dataset.read(out, split).stars) for split in SPLITS}
    text = json.dumps(protocol.written(snr), indent=1)
    (out / protocol.FILE).write_text(text + "\n")


def _snr(stars: pd.DataFrame) -> np.ndarray | None:
    """Median SNR per pixel of each star, where it is known."""
    return stars["snr"].to_numpy(dtype=float) if "snr" in stars else None
