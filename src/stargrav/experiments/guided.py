"""Programme `diffusion`: a model of clean spectra, guided by what was measured.

It never saw noise: the likelihood is put in when it is asked, and with it the error of each pixel,
whatever it is. The conditional model has learnt from pairs, at the errors that those had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from stargrav.diffusion import guidance
from stargrav.diffusion.sample import Sampler
from stargrav.diffusion.schedule import STEPS
from stargrav.experiments.denoisers import (
    Compared,
    Stars,
    Steps,
    asked,
    clean,
    compared,
    guided_means,
    measured,
    prior,
)
from stargrav.experiments.spec import Count, experiment, more_than
from stargrav.experiments.table import Table
from stargrav.inference import diffused

Strengths = tuple[Annotated[float, Field(gt=0)], ...]
Means = Callable[[diffused.Guide, tuple[np.ndarray, np.ndarray], int], np.ndarray]


@experiment(
    plan="diffusion 1.1",
    claim="Guided by the exact form, a model that never saw noise reads log g with less bias "
    "and less shrinkage than one that was told the noisy spectrum",
    accept=[
        more_than(
            "max(bias_log_g[ddpm,all], -bias_log_g[ddpm,all])"
            " - max(bias_log_g[matched,all], -bias_log_g[matched,all])",
            0.0,
        ),
        more_than("slope_log_g[matched,all] - slope_log_g[ddpm,all]", 0.0),
    ],
    needs=("dataset", "denoiser@prior", "denoiser@conditional"),
    figures=("denoised", "snr_thirds"),
)
def dps(
    stars: Count = 1000,
    draws: Count = 8,
    steps: Steps = 25,
    iterations: Count = 10,
    strengths: Annotated[Strengths, Field(min_length=1)] = (0.3, 1.0, 3.0),
    dps_steps: Steps = 1000,
    chosen_on: Count = 128,
    train: Count = 16_000,
) -> Table:
    """The conditional model (`ddpm`) beside three ways to guide the other one.

    See `diffusion.guidance`: `product` takes pixels to be independent given x_t, `matched` gives
    them the covariance that they have in the normal distribution of the spectra, since the
    network's own derivative is no covariance where noise is large. `dps` has the strength with the
    least mean square error on valid stars, the first `chosen_on`; no other is tried on test stars.
    """
    chosen, network = Stars(stars, train), prior()
    means = partial(guided_means, network, draws)
    missed = _missed(chosen, means, strengths, dps_steps, chosen_on)
    best = min(missed, key=missed.__getitem__)
    spread = network.prior.pixel_variance
    product = partial(guidance.GaussianProduct, variance=spread)
    others = Compared(chosen, draws, steps)
    makers = {
        **{name: others.denoisers[name] for name in ("noisy", "ddpm")},
        "dps": lambda: means(followed(best), chosen.measured, dps_steps),
        "product": lambda: means(asked(product), chosen.measured, steps),
        "matched": lambda: others.matched(*chosen.measured, iterations),
    }
    tried = {f"valid_mse_{strength:g}": value for strength, value in missed.items()}
    return compared(makers, chosen, {"dps": {"strength": best, **tried}})


def followed(strength: float) -> diffused.Guide:
    """A guide that changes the steps that the sampler takes: DPS."""
    return lambda denoiser, y, error: (
        denoiser,
        Sampler(guidance.dps(y, error, strength), "even", STEPS),
    )


def _missed(
    stars: Stars, means: Means, strengths: Strengths, steps: int, count: int
) -> Mapping[float, float]:
    """Mean square error of the first valid stars by strength, in units of the noise's variance.

    A strength that leads out of all bounds is worse than any other.
    """
    part = stars.parts.valid
    part = part.take(np.arange(min(count, len(part))))
    true, seen = clean(part, stars.pixels), measured(part, stars.pixels)
    found = {}
    for strength in strengths:
        missed = np.square(means(followed(strength), seen, steps) - true, dtype=float).mean()
        ratio = missed / np.square(seen[1], dtype=float).mean()
        found[strength] = float(ratio) if np.isfinite(ratio) else np.inf
    return found
