"""Stage `dataset`: train.h5, valid.h5 and test.h5, observed spectra in pfsspec format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from stargrav.data import store
from stargrav.data.sources import open_source
from stargrav.data.splits import SPLITS
from stargrav.observation.simulate import Simulator, snr
from stargrav.physics.grid import Library
from stargrav.spectrum import Spectra
from stargrav.stages import Work, splits

BATCH = 1024


def build(work: Work, out: Path) -> None:
    """Write the three data sets."""
    for split in SPLITS:
        write(work, split, out / f"{split}.h5")


def read(folder: Path, split: str) -> Spectra:
    """One split's spectra, memory-mapped."""
    return store.read_spectra(folder / f"{split}.h5")


def write(work: Work, split: str, out: Path, limit: int | None = None) -> None:
    """Write one split's spectra: simulated from a library, or copied from a ready-made data set.

    Args:
        work: the stage's work.
        split: train, valid or test.
        out: file to write.
        limit: only the first so many stars.
    """
    stars = splits.read(work.folders["splits"], split)[:limit]
    source = open_source(work.source)
    if not isinstance(source, Library):
        rows = stars["id"].to_numpy()
        parts = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
        batches = ((source.flux[part], source.error[part]) for part in parts)
        store.write_spectra(out, source.wave, batches, stars)
        return
    simulator = Simulator(source, error=work.settings.dataset.error)
    seed = work.settings.seed + 1 + SPLITS.index(split)
    store.write_spectra(out, simulator.wave, simulate(simulator, stars, seed, split), stars)


def simulate(
    simulator: Simulator, stars: pd.DataFrame, seed: int, name: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Flux and error of stars batch by batch, with a progress bar; fills their column `snr`.

    Args:
        simulator: library and instrument.
        stars: as `draw_stars` gives them.
        seed: of the counts behind `observed` errors.
        name: shown beside the bar.

    Yields:
        flux and error, each (batch, pixels).
    """
    generator = torch.Generator().manual_seed(seed)
    stars["snr"] = 0.0
    column = stars.columns.get_loc("snr")
    with tqdm(total=len(stars), desc=name, unit="spectrum", leave=False) as bar:
        for start in range(0, len(stars), BATCH):
            part = slice(start, start + BATCH)
            flux, error = simulator(stars.iloc[part], generator)
            stars.iloc[part, column] = snr(flux, error)["median"].numpy()
            yield flux, error
            bar.update(len(flux))
