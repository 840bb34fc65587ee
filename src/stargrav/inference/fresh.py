"""Latents whose noise is drawn anew in each pass, for trainings that can afford the teacher.

A head that is trained on stored latents sees each spectrum in a handful of noise draws and learns
them by heart in the end; with the frozen encoder in front, no draw comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stargrav.data.loader import NoisySpectra
from stargrav.labels import LABELS
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.pooling import pool


class FreshLatents:
    """Batches of latents x (b, d) and labels y (b, 1), for `training.fit`.

    Args:
        spectra: batches of spectra with noise; its generator is that of order and noise.
        teacher: the denoiser, frozen.
        readout: layer and pooling.
        target: the label.
    """

    def __init__(
        self,
        spectra: NoisySpectra,
        teacher: BlindSpotUNet,
        readout: tuple[str, str],
        target: str,
    ) -> None:
        self.spectra = spectra
        self.generator, self.share = spectra.generator, spectra.share
        self.teacher = teacher.to(spectra.device).eval()
        self.layer, self.pooling = readout
        self.column = LABELS.index(target)

    def __len__(self) -> int:
        return len(self.spectra)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self.spectra:
            with torch.no_grad():
                layers = self.teacher.layers(batch["noisy"], batch["error"], [self.layer])
                latents = pool(layers[self.layer], self.pooling)
            yield {"x": latents, "y": batch["labels"][:, self.column, None]}
