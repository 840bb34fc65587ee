"""Time of a thousand ancestral steps against that of the second-order sampler.

    python bench/diffusion_samplers.py [--spectra 8] [--pixels 1024] [--channels 32 64 128 256]
                                       [--steps 50] [--device cpu]

Both ask the same network, of random weights: a sampler's time does not depend on what the network
has learnt. That both samples are equally good is shown on a normal distribution by
`tests/diffusion/test_sample.py`, with the same two-sample test.
"""

from __future__ import annotations

import argparse
import time

import torch

from stargrav.diffusion.denoise import NetworkDenoiser
from stargrav.diffusion.sample import SAMPLERS, sample
from stargrav.diffusion.schedule import LinearBeta
from stargrav.models.unet1d import UNet1d

ASKED = 15  # times as fast


def seconds(denoiser: NetworkDenoiser, shape: tuple[int, int], name: str, steps: int) -> float:
    """Seconds of one batch of samples; of the processor where it does the work, so that other
    work does not count."""
    device = denoiser.network.place.device
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    generator = torch.Generator(device).manual_seed(0)
    start = clock()
    found = sample(denoiser, shape, SAMPLERS[name], generator, steps)
    assert bool(found.isfinite().all())  # waits for an accelerator, too
    return clock() - start


def main() -> None:
    """Time both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=1024)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--steps", type=int, default=SAMPLERS["dpm_solver"].steps)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    network = UNet1d(given.pixels, channels=given.channels, prediction="v").to(given.device).eval()
    denoiser = NetworkDenoiser(network, LinearBeta())
    shape = (given.spectra, given.pixels)
    seconds(denoiser, shape, "dpm_solver", 2)  # what is done once
    fast = seconds(denoiser, shape, "dpm_solver", given.steps)
    slow = seconds(denoiser, shape, "ancestral", SAMPLERS["ancestral"].steps)
    print(
        f"{given.spectra} spectra of {given.pixels} pixels, channels {given.channels}, "
        f"{given.device}: ancestral, {SAMPLERS['ancestral'].steps} steps {slow:.2f} s; "
        f"second order, {given.steps} steps {fast:.2f} s; ratio {slow / fast:.1f} "
        f"({ASKED} asked)"
    )


if __name__ == "__main__":
    main()
