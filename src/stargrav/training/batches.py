"""Batches cut from tensors in memory, for sets so small that a row at a time is too slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from stargrav.data.share import Share


class Batches(Protocol):
    """What can be trained on; `data.loader.NoisySpectra` is another.

    Attributes:
        generator: of order and noise. Training sets its seed at the start of each epoch, so that
            an epoch depends on the seed and its own number only. None where nothing is drawn.
        share: which rows of each batch this process takes; set by training, too.
    """

    generator: torch.Generator | None
    share: Share

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[dict[str, Tensor]]: ...


class TensorBatches:
    """Batches of rows of tensors, shuffled anew in each pass.

    Args:
        tensors: name -> (n, ...), all of the same n.
        batch_size: rows in a batch; the last one may be smaller.
        generator: of the order; without one the rows come as they are.
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        self.tensors = tensors
        self.batch_size = batch_size
        self.generator = generator
        self.share = Share()
        (self._rows,) = {len(values) for values in tensors.values()}

    def __len__(self) -> int:
        return self.share.batches(self._rows, self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self.generator is None:
            for start in range(0, self._rows, self.batch_size):
                yield {k: v[start : start + self.batch_size] for k, v in self.tensors.items()}
            return
        order = torch.randperm(self._rows, generator=self.generator)
        self.share.part(self.generator)
        for batch in order.split(self.batch_size)[: len(self)]:
            rows = self.share.rows(batch)
            yield {name: values[rows] for name, values in self.tensors.items()}
