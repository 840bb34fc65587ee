"""Batches for training and testing: clean spectra with noise drawn anew, or fixed by a seed.

`observed` errors follow from the noisy counts (`observation.noise`), so each draw of noise has its
own: the file's, which belongs to a single draw, is not used then.

Spectra come as arrays or memory maps and are read batch by batch, in order within each batch, so
that a data set larger than the memory streams.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from stargrav.data import validate
from stargrav.data.share import Share
from stargrav.errors import InputError
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.noise import Conditions, NoiseModel, fixed_noise, observe
from stargrav.spectrum import Spectra

Batch = dict[str, Tensor]


class Clean:
    """Spectra before their noise, by rows.

    Args:
        spectra: all spectra of a data set.
        device: where they are wanted.
        error: kind of error that is to be reported with them, `noiseless` or `observed`; the data
            set's own if None.

    Raises:
        InputError: either is `observed`, but wavelengths or conditions are not the simulator's.
    """

    def __init__(
        self, spectra: Spectra, device: torch.device | str = "cpu", error: str | None = None
    ) -> None:
        self.spectra = spectra
        self.device = torch.device(device)
        self._conditions = None
        self._estimated = (error or spectra.error_kind) == "observed"
        if not self._estimated and spectra.error_kind != "observed":
            return
        step = PFS_MR.step / 2
        instrument = PFS_MR.cut(spectra.wave[0] - step, spectra.wave[-1] + step)
        validate.same_wavelengths(spectra.wave, instrument.wave, spectra.name, "wave")
        try:
            self._conditions = Conditions.of(spectra.stars)
        except KeyError as error:
            found = ", ".join(map(str, spectra.stars.columns))
            wanted = "the conditions behind its observed errors"
            raise InputError(spectra.name, f"column {error}", f"only {found}", wanted) from None
        self._model = NoiseModel(instrument, self.device)

    def __call__(self, rows: np.ndarray | slice) -> tuple[Tensor, Tensor, Tensor | None]:
        """What `observe` needs of some rows.

        Returns:
            flux (b, p), the error (b, p) it scatters by and, where the reported error is to be
            estimated from noisy counts, the photon variance (b, p).
        """
        flux = self._tensor(self.spectra.flux[rows])
        if self._conditions is None:
            return flux, self._tensor(self.spectra.error[rows]), None
        at = self._conditions[rows]
        photons = self._model.photon_variance(flux, at) if self._estimated else None
        return flux, self._model.error(flux, at), photons

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.device)


class NoisySpectra(IterableDataset):
    """Batches of spectra with noise.

    Each batch is a dict of flux (b, p) clean, noisy (b, p), the error (b, p) that is reported with
    noisy, labels (b, 5) and index (b,), the rows of the spectra. Iterate it directly, or through a
    DataLoader with `batch_size=None`.

    Args:
        spectra: all spectra of the data set.
        batch_size: spectra in a batch; the last one may be smaller.
        noise_level: see `observe`.
        rows: (n,) rows that take part; all by default.
        shuffle: draw the order anew in each pass.
        generator: of order and noise. Without one each pass draws the noise of every star from
            `seed` and its id alone: valid and test sets are the same in each pass, whatever the
            batch size.
        seed: of the fixed noise.
        device: where the batches are wanted; noise is drawn there.
        error: kind of error that is reported, see `Clean`.
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
        error: str | None = None,
    ) -> None:
        if shuffle and generator is None:
            raise ValueError("shuffle needs a generator")
        self.spectra = spectra
        self.batch_size = batch_size
        self.noise_level = noise_level
        self.rows = np.arange(len(spectra)) if rows is None else np.asarray(rows)
        self.shuffle = shuffle
        self.generator = generator
        self.share = Share()
        self.seed = seed
        self.device = torch.device(device)
        self._clean = Clean(spectra, self.device, error)
        self._labels = spectra.labels

    def __len__(self) -> int:
        return self.share.batches(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.rows
        if self.shuffle:
            device = self.generator.device
            shuffled = torch.randperm(len(order), generator=self.generator, device=device)
            order = order[shuffled.cpu().numpy()]
        if self.generator is not None:
            self.share.part(self.generator)
        for number in range(len(self)):
            start = number * self.batch_size
            yield self._batch(np.sort(self.share.rows(order[start : start + self.batch_size])))

    def _batch(self, rows: np.ndarray) -> Batch:
        flux, error, photons = self._clean(rows)
        noise = self._fixed(rows, flux.shape[1]) if self.generator is None else None
        noisy, error = observe(flux, error, self.noise_level, noise, self.generator, photons)
        labels = torch.from_numpy(self._labels[rows]).to(self.device)
        index = torch.from_numpy(rows)
        return {"flux": flux, "noisy": noisy, "error": error, "labels": labels, "index": index}

    def _fixed(self, rows: np.ndarray, pixels: int) -> Tensor:
        ids = self.spectra.ids[rows]
        noise = np.stack([fixed_noise(self.seed, star, pixels) for star in ids])
        return torch.from_numpy(noise).to(self.device)
