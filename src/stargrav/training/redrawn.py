"""Features whose noise is drawn anew in each pass, where it falls on them as independent normals.

What `inference.fresh` does for latents through the frozen teacher; principal components of
flux / error need neither spectra nor a network for it (`models.features`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stargrav.training.batches import TensorBatches


class FreshNoise:
    """Batches x (b, k), y (b, l) of features on which noise falls as N(0, level^2 I), drawn anew.

    Args:
        features: (n, k) of the stars without noise.
        labels: (n,) or (n, l) in their unit.
        level: standard deviation of the noise.
        batch_size: rows in a batch; the last one may be smaller.
    """

    def __init__(self, features: Tensor, labels: Tensor, level: float, batch_size: int) -> None:
        self.generator = torch.Generator()
        self.level = level
        self._rows = TensorBatches(
            {"x": features, "y": labels.reshape(len(labels), -1)}, batch_size, self.generator
        )
        self.share = self._rows.share

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self._rows:
            noise = torch.randn(batch["x"].shape, generator=self.generator)
            yield {**batch, "x": batch["x"] + self.level * noise}
