"""A thousand ancestral steps against the second-order sampler: seconds, and what they sample.

    python bench/diffusion_samplers.py [--spectra 8] [--pixels 1024] [--channels 32 64 128 256]
    python bench/diffusion_samplers.py --model artifacts/denoisers/prior --spectra 300

The first asks a network of random weights: a sampler's time does not depend on what the network
has learnt. The second asks a trained one, whose samples of both kinds are then compared by the
two-sample tests of `ddpm` (energy distance, classifier), in principal components that hold nearly
all of them; beside it two sets by the ancestral steps, of one distribution. On a normal
distribution the same is shown by `tests/diffusion/test_sample.py`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from stargrav import models
from stargrav.diffusion.sample import SAMPLERS
from stargrav.inference.diffused import drawn
from stargrav.metrics.two_sample import classifier_test, energy_test
from stargrav.models.unet1d import UNet1d

ASKED = 15  # times as fast
COMPONENTS = 20


def timed(network: UNet1d, count: int, sampler: str, steps: int, seed: int, device: str) -> tuple:
    """Samples, and seconds: of the processor where it does the work, so that other work does not
    count."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    found = drawn(network, count, seed, sampler, steps, device)  # on the processor in the end
    assert np.isfinite(found).all()
    return found, clock() - start


def main() -> None:
    """Time both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a trained prior, with its sizes")
    parser.add_argument("--spectra", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=1024)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--steps", type=int, default=SAMPLERS["dpm_solver"].steps)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.model:
        network = models.load(given.model)
    else:
        network = UNet1d(given.pixels, channels=given.channels, prediction="v")
    settings, count = network.config, given.spectra
    many = SAMPLERS["ancestral"].steps
    timed(network, 2, "dpm_solver", 2, 0, given.device)  # what is done once
    fast, fast_seconds = timed(network, count, "dpm_solver", given.steps, 1, given.device)
    slow, slow_seconds = timed(network, count, "ancestral", many, 2, given.device)
    print(
        f"{count} spectra of {settings['pixels']} pixels, channels {list(settings['channels'])}, "
        f"{given.device}: ancestral, {many} steps {slow_seconds:.2f} s; second order, "
        f"{given.steps} steps {fast_seconds:.2f} s; ratio {slow_seconds / fast_seconds:.1f} "
        f"({ASKED} asked)"
    )
    if given.model is None:
        return
    again, _ = timed(network, count, "ancestral", many, 3, given.device)
    others, _ = timed(network, 4 * count, "dpm_solver", given.steps, 4, given.device)
    axes = PCA(COMPONENTS, whiten=True, random_state=0).fit(others)  # of none that are compared
    share = axes.explained_variance_ratio_.sum()
    print(f"{COMPONENTS} components, {share:.4f} of the variance of further samples")
    for name, other in (("second order", fast), ("ancestral again", again)):
        x, y = axes.transform(other), axes.transform(slow)
        energy, told = energy_test(x, y, 0), classifier_test(x, y, 0)
        print(
            f"{name:16s}against ancestral: energy distance {energy.value:.4f}, p {energy.p:.3f}; "
            f"classifier right in {told.value:.3f}, p {told.p:.3f}"
        )


if __name__ == "__main__":
    main()
