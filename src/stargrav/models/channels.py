"""What a network is shown of a spectrum: channels made of noisy flux and error.

The flux is normalised first, and the error with it:

    median      as it comes, divided by its median;
    continuum   divided by a polynomial of degree 7 through it, by least squares;
    chunk       in chunks of 256 pixels, less their mean and divided by their deviation.

Of both, `CHANNELS` are made and standardised pixel by pixel with mean and deviation of training
spectra. Pixels that are masked are zero after that: they say what is usual there. Before flux is
divided by the error the usual flux is taken away, and from the error's logarithm the star's own
median: either would else be one number for all pixels, the star's magnitude, beside which nothing
is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMALIZATIONS = ("median", "continuum", "chunk")
CHANNELS = ("flux", "whitened", "log_error", "derivative", "high_pass")
DEGREE = 7  # of the continuum
CHUNK = 256  # pixels
SLOPE = 11  # pixels that a slope is taken over, by least squares (Savitzky & Golay 1964)
SMOOTH = 101  # pixels that the low frequencies are means over
FAINTEST = 0.05  # least continuum, in units of its mean: noise may carry a polynomial below zero
SMALLEST = 1e-6  # of a deviation: a pixel that never changes is left as it is


class Channels(nn.Module):
    """Noisy flux and error -> standardised channels.

    Args:
        pixels: of a spectrum.
        names: of `CHANNELS`.
        normalization: of `NORMALIZATIONS`.
        masked: share of the pixels, those of the largest error of each spectrum, that are masked.

    Raises:
        ValueError: there is no such channel or normalisation.
    """

    def __init__(
        self,
        pixels: int,
        names: Sequence[str] = ("flux",),
        normalization: str = "median",
        masked: float = 0.0,
    ) -> None:
        super().__init__()
        for found, known in ((names, CHANNELS), ((normalization,), NORMALIZATIONS)):
            if not found or set(found) - set(known):
                raise ValueError(f"channels: found {found}, expected some of {', '.join(known)}")
        self.names, self.normalization, self.masked = tuple(names), normalization, masked
        x = torch.linspace(-1, 1, pixels, dtype=torch.float64)
        powers = torch.stack([x**k for k in range(DEGREE + 1)], dim=1)
        basis = torch.linalg.qr(powers).Q.float()
        self.register_buffer("basis", basis, persistent=False)  # (p, degree + 1), orthonormal
        if "whitened" in self.names:
            self.register_buffer("usual", torch.zeros(pixels))
        for name, fill in (("mean", 0.0), ("deviation", 1.0)):
            self.register_buffer(name, torch.full((len(self.names), pixels), fill))

    def standardise(self, flux: Tensor, error: Tensor) -> None:
        """Store mean and deviation of the channels of training spectra, (n, p) each."""
        if "whitened" in self.names:
            self.usual.copy_(self._normalised(flux, error)[0].double().mean(dim=0))
        channels = self.raw(flux, error).double()
        deviation, mean = torch.std_mean(channels, dim=0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation < SMALLEST, 1.0, deviation))

    def forward(self, flux: Tensor, error: Tensor) -> Tensor:
        """Noisy flux and error (b, p) -> (b, channels, p)."""
        channels = (self.raw(flux, error) - self.mean) / self.deviation
        if self.masked:
            worst = torch.quantile(error, 1 - self.masked, dim=1, keepdim=True)
            channels = channels * (error <= worst)[:, None]
        return channels

    def raw(self, flux: Tensor, error: Tensor) -> Tensor:
        """The same before they are standardised and masked."""
        flux, error = self._normalised(flux, error)
        return torch.stack([getattr(self, f"_{name}")(flux, error) for name in self.names], dim=1)

    def _normalised(self, flux: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        if self.normalization == "continuum":
            continuum = (flux @ self.basis) @ self.basis.T
            least = FAINTEST * continuum.mean(dim=1, keepdim=True).abs()
            continuum = torch.maximum(continuum, least)
            return flux / continuum, error / continuum
        if self.normalization == "chunk":
            parts = flux.split(CHUNK, dim=1)
            deviation, mean = zip(
                *(torch.std_mean(part, dim=1, keepdim=True, correction=0) for part in parts),
                strict=True,
            )
            widths = [part.shape[1] for part in parts]
            spread, level = (
                torch.cat([v.expand(-1, w) for v, w in zip(values, widths, strict=True)], dim=1)
                for values in (deviation, mean)
            )
            spread = spread.clamp_min(SMALLEST)
            return (flux - level) / spread, error / spread
        return flux, error

    @staticmethod
    def _flux(flux: Tensor, error: Tensor) -> Tensor:
        return flux

    def _whitened(self, flux: Tensor, error: Tensor) -> Tensor:
        return (flux - self.usual) / error

    @staticmethod
    def _log_error(flux: Tensor, error: Tensor) -> Tensor:
        logarithm = error.log10()
        return logarithm - logarithm.median(dim=1, keepdim=True).values

    @staticmethod
    def _derivative(flux: Tensor, error: Tensor) -> Tensor:
        """dF/d(pixel); what it lacks to dF/dlog lambda is a factor for each pixel."""
        offsets = torch.arange(SLOPE, dtype=flux.dtype, device=flux.device) - SLOPE // 2
        return _filtered(flux, offsets / (offsets**2).sum())

    @staticmethod
    def _high_pass(flux: Tensor, error: Tensor) -> Tensor:
        return flux - _filtered(flux, torch.full((SMOOTH,), 1 / SMOOTH, device=flux.device))


def _filtered(flux: Tensor, taps: Tensor) -> Tensor:
    """(b, p) spectra seen through a filter; the ends repeat the last pixel."""
    half = len(taps) // 2
    padded = F.pad(flux[:, None], (half, half), mode="replicate")
    return F.conv1d(padded, taps[None, None].to(flux.dtype))[:, 0]
