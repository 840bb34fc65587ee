"""A transformer from a noisy spectrum and its error to labels: channels, tokens, answer.

Its options compose: what it is shown (`models.channels`), how tokens are made and placed
(`models.vit`), how it answers (`models.answers`), and whether a denoiser stands in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stargrav.models.answers import ANSWERS
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.channels import Channels
from stargrav.models.vit import ViT

AGAIN = "again_"  # folders, beside a stored network, of what other seeds have made of it
TOGETHER = 256  # spectra that are answered at once


class SpectralViT(nn.Module):
    """Noisy flux and error -> labels in their units.

    Args:
        inputs: pixels of flux and error together.
        labels: their names, the judged one first.
        names, normalization, masked: see `models.channels.Channels`.
        answer: of `models.answers.ANSWERS`.
        bins: lowest and highest value of the label, for the answer in bins.
        denoiser: settings of a blind-spot denoiser whose output is seen in place of the noisy
            flux, frozen; None: nothing stands in front.
        sizes: arguments of `models.vit.ViT`.
    """

    def __init__(
        self,
        inputs: int,
        labels: Sequence[str] = ("log_g",),
        names: Sequence[str] = ("flux",),
        normalization: str = "median",
        masked: float = 0.0,
        answer: str = "point",
        bins: Sequence[float] | None = None,
        denoiser: Mapping[str, Any] | None = None,
        **sizes: Any,
    ) -> None:
        super().__init__()
        if answer not in ANSWERS:
            raise ValueError(f"answer: found {answer!r}, expected one of {', '.join(ANSWERS)}")
        self.config = {
            "inputs": inputs,
            "labels": list(labels),
            "names": list(names),
            "normalization": normalization,
            "masked": masked,
            "answer": answer,
            "bins": None if bins is None else list(bins),
            "denoiser": denoiser,
            **sizes,
        }
        self.labels = tuple(labels)
        self.denoiser = None if denoiser is None else BlindSpotUNet(**denoiser).eval()
        if self.denoiser is not None:
            self.denoiser.requires_grad_(False)
        self.channels = Channels(inputs // 2, names, normalization, masked)
        self.answer = ANSWERS[answer](len(self.labels), *(bins or ()))
        self.vit = ViT(inputs // 2, len(self.channels.names), self.answer.size, **sizes)
        for name, fill in (("mean", 0.0), ("deviation", 1.0)):
            self.register_buffer(f"label_{name}", torch.full((len(self.labels),), fill))

    def standardise(self, x: Tensor, y: Tensor) -> None:
        """Store means and deviations of training spectra x (n, 2 pixels) and labels y (n, k)."""
        with torch.no_grad():
            parts = [torch.stack(self._seen(part)) for part in x.split(TOGETHER)]
            self.channels.standardise(*torch.cat(parts, dim=1))
        deviation, mean = torch.std_mean(y.double(), dim=0, correction=0)
        self.label_mean.copy_(mean)
        self.label_deviation.copy_(torch.where(deviation > 0, deviation, 1.0))
        if hasattr(self.answer, "standardise"):
            self.answer.standardise(self.label_mean, self.label_deviation)

    def shown(self, x: Tensor) -> Tensor:
        """Spectra (b, 2 pixels): noisy flux, then error -> channels (b, c, pixels).

        In full precision whatever the network's: lines are a percent of what would be rounded.
        """
        with torch.autocast(x.device.type, enabled=False):
            return self.channels(*self._seen(x))

    def raw(self, x: Tensor) -> Tensor:
        """Spectra (b, 2 pixels) -> the numbers (b, size) that the answer reads."""
        return self.vit(self.shown(x))

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        """Mean loss of a batch with labels (b, k) in their units."""
        return self.answer.loss(raw, (y - self.label_mean) / self.label_deviation)

    def read(self, raw: Tensor) -> Tensor:
        """What the answer reads (b, k) from numbers (b, size), in the labels' units."""
        return self.label_mean + self.label_deviation * self.answer.mean(raw)

    def forward(self, x: Tensor) -> Tensor:
        """Spectra (b, 2 pixels) -> labels (b, k) in their units."""
        return self.read(self.raw(x))

    def train(self, mode: bool = True) -> SpectralViT:
        """Change the mode, of all but the denoiser."""
        super().train(mode)
        if self.denoiser is not None:
            self.denoiser.eval()
        return self

    @torch.inference_mode()
    def told(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels of spectra, and how sure of them the network is.

        Args:
            x: (n, 2 pixels) noisy flux, then error.

        Returns:
            (n, k) labels and, where the answer knows them, standard deviations, float64.
        """
        was_training = self.training
        self.eval()
        means, spreads = [], []
        for start in range(0, len(x), TOGETHER):
            part = np.asarray(x[start : start + TOGETHER], dtype=np.float32)
            raw = self.raw(torch.from_numpy(part).to(self.label_mean.device))
            spread = self.answer.spread(raw)
            means.append(self.read(raw))
            spreads.append(None if spread is None else self.label_deviation * spread)
        self.train(was_training)
        known = spreads and spreads[0] is not None
        return _array(means), _array(spreads) if known else None

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The judged label (n,) of spectra (n, 2 pixels), float64."""
        return self.told(x)[0][:, 0]

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flux, error = x.chunk(2, dim=1)
        if self.denoiser is not None:
            with torch.no_grad():
                flux = self.denoiser.denoise(flux, error).mean
        return flux, error


def _array(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts).double().cpu().numpy()
