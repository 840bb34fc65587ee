r"""Posteriors of labels from a network that has seen many stars: a conditional normalising flow.

Each label is mapped to z = probit((label - low) / (high - low)), in which a uniform prior over its
range is a standard normal distribution; a neural spline flow (Durkan et al. 2019,
arXiv:1906.04032, as zuko has it) turns standard normal numbers into z, told what was measured by
the leading components of flux / error. On these the noise falls as N(0, I) for every star.

What it has learnt once serves any star at once (Cranmer, Brehmer & Louppe 2020, PNAS 117, 30055).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import zuko
from sklearn.decomposition import PCA
from torch import Tensor, nn

from stargrav.models.config import configured

EDGE = 1e-6  # of the range: labels nearer to its ends are taken to lie there
TOGETHER = 8192  # label vectors drawn at a time


class PosteriorFlow(nn.Module):
    """p(labels | flux, error).

    Args:
        pixels: of a spectrum.
        labels: their number.
        components: of flux / error that the flow is told.
        transforms: of the flow.
        widths: of the hidden layers of each.
        bins: of the splines.
    """

    @configured
    def __init__(
        self,
        pixels: int,
        labels: int,
        components: int = 64,
        transforms: int = 3,
        widths: Sequence[int] = (128, 128),
        bins: int = 8,
    ) -> None:
        super().__init__()
        for name, shape in (
            ("centre", (pixels,)),
            ("axes", (components, pixels)),
            ("low", (labels,)),
        ):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(components))
        self.register_buffer("high", torch.ones(labels))
        self.flow = zuko.flows.NSF(
            labels, components, bins, transforms=transforms, hidden_features=tuple(widths)
        )

    def measure(self, whitened: Tensor, labels: Tensor, seed: int = 0) -> None:
        """Find components of training spectra, and the ranges of their labels.

        Args:
            whitened: (n, pixels) noisy flux / error.
            labels: (n, labels).
            seed: of the random projections that find the components.
        """
        found = PCA(len(self.axes), svd_solver="randomized", random_state=seed)
        scores = found.fit_transform(whitened.numpy())
        self.centre.copy_(torch.from_numpy(found.mean_))
        self.axes.copy_(torch.from_numpy(found.components_))
        self.deviation.copy_(torch.from_numpy(scores.std(axis=0)))
        self.low.copy_(labels.amin(dim=0))
        self.high.copy_(labels.amax(dim=0))

    def features(self, whitened: Tensor) -> Tensor:
        """Components (n, components) of flux / error (n, pixels); noise falls on them as on it."""
        return (whitened - self.centre) @ self.axes.T

    def log_prob(self, labels: Tensor, features: Tensor) -> Tensor:
        """Logarithm of the density of z (n,) at labels (n, labels) given `features`."""
        share = ((labels - self.low) / (self.high - self.low)).clamp(EDGE, 1 - EDGE)
        z = torch.special.ndtri(share.double()).to(features)
        return self.flow(features / self.deviation).log_prob(z)

    @torch.no_grad()
    def draw(self, features: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Label vectors (n, count, labels) given `features` (n, components)."""
        found = []
        for part in features.split(max(1, TOGETHER // count)):
            shape = (count, len(part), len(self.low))
            noise = torch.randn(shape, generator=generator, device=part.device)
            z = self.flow(part / self.deviation).transform.inv(noise)
            share = torch.special.ndtr(z).transpose(0, 1)
            found.append(self.low + (self.high - self.low) * share)
        return torch.cat(found)
