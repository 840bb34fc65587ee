"""Simulated data sets on disk: one stream from the simulator to the file, whatever the size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from stargrav.data import store
from stargrav.labels import LABELS
from stargrav.observation.simulate import Simulator, snr

_BATCH = 1024


def write_dataset(
    path: Path,
    simulator: Simulator,
    stars: pd.DataFrame,
    seed: int = 42,
    attributes: Mapping[str, str | float | int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Simulate stars and write them in the pfsspec layout.

    The next batch is computed while the last one is written.

    Args:
        path: file to write.
        simulator: library, instrument and kind of error.
        stars: labels, mag and conditions, as `draw_stars` gives.
        seed: of the noise that `observed` errors are estimated from, each star's with its id.
        attributes: stored with the file, beside instrument and error.
        progress: told the number of spectra of each batch that is done.

    Returns:
        The stars with the columns snr (median over pixels of flux / error) and snr_norm
        (norm of flux / norm of error).

    Raises:
        InputError: a label is outside the library.
    """
    table = stars.drop(columns=["snr", "snr_norm"], errors="ignore").reset_index(drop=True)
    simulator.library.check(torch.tensor(table[list(LABELS)].to_numpy(dtype=float)))
    table["snr"], table["snr_norm"] = 0.0, 0.0

    def simulate(start: int) -> tuple[Tensor, Tensor]:
        rows = slice(start, start + _BATCH)
        flux, error = simulator(table.iloc[rows], seed)
        ratio = snr(flux, error)
        for column, key in (("snr", "median"), ("snr_norm", "norm")):
            table.iloc[rows, table.columns.get_loc(column)] = ratio[key].double().cpu().numpy()
        return flux.cpu(), error.cpu()

    def done(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if progress is not None:
            progress(len(batch[0]))
        return batch

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        with ThreadPoolExecutor(1) as worker:
            ahead = None
            for start in range(0, len(table), _BATCH):
                batch, ahead = ahead, worker.submit(simulate, start)
                if batch is not None:
                    yield done(batch.result())
            if ahead is not None:
                yield done(ahead.result())

    described = {
        "instrument": simulator.instrument.name,
        "error": simulator.error,
        "snr": "median over pixels of flux / error",
        **({"noise_seed": seed} if simulator.error == "observed" else {}),
        **(attributes or {}),
    }
    store.write_spectra(path, simulator.wave, batches(), table, described)
    return table
