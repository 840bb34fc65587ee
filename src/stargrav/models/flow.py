r"""Posteriors of labels from a network that has seen many stars: a conditional normalising flow.

Each label is mapped to z = probit((label - low) / (high - low)), in which a uniform prior over its
range is a standard normal distribution; a neural spline flow (Durkan et al. 2019,
arXiv:1906.04032, as zuko has it) turns standard normal numbers into z, told what was measured by
the leading components of the flux in units of the stars' usual error, and by how much larger the
star's own error is. Flux over the star's own error would not do: the level of the flux, which
says most of T_eff, is lost in it.

What it has learnt once serves any star at once (Cranmer, Brehmer & Louppe 2020, PNAS 117, 30055).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import zuko
from torch import Tensor, nn

from stargrav.models.config import configured

EDGE = 1e-6  # of the range: labels nearer to its ends are taken to lie there
TOGETHER = 8192  # label vectors drawn at a time


class PosteriorFlow(nn.Module):
    """p(labels | flux, error).

    Args:
        pixels: of a spectrum.
        labels: their number.
        components: of the flux that the flow is told.
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
            ("middle", (components + 1,)),
            ("low", (labels,)),
        ):
            self.register_buffer(name, torch.zeros(shape))
        for name, shape in (
            ("unit", (pixels,)),
            ("deviation", (components + 1,)),
            ("high", (labels,)),
        ):
            self.register_buffer(name, torch.ones(shape))
        self.flow = zuko.flows.NSF(
            labels, components + 1, bins, transforms=transforms, hidden_features=tuple(widths)
        )

    def measure(self, noisy: Tensor, error: Tensor, labels: Tensor, seed: int = 0) -> None:
        """Find components and scales of training spectra, and the ranges of their labels.

        Args:
            noisy: (n, pixels) flux.
            error: (n, pixels), positive.
            labels: (n, labels).
            seed: of the random projections that find the components.
        """
        from sklearn.decomposition import PCA  # takes a second, of every network's process

        self.unit.copy_(error.square().mean(dim=0).sqrt())
        found = PCA(len(self.axes), svd_solver="randomized", random_state=seed)
        found.fit((noisy / self.unit).numpy())
        self.centre.copy_(torch.from_numpy(found.mean_))
        self.axes.copy_(torch.from_numpy(found.components_))
        told = self.told(noisy, error)
        self.middle.copy_(told.mean(dim=0))
        self.deviation.copy_(told.std(dim=0).clamp(min=EDGE))
        self.low.copy_(labels.amin(dim=0))
        self.high.copy_(labels.amax(dim=0))

    def told(self, noisy: Tensor, error: Tensor) -> Tensor:
        """What the flow is told (n, components + 1) of flux (n, pixels) and its error."""
        scores = (noisy / self.unit - self.centre) @ self.axes.T
        larger = (error / self.unit).log().mean(dim=1, keepdim=True)
        return (torch.cat([scores, larger], dim=1) - self.middle) / self.deviation

    def forward(self, labels: Tensor, told: Tensor) -> Tensor:
        """Logarithm of the density of z (n,) at labels (n, labels), given what is `told`."""
        share = ((labels - self.low) / (self.high - self.low)).clamp(EDGE, 1 - EDGE)
        z = torch.special.ndtri(share.double()).to(told)
        return self.flow(told).log_prob(z)

    @torch.no_grad()
    def draw(self, told: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Label vectors (n, count, labels) given what is `told` of n stars."""
        found = []
        for part in told.split(max(1, TOGETHER // count)):
            shape = (count, len(part), len(self.low))
            noise = torch.randn(shape, generator=generator, device=part.device)
            z = self.flow(part).transform.inv(noise)
            share = torch.special.ndtr(z).transpose(0, 1)
            found.append(self.low + (self.high - self.low) * share)
        return torch.cat(found)
