"""Training of networks from noisy spectra to labels, with noise drawn anew in each pass.

A network may start from one that has learnt to fill in what is hidden of a spectrum (masked
pretraining, He et al. 2022, arXiv:2111.06377; Xie et al. 2022, arXiv:2111.09886): a share of the
tokens is replaced by one that tells nothing, and what the network was shown of their pixels is
to be told from the others, by the mean absolute error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stargrav import models
from stargrav.data.loader import NoisySpectra
from stargrav.labels import LABELS
from stargrav.models.spectral import SpectralViT
from stargrav.training.batches import TensorBatches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.tasks import Batch, RegressionTask, Task

VALID_BATCH = 256
MEASURED = 4096  # training spectra that means and deviations are taken of


def plan_of(training: Mapping[str, Any], seed: int, accelerator: str, progress: str) -> Plan:
    """How a network is trained, from the settings of the stage `vit` as it stored them."""
    told = ("epochs", "warmup", "clip", "patience", "precision")
    return Plan(
        **{name: training[name] for name in told},
        schedule="cosine",
        monitor="valid_r2",
        accelerator=accelerator,
        seed=seed,
        progress=progress,
    )


class Labelled:
    """Batches x (b, 2 pixels) of noisy flux and error, and y (b, k) of labels.

    Args:
        spectra: batches of spectra with noise.
        labels: their names.
    """

    def __init__(self, spectra: NoisySpectra, labels: Sequence[str]) -> None:
        self.spectra = spectra
        self.generator, self.share = spectra.generator, spectra.share
        self.columns = [LABELS.index(name) for name in labels]

    def __len__(self) -> int:
        return len(self.spectra)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.spectra:
            seen = torch.cat([batch["noisy"], batch["error"]], dim=1)
            yield {"x": seen, "y": batch["labels"][:, self.columns]}


class AnswerTask(RegressionTask):
    """Training of a `SpectralViT` by the loss of its answer; `valid_r2` is of the judged label."""

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch."""
        return self.model.loss(self.model.raw(batch["x"]), batch["y"])

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss of a validation batch; keeps what R2 is made of."""
        raw = self.model.raw(batch["x"])
        loss = self.model.loss(raw, batch["y"])
        self.log("valid_loss", loss, on_epoch=True, batch_size=len(raw))
        self._found.append((self.model.read(raw)[:, :1], batch["y"][:, :1]))


class Reconstructor(nn.Module):
    """A network and a linear layer that tells a token's pixels from what has become of it.

    Args:
        network: whose tokens are of one length.
        share: of the tokens that are hidden.
    """

    def __init__(self, network: SpectralViT, share: float) -> None:
        super().__init__()
        self.network, self.share = network, share
        (self.patch,) = network.vit.patches
        channels = len(network.channels.names)
        self.tells = nn.Linear(network.vit.head.in_features, channels * self.patch)

    def forward(self, x: Tensor) -> Tensor:
        """Spectra (b, 2 pixels) -> mean absolute error of the hidden pixels, scalar."""
        shown = self.network.shown(x)  # (B, C, p)
        whole = shown.shape[-1] // self.patch
        patches = shown[..., : whole * self.patch].unflatten(-1, (whole, self.patch))
        truth = patches.transpose(1, 2).flatten(2)  # (B, T, C patch)
        hidden = self._hidden(len(x), whole, x.device)
        told = self.tells(self.network.vit.encode(shown, hidden)[:, 1:])
        return (told - truth).abs()[hidden].mean()

    def _hidden(self, batch: int, tokens: int, device: torch.device) -> Tensor:
        """(batch, tokens), the same number of each spectrum; the same ones when validating."""
        count = max(1, round(self.share * tokens))
        generator = None if self.training else torch.Generator(device).manual_seed(0)
        order = torch.rand(batch, tokens, device=device, generator=generator).argsort(dim=1)
        return order < count


class ReconstructionTask(Task):
    """Training of a `Reconstructor`.

    Args:
        model: the network.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
    """

    def __init__(self, model: Reconstructor, learning_rate: float, weight_decay: float) -> None:
        super().__init__(model, learning_rate)
        self.weight_decay = weight_decay

    def loss(self, batch: Batch) -> Tensor:
        """Mean absolute error of the hidden pixels, in units of their deviation."""
        return self.model(batch["x"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(
            self.model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )


def train_spectral(
    sizes: Mapping[str, Any],
    train: NoisySpectra,
    valid: tuple[np.ndarray, np.ndarray],
    plan: Plan,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-2,
    denoiser: nn.Module | None = None,
    pretraining: tuple[float, Plan] | None = None,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> tuple[SpectralViT, pd.DataFrame]:
    """Build and train a network from spectra to labels.

    Args:
        sizes: arguments of `SpectralViT` but for inputs.
        train: training spectra with noise drawn anew in each pass.
        valid: (m, 2 pixels) noisy flux and error, and (m, k) labels in their units.
        plan: of the training.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        denoiser: trained, to stand in front.
        pretraining: share of tokens hidden, and plan, of a masked pretraining before it.
        folder: where training is kept and resumed from.
        identity: see `training.fit.fit`; the settings of the network are added to it.

    Returns:
        the network with its best weights, and its history (see `fit`).
    """
    x, y = (torch.tensor(np.asarray(values, dtype=np.float32)) for values in valid)
    if denoiser is not None:
        sizes = {**sizes, "denoiser": denoiser.config}
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        model = models.build("spectral_vit", inputs=x.shape[1], **sizes)
        if denoiser is not None:
            model.denoiser.load_state_dict(denoiser.state_dict())
        pretrained = None if pretraining is None else Reconstructor(model, pretraining[0])
    batches = Labelled(train, model.labels)
    model.standardise(*_sample(batches))
    checks = TensorBatches({"x": x, "y": y.reshape(len(y), -1)}, VALID_BATCH)
    known = {
        **(identity or {}),
        **model.config,
        "stars": len(train.rows),
        "batch_size": train.batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "pretraining": repr(pretraining),
    }
    if pretrained is not None:
        task = ReconstructionTask(pretrained, learning_rate, weight_decay)
        before = None if folder is None else folder / "pretraining"
        fit(task, batches, checks, pretraining[1], before, known)
        model.train()
    task = AnswerTask(model, learning_rate, weight_decay)
    return model, fit(task, batches, checks, plan, folder, known)


def _sample(batches: Labelled) -> tuple[Tensor, Tensor]:
    """The first training spectra of a pass, with labels."""
    batches.generator.manual_seed(0)
    x, y, seen = [], [], 0
    for batch in batches:
        x.append(batch["x"].cpu())
        y.append(batch["y"].cpu())
        seen += len(batch["x"])
        if seen >= MEASURED:
            break
    return torch.cat(x), torch.cat(y)
