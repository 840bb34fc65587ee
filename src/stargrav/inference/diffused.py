"""Spectra drawn by a stored diffusion model: out of nothing, or given what was measured.

A conditional model is told what was measured (`posterior_draws`), an unconditional one is guided
by it (`guided_draws`).

E[clean | measured] needs no draws: at t = 1 next to nothing is left of the spectrum, and what the
denoiser answers there is the mean over all of them (`at_once`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from stargrav.diffusion.condition import condition, posterior
from stargrav.diffusion.denoise import Denoiser, NetworkDenoiser
from stargrav.diffusion.sample import SAMPLERS, Sampler, sample
from stargrav.diffusion.schedule import SCHEDULES, LinearBeta
from stargrav.models.gaussian import SpectrumGaussian, SpectrumPosterior
from stargrav.models.unet1d import UNet1d

BATCH = 64
ONCE = Sampler(SAMPLERS["ddim"].run, "even", 1)

Start = SpectrumGaussian | SpectrumPosterior
Asked = tuple[Denoiser, Sampler, Start]
Guide = Callable[[Denoiser, Tensor, Tensor], tuple[Denoiser, Sampler]]


def drawn(
    network: UNet1d,
    count: int,
    seed: int,
    sampler: str = "dpm_solver",
    steps: int | None = None,
    device: torch.device | str = "cpu",
    schedule: str = "linear",
) -> np.ndarray:
    """Spectra of an unconditional model.

    Args:
        network: trained.
        count: of the spectra.
        seed: of their noise.
        sampler: of `SAMPLERS`.
        steps: the sampler's own number if None.
        device: where the network runs.
        schedule: of `SCHEDULES`; that of its training need not be.

    Returns:
        (count, pixels) flux, float32.
    """
    network, generator = network.to(device).eval(), torch.Generator(device).manual_seed(seed)
    denoiser, found = NetworkDenoiser(network, SCHEDULES[schedule]()), []
    for start in range(0, count, BATCH):
        shape = min(BATCH, count - start), network.config["pixels"]
        x = sample(denoiser, shape, SAMPLERS[sampler], generator, steps, network.prior)
        found.append(network.prior.flux(x).cpu().numpy())
    return np.concatenate(found)


def gaussian(network: UNet1d, count: int, seed: int) -> np.ndarray:
    """(count, pixels) flux drawn from the normal distribution that the network starts from."""
    generator = torch.Generator(network.prior.axes.device).manual_seed(seed)
    return network.prior.flux(network.prior.draw(count, generator)).cpu().numpy()


def gaussian_mean(network: UNet1d, noisy: np.ndarray, error: np.ndarray) -> np.ndarray:
    """E[clean | measured] (n, pixels) by that normal distribution alone.

    Args:
        network: trained; only what it starts from is asked.
        noisy: (n, pixels) flux.
        error: (n, pixels), positive.
    """
    prior, found = network.prior, []
    for start in range(0, len(noisy), BATCH):
        rows, where = slice(start, start + BATCH), prior.axes.device
        y, sigma = (torch.tensor(values[rows], device=where) for values in (noisy, error))
        mean = prior.given(prior.standardise(y), sigma / prior.scale).mean
        found.append(prior.flux(mean).cpu().numpy())
    return np.concatenate(found)


def posterior_draws(
    network: UNet1d,
    told: Sequence[str],
    noisy: np.ndarray,
    error: np.ndarray,
    draws: int,
    seed: int,
    sampler: Sampler = SAMPLERS["dpm_solver"],
    steps: int | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Clean spectra of stars as a conditional model draws them.

    Args:
        network: trained.
        told: its conditions (see `diffusion.condition`).
        noisy: (n, pixels) flux.
        error: (n, pixels), positive.
        draws: for each star.
        seed: of their noise.
        sampler: of `SAMPLERS`, or another.
        steps: the sampler's own number if None.
        device: where the network runs.

    Returns:
        (n, draws, pixels) flux, float32.
    """

    def ask(batch: Mapping[str, Tensor]) -> Asked:
        told_of = condition(told, batch, network.prior)
        known = posterior(network, batch)
        denoiser = NetworkDenoiser(network, LinearBeta(), told_of, known)
        return denoiser, sampler, known or network.prior  # one that is not told the error

    return _draws(network, ask, noisy, error, draws, seed, steps, device)


def guided_draws(
    network: UNet1d,
    guide: Guide,
    noisy: np.ndarray,
    error: np.ndarray,
    draws: int,
    seed: int,
    steps: int | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Clean spectra of stars as an unconditional model draws them where it is guided.

    Args:
        network: trained.
        guide: called with the network's denoiser, what was measured and its error, each
            (batch, pixels) and standardised as clean spectra are; gives the denoiser that is
            asked, and the sampler that asks it (see `diffusion.guidance`).
        noisy: (n, pixels) flux.
        error: (n, pixels), positive.
        draws: for each star, as seed, steps and device are those of `posterior_draws`.

    Returns:
        (n, draws, pixels) flux, float32.
    """

    def ask(batch: Mapping[str, Tensor]) -> Asked:
        denoiser, prior = NetworkDenoiser(network, LinearBeta()), network.prior
        seen = prior.standardise(batch["noisy"]), batch["error"] / prior.scale
        return *guide(denoiser, *seen), prior.given(*seen)

    return _draws(network, ask, noisy, error, draws, seed, steps, device)


def at_once(
    network: UNet1d,
    told: Sequence[str],
    noisy: np.ndarray,
    error: np.ndarray,
    seed: int,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """E[clean | measured] (n, pixels) by asking the network once; arguments as above."""
    return posterior_draws(network, told, noisy, error, 1, seed, ONCE, device=device)[:, 0]


def _draws(
    network: UNet1d,
    ask: Callable[[Mapping[str, Tensor]], Asked],
    noisy: np.ndarray,
    error: np.ndarray,
    draws: int,
    seed: int,
    steps: int | None,
    device: torch.device | str,
) -> np.ndarray:
    """Draws of stars, batch by batch; `ask` says who draws those of a batch, and from where."""
    network, generator = network.to(device).eval(), torch.Generator(device).manual_seed(seed)
    found = np.empty((len(noisy), draws, noisy.shape[1]), dtype=np.float32)
    for start in range(0, len(noisy), BATCH):
        rows = slice(start, start + BATCH)
        seen = {"noisy": noisy[rows], "error": error[rows]}
        batch = {name: torch.tensor(values, device=device) for name, values in seen.items()}
        denoiser, sampler, start = ask(batch)
        for draw in range(draws):
            x = sample(denoiser, batch["noisy"].shape, sampler, generator, steps, start)
            found[rows, draw] = network.prior.flux(x).cpu().numpy()
    return found
