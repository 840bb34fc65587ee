"""Which stars are trained on, validated on and tested on: drawn once, from one seed.

Stars of a library are drawn independently for each split; a ready-made data set is divided by its
rows. Only numpy's generator is used, whose streams are the same on every processor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stargrav.errors import InputError
from stargrav.observation.simulate import Range, draw_stars

SPLITS = ("train", "valid", "test")
SEED = 42
ROOM = 10**8  # ids of one split
FEWEST = 20  # rows: two each in valid and test, for an R2


def draw_splits(
    sizes: Mapping[str, int],
    magnitude: str | Range = "mag215",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    seed: int = SEED,
    number: int = 0,
) -> pd.DataFrame:
    """Stars of all splits, drawn independently of each other.

    A split's stars and their ids depend on the seed, the number and its own size only, and the
    first n stars of a larger draw are those of a draw of n.

    Args:
        sizes: split -> number of stars, for the splits of `SPLITS`.
        magnitude: `mag215`, `mag205_225`, a magnitude or (low, high) [HSC i, AB].
        ranges: label -> (low, high), those of the library.
        seed: of the draw.
        number: of the data set, among those of one seed that share no star.

    Returns:
        One row per star: split, and the columns of `draw_stars`; `id` tells data set, split and
        row.
    """
    tables = []
    for part, name in enumerate(SPLITS):
        rng = np.random.default_rng([seed, part, number])
        table = draw_stars(sizes.get(name, 0), magnitude, ranges, rng)
        table["id"] += (number * len(SPLITS) + part) * ROOM
        table.insert(0, "split", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def index_splits(
    count: int, sizes: Mapping[str, int] | None = None, seed: int = SEED
) -> dict[str, np.ndarray]:
    """Rows of a ready-made data set for each split, none in two.

    Args:
        count: rows of the data set.
        sizes: split -> at most so many; valid and test have a tenth of the rows each, train the
            rest. A row belongs to the same split whatever the sizes.
        seed: of the shuffling.

    Returns:
        split -> ascending rows.

    Raises:
        InputError: there are fewer than 20 rows.
    """
    if count < FEWEST:
        raise InputError("data set", "spectra", count, f"at least {FEWEST}, to be split")
    sizes = sizes or {}
    order = np.random.default_rng([seed, len(SPLITS)]).permutation(count)
    tenth = count // 10
    parts = {"train": order[2 * tenth :], "valid": order[:tenth], "test": order[tenth : 2 * tenth]}
    return {name: np.sort(parts[name][: sizes.get(name, count)]) for name in SPLITS}


def sampled_rows(total: int, n: int, seed: int) -> np.ndarray:
    """n random rows of a split in ascending order; the rows of a smaller n are among them."""
    if n >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng([seed, total]).permutation(total)[:n])
