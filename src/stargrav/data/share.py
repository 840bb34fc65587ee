"""Which rows of each batch a process takes where several train one network.

All draw the same order from the same seed and take their rows of each batch, as many as every
other. The mean over the processes of the gradients of their shares is then the gradient of the
batch: what a batch size or a learning rate means does not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

Rows = TypeVar("Rows", bound=Sequence)


@dataclass
class Share:
    """One process among several, or the only one.

    Args:
        rank: which one, from 0.
        ranks: how many there are.
    """

    rank: int = 0
    ranks: int = 1

    def rows(self, batch: Rows) -> Rows:
        """This process's rows of a batch; up to ranks - 1 rows are left out to make it even.

        Raises:
            ValueError: there are not enough rows for one each.
        """
        each = len(batch) // self.ranks
        if not each:
            raise ValueError(f"a batch of {len(batch)} rows for {self.ranks} processes")
        return batch[self.rank : each * self.ranks : self.ranks]

    def batches(self, rows: int, batch_size: int) -> int:
        """How many batches are cut from so many rows; what is not enough for all is left out."""
        return rows // batch_size + (rows % batch_size >= self.ranks)

    def part(self, generator: torch.Generator) -> None:
        """After an order that is common to all, let each process draw noise of its own."""
        if self.ranks > 1:
            seed = np.random.SeedSequence([generator.initial_seed(), self.rank])
            generator.manual_seed(int(seed.generate_state(1)[0]))
