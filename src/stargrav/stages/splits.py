"""Stage `splits`: the table of stars, one row per star with its split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from stargrav.data.sources import open_source
from stargrav.data.splits import SPLITS, draw_splits, index_splits
from stargrav.physics.grid import Library
from stargrav.stages import Work

TABLE = "stars.csv"


def build(work: Work, out: Path, number: int = 0) -> None:
    """Write `stars.csv`: drawn for a library, or of a ready-made data set, `id` being its rows.

    Args:
        work: the stage's work.
        out: folder of the table.
        number: of the data set, see `draw_splits`.
    """
    sizes = work.settings.splits.model_dump(include=set(SPLITS))
    source = open_source(work.source)
    if isinstance(source, Library):
        magnitude = work.settings.splits.magnitude
        stars = draw_splits(sizes, magnitude, source.ranges, work.settings.seed, number)
    else:
        rows = index_splits(len(source), sizes, work.settings.seed)
        split = np.repeat(SPLITS, [len(rows[name]) for name in SPLITS])
        row = np.concatenate([rows[name] for name in SPLITS])
        stars = source.stars.iloc[row].reset_index(drop=True)
        stars = stars.assign(split=split, id=row)
    stars.to_csv(out / TABLE, index=False)


def read(folder: Path, split: str) -> pd.DataFrame:
    """The stars of one split, as `build` wrote them."""
    stars = pd.read_csv(folder / TABLE)
    return stars[stars["split"] == split].drop(columns="split").reset_index(drop=True)
