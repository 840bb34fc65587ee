"""Training of a diffusion model: one network for all noise levels, and the average of its weights.

Samples are drawn by the exponential average of the weights (Ho et al. 2020, arXiv:2006.11239,
appendix B), which follows the first steps closely and then forgets ever more slowly, up to its
decay. Network and average are one module, so that both are kept and resumed, and the best epoch is
that of the average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stargrav.diffusion.condition import condition, posterior
from stargrav.diffusion.denoise import NetworkDenoiser, prediction_loss
from stargrav.diffusion.sample import SAMPLERS, sample
from stargrav.diffusion.schedule import STEPS, LinearBeta, Schedule
from stargrav.models.unet1d import UNet1d
from stargrav.training.batches import Batches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import Batch, Task

VALID_SEED = 1
WATCHED = 16  # samples
Watch = Callable[[int, Tensor], None]


class Averaged(nn.Module):
    """A network beside the exponential average of its weights.

    Args:
        network: to be trained.
        decay: of the average, per step, once there have been many.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__()

        def mix(averages: list[Tensor], weights: list[Tensor], steps: Tensor | int) -> None:
            keep = min(decay, (1 + int(steps)) / (10 + int(steps)))
            for average, weight in zip(averages, weights, strict=True):
                average.lerp_(weight, 1 - keep)

        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=mix)
        self.average.module.requires_grad_(False)

    def update(self) -> None:
        """Move the average on by one step of training."""
        self.average.update_parameters(self.network)


class DiffusionTask(Task):
    """Training on the clean spectra of batches, or on those given their noisy ones.

    Times are drawn from 1 / `STEPS` ... 1. Those of validation, and its noise, are the same in
    each pass.

    Args:
        network: standardised already.
        schedule: of the noise.
        told: conditions of the network (see `diffusion.condition`).
        learning_rate: of AdamW.
        decay: see `Averaged`.
        watch: called with the epoch (from 1) and samples of it, after every `every`-th epoch.
        every: see `watch`.
    """

    model: Averaged

    def __init__(
        self,
        network: UNet1d,
        schedule: Schedule | None = None,
        told: Sequence[str] = (),
        learning_rate: float = 2e-4,
        decay: float = 0.999,
        watch: Watch | None = None,
        every: int = 10,
    ) -> None:
        super().__init__(Averaged(network, decay), learning_rate)
        self.schedule = schedule or LinearBeta()
        self.told = tuple(told)
        self.watch = watch
        self.every = every
        self._first: Batch = {}

    def loss(self, batch: Batch) -> Tensor:
        """Mean square error of the prediction in training; times and noise are drawn anew."""
        return self._loss(self.model.network, batch, None)

    def on_train_batch_end(self, *_: object) -> None:
        """The average follows the step."""
        self.model.update()

    def validation_step(self, batch: Batch, number: int) -> None:
        """Loss of the average on a validation batch."""
        generator = torch.Generator(self.device).manual_seed(VALID_SEED + number)
        loss = self._loss(self.model.average.module, batch, generator)
        self.log("valid_loss", loss, on_epoch=True, batch_size=len(batch["flux"]))
        if number == 0:
            self._first = batch

    def on_validation_epoch_end(self) -> None:
        """Samples, every so often."""
        # Lightning counts its epochs anew when a training is resumed
        epoch = int(self.model.average.n_averaged) // self.trainer.num_training_batches
        if self.watch is None or epoch % self.every:
            return
        self.watch(
            epoch, watched(self.model.average.module, self._first, self.told, self.schedule)
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, of the network and not of its average."""
        return torch.optim.AdamW(self.model.network.parameters(), lr=self.learning_rate)

    def _loss(self, network: UNet1d, batch: Batch, generator: torch.Generator | None) -> Tensor:
        x = network.prior.standardise(batch["flux"])
        drawn = {"generator": generator, "device": x.device}
        t = torch.randint(1, STEPS + 1, (len(x),), **drawn).to(x.dtype) / STEPS
        noise = torch.randn(x.shape, **drawn)
        told = condition(self.told, batch, network.prior)
        known = posterior(network, batch)
        return prediction_loss(network, x, t, noise, self.schedule, told, known)


@torch.inference_mode()
def watched(
    network: UNet1d, batch: Batch, told: Sequence[str] = (), schedule: Schedule | None = None
) -> Tensor:
    """Samples of a network, the same in each call: a generator of their own draws their noise.

    Args:
        network: in eval mode.
        batch: of validation stars, of the first 16 of which a conditional model samples spectra.
        told: conditions of the network.
        schedule: of the noise.

    Returns:
        (16, pixels) flux, on the processor.
    """
    stars = {name: values[:WATCHED] for name, values in batch.items()}
    given = condition(told, stars, network.prior)
    count = WATCHED if given is None else len(given)
    place = next(network.parameters()).device
    generator = torch.Generator(place).manual_seed(VALID_SEED)
    known = posterior(network, stars)
    denoiser = NetworkDenoiser(network, schedule or LinearBeta(), given, known)
    shape = (count, network.config["pixels"])
    found = sample(denoiser, shape, SAMPLERS["dpm_solver"], generator, prior=network.prior)
    return network.prior.flux(found).cpu()


def train_diffusion(
    train: Batches,
    valid: Batches,
    clean: Tensor,
    sizes: Mapping[str, Any],
    plan: Plan,
    told: Sequence[str] = (),
    schedule: Schedule | None = None,
    learning_rate: float = 2e-4,
    decay: float = 0.999,
    watch: Watch | None = None,
    every: int = 10,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[UNet1d, pd.DataFrame]:
    """Build and train the network of a diffusion model.

    Args:
        train: batches of flux and, for a conditional model, noisy and error (n, pixels).
        valid: the same with fixed noise.
        clean: (n, pixels) flux of training spectra, which standardisation and prior are fitted to.
        sizes: arguments of `UNet1d`; pixels and condition follow from the others.
        plan: of the training.
        told: see `DiffusionTask`, as schedule, learning_rate, decay and every.
        watch: see `DiffusionTask`; in the end it is called for the network that is kept, with the
            epoch that this is from.
        folder: where training is kept and resumed from.
        identity: see `fit`; sizes, conditions, rate and decay are added to it.

    Returns:
        the average of the network, in eval mode, and its history (see `fit`).
    """
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        seen = len(told) + (sizes.get("prediction") == "posterior_residual")
        network = UNet1d(pixels=clean.shape[1], condition=seen, **sizes)
        network.prior.fit(clean, plan.seed)
    schedule = schedule or LinearBeta()
    task = DiffusionTask(network, schedule, told, learning_rate, decay, watch, every)
    settings = {
        "sizes": network.config,
        "told": tuple(told),
        "schedule": schedule,
        "learning_rate": learning_rate,
        "decay": decay,
    }
    history = fit(task, train, valid, plan, folder, {**(identity or {}), **settings})
    network = task.model.average.module
    if watch is not None:
        first = {name: values.cpu() for name, values in next(iter(valid)).items()}
        kept = int(history["epoch"][history["valid_loss"].idxmin()])
        watch(kept, watched(network, first, told, schedule))
    return network, history
