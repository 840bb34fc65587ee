"""Features whose noise is drawn anew in each pass, where it falls on them as independent normals.

What `inference.fresh` does for latents through the frozen teacher; principal components of
flux / error need neither spectra nor a network for it (`models.features`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stargrav.training.batches import TensorBatches


class AnyDraw:
    """Batches x (b, f), y (b, l) in which a star comes once in a pass, in any of its noise draws.

    Args:
        features: (draws, n, f).
        labels: (draws, n) in their unit; what is left of a label differs from draw to draw.
        batch_size: rows in a batch; the last one may be smaller.
    """

    def __init__(self, features: Tensor, labels: Tensor, batch_size: int) -> None:
        self.generator = torch.Generator()
        self.features, self.labels = features, labels
        stars = torch.arange(features.shape[1])
        self._stars = TensorBatches({"star": stars}, batch_size, self.generator)
        self.share = self._stars.share

    def __len__(self) -> int:
        return len(self._stars)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self._stars:
            star = batch["star"]
            draw = torch.randint(len(self.features), star.shape, generator=self.generator)
            yield {"x": self.features[draw, star], "y": self.labels[draw, star][:, None]}


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
