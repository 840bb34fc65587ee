"""Speed of the teacher's forward pass against its plain form.

The plain form is the network as one writes it first: the mirrored spectra concatenated to the
batch, `Conv1d` with padding, batch norm, leaky ReLU, one after the other. Both have the same
weights; the script prints spectra per second of either, the largest difference of what they
predict, and the same for bfloat16 (per autocast), where the processor's own instructions decide
whether it is faster at all.

    python bench/blindspot_speed.py [--threads 2] [--batch 16] [--repeats 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargrav.models.blindspot import (
    LAYERS,
    SPREAD_FLOOR,
    SPREAD_SCALE,
    BlindSpotUNet,
    CausalBlock,
    Prediction,
)
from stargrav.models.pooling import pool

PIXELS = 4096


def plain_block(block: CausalBlock, x: Tensor) -> Tensor:
    """Convolution, batch norm, activation, each on its own; x is (batch, channels, positions)."""
    y = F.conv1d(F.pad(x, (block.weight.shape[-1] - 1, 0)), block.weight, block.bias)
    norm = block.norm
    y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return F.leaky_relu(y, block.slope)


def plain_lift(x: Tensor) -> Tensor:
    """Upsampled and moved on by one position."""
    return F.pad(F.interpolate(x, scale_factor=2), (1, 0))[..., :-1]


def plain_encode(model: BlindSpotUNet, flux: Tensor, error: Tensor) -> list[Tensor]:
    """Outputs of the encoder layers for the spectra, then their mirror images."""
    x = torch.stack([flux - 1.0, error] if model.error_input else [flux - 1.0], dim=1)
    x = F.pad(x, (0, -x.shape[-1] % model.block))
    x = torch.cat([x, x.flip(-1)])
    outputs = []
    for level, block in enumerate(model.encoder):
        x = plain_block(block, F.max_pool1d(x, 2) if level else x)
        outputs.append(x)
    return outputs


def plain_forward(model: BlindSpotUNet, flux: Tensor, error: Tensor) -> Prediction:
    """The network's prediction in plain form; the baseline of the speed."""
    *skips, x = plain_encode(model, flux, error)
    for (first, second), skip in zip(model.decoder, skips[::-1], strict=True):
        x = plain_block(first, torch.cat([plain_lift(x), skip], dim=1))
        x = plain_block(second, x)
    left, right = F.pad(x, (1, 0))[..., :-1].chunk(2)
    x = torch.cat([left, right.flip(-1)], dim=1)
    for number, layer in enumerate(model.join, start=1):
        x = F.conv1d(x, layer.weight[:, :, None], layer.bias)
        if number < len(model.join):
            x = F.leaky_relu(x, model.slope)
    mean, spread = x[..., : flux.shape[-1]].unbind(1)
    return Prediction(1.0 + mean, SPREAD_SCALE * F.softplus(spread) + SPREAD_FLOOR)


def plain_layers(model: BlindSpotUNet, flux: Tensor, error: Tensor) -> dict[str, Tensor]:
    """The layers that are read out, in plain form."""
    *skips, last = plain_encode(model, flux, error)
    found = dict(zip(LAYERS, (F.max_pool1d(skips[-1], 2), last, plain_lift(last)), strict=True))
    for name, layer in found.items():
        left, right = layer.chunk(2)
        ratio = model.block // (2 if name == "dec_input" else 1)
        found[name] = ((left + right.flip(-1)) / 2)[..., : -(-flux.shape[-1] // ratio)]
    return found


def example(batch: int, pixels: int = PIXELS) -> tuple[Tensor, Tensor]:
    """Flux and error of the size and scatter of real ones."""
    generator = torch.Generator().manual_seed(0)
    error = 0.15 * torch.rand(batch, pixels, generator=generator) + 0.05
    return 1.0 + error * torch.randn(batch, pixels, generator=generator), error


def network(**sizes: int) -> BlindSpotUNet:
    """A network whose batch norms have seen data, and whose prediction varies as flux does."""
    torch.manual_seed(0)
    model = BlindSpotUNet(**sizes).train()
    for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.momentum = None
    nn.init.normal_(model.join[-1].weight)
    with torch.no_grad():
        for _ in range(3):
            model(*example(4))
    return model.eval()


def fastest(forms: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Shortest time of each form [s], run in turns so that other load meets all of them."""
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(repeats + 1):
        for name, form in forms.items():
            start = time.perf_counter()
            form()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = network()
    flux, error = example(arguments.batch)

    def in_bfloat16(form: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return form()

        return run

    def fast() -> Prediction:
        return model(flux, error)

    def fast_layers() -> dict[str, Tensor]:
        return model.layers(flux, error, LAYERS)

    forms: dict[str, Callable[[], object]] = {
        "plain, float32": lambda: plain_forward(model, flux, error),
        "fast, float32": fast,
        "fast, bfloat16": in_bfloat16(fast),
        "plain layers, float32": lambda: plain_layers(model, flux, error),
        "fast layers, float32": fast_layers,
        "fast layers, bfloat16": in_bfloat16(fast_layers),
    }
    with torch.inference_mode():
        seconds = fastest(forms, arguments.repeats)
        there, here = plain_forward(model, flux, error), fast()
        layers, found = plain_layers(model, flux, error), fast_layers()
        reduced = in_bfloat16(fast_layers)()
    parameters = sum(values.numel() for values in model.parameters())
    print(f"{parameters:,} parameters, {arguments.threads} threads, batch {arguments.batch}")
    for name, value in seconds.items():
        base = seconds["plain layers, float32" if "layers" in name else "plain, float32"]
        print(f"{name:24s}{arguments.batch / value:9.1f} spectra/s {base / value:8.2f} x plain")
    prediction = max(float((a - b).abs().max()) for a, b in zip(there, here, strict=True))
    print(f"largest difference, float32: prediction {prediction:.1e}")
    for name in LAYERS:
        a, b, c = (pool(which[name].float(), "seg_mean_8") for which in (layers, found, reduced))
        print(
            f"{name:16s}largest difference of seg_mean_8: float32 {float((a - b).abs().max()):.1e}"
            f", bfloat16 {float((a - c).abs().max()):.1e}, deviation {float(a.std()):.2f}"
        )


if __name__ == "__main__":
    main()
