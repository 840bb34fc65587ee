"""Batches for training and testing: clean spectra with noise drawn anew, or fixed by a seed.

Spectra come as arrays or memory maps and are read batch by batch, in order within each batch, so
that a data set larger than the memory streams.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from stargrav.observation.simulate import add_noise
from stargrav.spectrum import Spectra

Batch = dict[str, Tensor]


class NoisySpectra(IterableDataset):
    """Batches of spectra with noise.

    Each batch is a dict of flux (b, p) clean, noisy (b, p), error (b, p), labels (b, 5) and index
    (b,), the rows of the spectra. Iterate it directly, or through a DataLoader with
    `batch_size=None`.

    Args:
        spectra: all spectra of the data set.
        batch_size: spectra in a batch; the last one may be smaller.
        noise_level: see `add_noise`.
        rows: (n,) rows that take part; all by default.
        shuffle: draw the order anew in each pass.
        generator: of order and noise. Without one each pass draws the noise of every row from
            `seed` and the row alone: valid and test sets are the same in each pass, whatever the
            batch size.
        seed: of the fixed noise.
        device: where the batches are wanted; noise is drawn there.
    """

    def __init__(
        self,
        spectra: Spectra,
        batch_size: int,
        noise_level: float,
        rows: np.ndarray | None = None,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        seed: int = 42,
        device: torch.device | str = "cpu",
    ) -> None:
        if shuffle and generator is None:
            raise ValueError("shuffle needs a generator")
        self.spectra = spectra
        self.batch_size = batch_size
        self.noise_level = noise_level
        self.rows = np.arange(len(spectra)) if rows is None else np.asarray(rows)
        self.shuffle = shuffle
        self.generator = generator
        self.seed = seed
        self.device = torch.device(device)
        self._labels = spectra.labels

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.rows
        if self.shuffle:
            device = self.generator.device
            shuffled = torch.randperm(len(order), generator=self.generator, device=device)
            order = order[shuffled.cpu().numpy()]
        for start in range(0, len(order), self.batch_size):
            yield self._batch(np.sort(order[start : start + self.batch_size]))

    def _batch(self, rows: np.ndarray) -> Batch:
        flux, error, labels = (
            torch.from_numpy(np.ascontiguousarray(values[rows])).to(self.device)
            for values in (self.spectra.flux, self.spectra.error, self._labels)
        )
        if self.generator is not None:
            noisy = add_noise(flux, error, self.noise_level, self.generator)
        else:
            noisy = flux + self.noise_level * error * self._fixed(rows, flux.shape[1])
        index = torch.from_numpy(rows)
        return {"flux": flux, "noisy": noisy, "error": error, "labels": labels, "index": index}

    def _fixed(self, rows: np.ndarray, pixels: int) -> Tensor:
        noise = np.stack([fixed_noise(self.seed, row, pixels) for row in rows])
        return torch.from_numpy(noise).to(self.device)


def fixed_noise(seed: int, row: int, pixels: int) -> np.ndarray:
    """Standard normal noise (pixels,), float32, that belongs to a row for good."""
    rng = np.random.default_rng([seed, int(row)])
    return rng.standard_normal(pixels, dtype=np.float32)
