"""The teacher: a denoiser that never sees the pixel it predicts.

A spectrum y = x + sigma n is denoised from its surroundings alone. One U-Net runs over two
causal half-planes, the spectrum and its mirror image, with the same weights; moved on by
one pixel, the left half at pixel i knows only pixels < i, the right half only pixels > i.
1x1 convolutions join them to mean mu_i and spread s_i of the clean flux given all other
pixels. As nothing of pixel i entered, its own measurement is independent evidence and
joins afterwards as a product of two Gaussians,

    x_i = (s_i^2 y_i + sigma_i^2 mu_i) / (s_i^2 + sigma_i^2).

(Laine et al. 2019, High-quality self-supervised deep image denoising; Krull et al. 2019.)

Causality through the levels: pooling joins pixels 2j and 2j + 1 in both halves, so that
the halves of an encoder layer are aligned once the right one is turned back. A coarse
position then knows pixel 2j + 1 before the fine position 2j may; therefore the signal is
moved on by one position after each upsampling.

The error channel is blind as well: mu_i sees neither y_i nor sigma_i. The noise model's
noiseless error is a function of the clean flux of its own pixel, so a network that saw
sigma_i could read x_i from it; sigma_i enters only as the width of the measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargrav.models.config import configured
from stargrav.models.convolution import (
    LONG,
    direct_convolution,
    response,
    tile_length,
    tiled_convolution,
)

LAYERS = ("enc_pre_latent", "enc_last", "dec_input")
SPREAD_SCALE = 0.1
SPREAD_FLOOR = 1e-4
TOGETHER = 4  # spectra that stay in the caches between tiled layers


class Prediction(NamedTuple):
    """Mean and spread of the clean flux at each pixel, given all the other pixels.

    Attributes:
        mean: (batch, pixels), flux over its median.
        spread: (batch, pixels), positive, the same unit.
    """

    mean: Tensor
    spread: Tensor


def gaussian_product(prediction: Prediction, flux: Tensor, error: Tensor) -> Prediction:
    """The prediction joined by the measurement of the pixel itself.

    Args:
        prediction: from the other pixels, each (batch, pixels).
        flux: (batch, pixels), measured.
        error: (batch, pixels), 1 sigma of its noise; may be zero.

    Returns:
        mean and spread of the product of the two Gaussians.
    """
    mean, spread = prediction
    total = spread**2 + error**2
    joined = (spread**2 * flux + error**2 * mean) / total
    return Prediction(joined, spread * error / total.sqrt())


class CausalBlock(nn.Module):
    """Causal convolution, batch norm, leaky ReLU; the norm is folded into the weights in eval.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: taps.
        slope: of the leaky ReLU.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, slope: float) -> None:
        super().__init__()
        initial = nn.Conv1d(inputs, outputs, kernel)
        self.weight = initial.weight
        self.bias = initial.bias
        self.norm = nn.BatchNorm2d(outputs)
        self.slope = slope
        self._state: tuple[int, ...] = ()
        self._kept: dict[str | int, Tensor] = {}

    def forward(self, x: Tensor, tiled: bool = False) -> Tensor:
        """One layer.

        Args:
            x: (batch, inputs, 1, positions), contiguous for tiles, else channels-last.
            tiled: which form the convolution takes (see `models.convolution`).

        Returns:
            (batch, outputs, 1, positions), the same memory order.
        """
        if self.training:
            y = self.norm(direct_convolution(x, self.weight, self.bias))
            return F.leaky_relu(y, self.slope)
        weight, bias = self._folded()
        if not tiled:
            return F.leaky_relu(direct_convolution(x, weight, bias), self.slope)
        kernel = weight.shape[-1]
        length = tile_length(x.shape[-1], kernel)
        if length not in self._kept:
            self._kept[length] = response(weight, length)
        y = tiled_convolution(x, self._kept[length], kernel, bias)
        return F.leaky_relu_(y, self.slope)

    def train(self, mode: bool = True) -> CausalBlock:
        """Change the mode; training moves the norm's statistics, so nothing is kept over it."""
        self._kept, self._state = {}, ()
        return super().train(mode)

    def _folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with the norm in them, kept until one of their parts changes."""
        parts = (
            self.weight,
            self.bias,
            self.norm.weight,
            self.norm.bias,
            self.norm.running_mean,
            self.norm.running_var,
        )
        state = tuple(number for part in parts for number in (part.data_ptr(), part._version))
        if torch.is_grad_enabled() or state != self._state:
            gain = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()
            weight = self.weight * gain[:, None, None]
            bias = (self.bias - self.norm.running_mean) * gain + self.norm.bias
            if torch.is_grad_enabled():
                return weight, bias
            self._state, self._kept = state, {"weight": weight, "bias": bias}
        return self._kept["weight"], self._kept["bias"]


class BlindSpotUNet(nn.Module):
    """The blind-spot denoiser.

    Args:
        channels: of the coarse levels, and so of every layer that is read out.
        depth: encoder layers; there are depth - 1 poolings between them.
        kernel: taps of every convolution.
        stem: channels at full resolution, doubled every second level until `channels` is
            reached, so that all levels cost about the same; `channels` if not given.
        hidden: widths of the 1x1 convolutions that join the halves.
        error_input: whether the error is an input channel beside the flux.
        slope: of the leaky ReLU.
    """

    @configured
    def __init__(
        self,
        channels: int = 48,
        depth: int = 9,
        kernel: int = 25,
        stem: int | None = None,
        hidden: tuple[int, ...] = (192, 96, 48),
        error_input: bool = True,
        slope: float = 0.1,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth: found {depth}, expected at least 2")
        first = channels if stem is None else stem
        widths = [min(channels, first * round(2 ** (level / 2))) for level in range(depth - 1)]
        widths[-1] = channels
        inputs = 2 if error_input else 1
        into = [inputs, *widths]
        self.kernel = kernel
        self.encoder = nn.ModuleList(
            CausalBlock(into[level], width, kernel, slope)
            for level, width in enumerate([*widths, channels])
        )
        # Decoder blocks from coarse to fine: the first joins what comes from below with
        # the encoder layer of its level, the second refines.
        below = [channels, *widths[:0:-1]]
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                [
                    CausalBlock(deep + width, width, kernel, slope),
                    CausalBlock(width, width, kernel, slope),
                ]
            )
            for deep, width in zip(below, widths[::-1], strict=True)
        )
        sizes = [2 * widths[0], *hidden, 2]
        self.join = nn.ModuleList(
            nn.Linear(size, after) for size, after in zip(sizes, sizes[1:], strict=False)
        )
        self.slope = slope
        self.channels = channels
        self.error_input = error_input
        self.block = 2 ** (depth - 1)

    def forward(self, flux: Tensor, error: Tensor) -> Prediction:
        """Predict every pixel from all the others.

        Args:
            flux: (batch, pixels), over its median; any number of pixels.
            error: (batch, pixels), 1 sigma, the same unit.

        Returns:
            mean and spread, (batch, pixels) each.
        """
        tiled = self._tiled(flux)
        if tiled and len(flux) > TOGETHER:
            pairs = zip(flux.split(TOGETHER), error.split(TOGETHER), strict=True)
            parts = [self(*pair) for pair in pairs]
            return Prediction(*(torch.cat(each) for each in zip(*parts, strict=True)))
        pixels = flux.shape[-1]
        *skips, last = self._encode(self._halves(flux, error), tiled)
        x = last
        for (first, second), skip in zip(self.decoder, skips[::-1], strict=True):
            x = first(torch.cat([self._lift(x), skip], dim=1), tiled)  # (2B, C, 1, P / 2^l)
            x = second(x, tiled)
        left, right = F.pad(x, (1, 0))[..., :-1].chunk(2)
        x = torch.cat([left, right.flip(-1)], dim=1)[..., :pixels]  # (B, 2C, 1, P)
        *hidden, final = self.join
        for layer in hidden:
            x = F.leaky_relu(_pointwise(layer, x), self.slope)
        x = _pointwise(final, x)[:, :, 0].to(flux.dtype)  # bf16 has steps of .004 near 1
        mean, spread = x.unbind(1)
        return Prediction(1.0 + mean, SPREAD_SCALE * F.softplus(spread) + SPREAD_FLOOR)

    def denoise(self, flux: Tensor, error: Tensor, noise_level: float = 1.0) -> Prediction:
        """Clean flux from all pixels, the measured one included.

        Args:
            flux: (batch, pixels), over its median.
            error: (batch, pixels), 1 sigma at noise level 1.
            noise_level: the noise in `flux` in units of `error`.

        Returns:
            mean and spread of the clean flux, (batch, pixels) each.
        """
        return gaussian_product(self(flux, error), flux, noise_level * error)

    def layers(self, flux: Tensor, error: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Layers of the network, both halves aligned in wavelength and averaged.

        Only the encoder runs; the position j of a layer stands for the pixels
        j r ... (j + 1) r - 1 with r the ratio of the resolutions.

        Args:
            flux: (batch, pixels), over its median.
            error: (batch, pixels), 1 sigma, the same unit.
            names: of `LAYERS`.

        Returns:
            name -> (batch, channels, positions).
        """
        names, tiled = list(names), self._tiled(flux)
        if tiled and len(flux) > TOGETHER:
            pairs = zip(flux.split(TOGETHER), error.split(TOGETHER), strict=True)
            parts = [self.layers(*pair, names) for pair in pairs]
            return {name: torch.cat([part[name] for part in parts]) for name in names}
        pixels = flux.shape[-1]
        *skips, last = self._encode(self._halves(flux, error), tiled)
        found: dict[str, Tensor] = {}
        for name in names:
            if name == "enc_pre_latent":
                layer, ratio = self._pool(skips[-1]), self.block
            elif name == "enc_last":
                layer, ratio = last, self.block
            elif name == "dec_input":
                layer, ratio = self._lift(last), self.block // 2
            else:
                raise ValueError(f"layer: found {name}, expected one of {', '.join(LAYERS)}")
            left, right = layer.chunk(2)
            averaged = (left + right.flip(-1))[:, :, 0] / 2
            found[name] = averaged[..., : -(-pixels // ratio)]
        return found

    def _tiled(self, flux: Tensor) -> bool:
        """Whether tiles in Fourier space are the faster form here."""
        plain = flux.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        on_processor = flux.device.type == "cpu" and not torch.is_grad_enabled()
        return self.kernel >= LONG and plain and on_processor and not self.training

    def _halves(self, flux: Tensor, error: Tensor) -> Tensor:
        """(2 batch, inputs, 1, padded pixels): the spectra, then their mirror images."""
        inputs = [flux - 1.0, error] if self.error_input else [flux - 1.0]
        x = torch.stack(inputs, dim=1).unsqueeze(2)  # (B, 2, 1, P)
        x = F.pad(x, (0, -x.shape[-1] % self.block))
        return torch.cat([x, x.flip(-1)])

    def _encode(self, x: Tensor, tiled: bool) -> list[Tensor]:
        """Outputs of all encoder layers, fine to coarse."""
        order = torch.contiguous_format if tiled else torch.channels_last
        x = x.contiguous(memory_format=order)
        outputs = []
        for level, block in enumerate(self.encoder):
            x = block(self._pool(x) if level else x, tiled)  # (2B, C, 1, P / 2^l)
            outputs.append(x)
        return outputs

    @staticmethod
    def _pool(x: Tensor) -> Tensor:
        if x.stride(-1) == 1:
            return F.max_pool1d(x[:, :, 0], 2).unsqueeze(2)
        return F.max_pool2d(x, (1, 2))

    @staticmethod
    def _lift(x: Tensor) -> Tensor:
        """Nearest upsampling, moved on by one position so that it stays causal."""
        return F.pad(F.interpolate(x, scale_factor=(1, 2)), (1, 0))[..., :-1]


def _pointwise(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer over the channels of (batch, channels, 1, positions), in either order."""
    if x.stride(-1) == 1:
        return F.conv1d(x[:, :, 0], layer.weight[..., None], layer.bias).unsqueeze(2)
    return F.conv2d(x, layer.weight[..., None, None], layer.bias)
