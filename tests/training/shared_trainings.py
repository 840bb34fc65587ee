"""What torchrun runs for test_shared_training.py: trainings, told of by each of two processes."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stargrav import ranks
from stargrav.data.loader import NoisySpectra
from stargrav.labels import LABELS
from stargrav.models.heads import MlpHead
from stargrav.spectrum import Spectra
from stargrav.training.batches import TensorBatches
from stargrav.training.fit import fit
from stargrav.training.plan import Plan
from stargrav.training.redrawn import FreshNoise
from stargrav.training.spectra import train_spectral
from stargrav.training.tasks import RegressionTask

SAME = ["epoch", "train_loss", "valid_loss", "valid_r2", "learning_rate"]
BATCH = 64


class Killed(Exception):
    pass


class Breaking(FreshNoise):
    """Batches that fail in the middle of an epoch."""

    left = 0

    def __iter__(self):
        self.left -= 1
        for number, batch in enumerate(super().__iter__()):
            if not self.left and number == 2:
                raise Killed
            yield batch


class Normed(MlpHead):
    """A head with a batch norm, whose statistics each process takes from its share."""

    def __init__(self) -> None:
        super().__init__(5, (16,), dropout=0.3)
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))


def data(n: int = 304) -> tuple[Tensor, Tensor]:
    """Features and labels that a line does not describe; n is no multiple of the batch."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 5))
    y = 3.0 + np.tanh(x[:, 0]) * x[:, 1] + 0.05 * rng.standard_normal(n)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()[:, None]


def linear(**changes) -> tuple[pd.DataFrame, nn.Module]:
    """Training in which nothing but the order is random."""
    torch.manual_seed(3)
    head = MlpHead(5, (), dropout=0.0)
    x, y = data()
    head.standardise(x, y)
    batches = TensorBatches({"x": x, "y": y}, BATCH, torch.Generator())
    checks = TensorBatches({"x": x[:100], "y": y[:100]}, 30)
    plan = Plan(5, monitor="valid_r2", accelerator="cpu", **changes)
    return fit(RegressionTask(head, 1e-2), batches, checks, plan), head


def transformer(noise_level: float = 0.0) -> tuple[pd.DataFrame, nn.Module]:
    """Training of the transformer, a part of which no loss of it sees, on spectra of one line."""
    rng = np.random.default_rng(0)
    stars = pd.DataFrame({name: rng.uniform(1, 5, 90) for name in LABELS})
    line = np.exp(-0.5 * ((np.arange(64) - 30) / 8) ** 2)
    flux = np.float32(1 - 0.15 * stars["log_g"].to_numpy()[:, None] * line)
    spectra = Spectra(np.arange(64.0), flux, np.full_like(flux, 0.05), stars)
    order = torch.Generator()
    batches = NoisySpectra(spectra, 16, noise_level, shuffle=True, generator=order)
    valid = np.hstack([flux, spectra.error])[:40], stars["log_g"].to_numpy()[:40]
    plan = Plan(3, monitor="valid_r2", accelerator="cpu", schedule="cosine", clip=1.0)
    sizes = {"patches": [16], "width": 16, "depth": 1, "heads": 2}
    network, history = train_spectral(sizes, batches, valid, plan, 3e-3)
    return history, network


def noisy(folder: Path, breaks_in: int = 0) -> tuple[pd.DataFrame, nn.Module]:
    """Training with all that is random, and all that shapes the steps."""
    torch.manual_seed(3 + ranks.rank())  # all begin with the weights of rank 0
    head = Normed()
    x, y = data()
    head.standardise(x, y)
    batches = Breaking(x, y[:, 0], 0.5, BATCH)
    batches.left = breaks_in
    checks = TensorBatches({"x": x[:100], "y": y[:100]}, 100)
    how = {"schedule": "cosine", "warmup": 0.2, "clip": 0.5, "precision": "bf16-mixed"}
    plan = Plan(5, monitor="valid_r2", accelerator="cpu", progress="noisy", **how)
    return fit(RegressionTask(head, 1e-2), batches, checks, plan, folder), head


def interrupted(folder: Path) -> tuple[pd.DataFrame, nn.Module]:
    """The same, killed twice."""
    for epoch in (1, 3):
        try:
            noisy(folder, epoch)
        except Killed:
            torch.rand(7)  # whatever else is drawn meanwhile
    return noisy(folder)


def main(out: Path) -> None:
    """All trainings, told by each process in a file of its own."""
    ranks.join()
    own = out / str(ranks.rank())
    own.mkdir()
    made = {
        "linear": linear(),
        "clipped": linear(clip=0.1),
        "transformer": transformer(),
        "transformer_noisy": transformer(1.0),
        "noisy": noisy(own / "whole"),
        "interrupted": interrupted(own / "killed"),
        "alone": ranks.by_first(linear),
    }
    told = {
        name: (history[SAME].to_numpy(), model.state_dict())
        for name, (history, model) in made.items()
    }
    torch.save(told, own / "told.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
