"""A reader: labels of clean spectra, learnt from their components with a little noise.

With that noise it reads nothing from what differs less than it, such as the small mistakes of
spectra that a model has drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA

from stargrav.data.splits import sampled_rows
from stargrav.labels import LABELS
from stargrav.models.features import components
from stargrav.models.heads import MlpHead
from stargrav.settings import Posteriors
from stargrav.spectrum import Spectra
from stargrav.training.head import train_network
from stargrav.training.plan import Plan
from stargrav.training.redrawn import FreshNoise

MOST = 1024  # spectra whose errors are averaged


@dataclass(frozen=True, eq=False)
class Reader:
    """Labels of clean spectra.

    Attributes:
        unit: (pixels,) usual error, in which the flux is measured.
        axes: principal components of that.
        head: from components to labels.
    """

    unit: np.ndarray
    axes: PCA
    head: MlpHead

    def __call__(self, flux: np.ndarray) -> np.ndarray:
        """Labels (n, k) of spectra (n, pixels)."""
        found = self.head.predict(self.axes.transform(flux / self.unit))
        return found.reshape(len(flux), -1)


def train_reader(
    train: Spectra,
    valid: Spectra,
    labels: tuple[str, ...],
    chosen: Posteriors,
    seed: int = 42,
    accelerator: str = "auto",
    folder: Path | None = None,
) -> Reader:
    """Learn to read.

    Args:
        train: clean spectra with their errors.
        valid: those that say when to stop.
        labels: to be read.
        chosen: number of stars and components, noise, sizes and training of the head.
        seed: of stars, components, noise and training.
        accelerator: for the training.
        folder: where it is kept and resumed from.
    """
    rows = sampled_rows(len(train), chosen.spectra, seed)
    flux = np.array(train.flux[rows])
    unit = np.sqrt(np.mean(np.square(train.error[rows[:MOST]]), axis=0))
    axes = components(chosen.components, seed)
    clean = axes.fit_transform(flux / unit).astype(np.float32)
    checks = axes.transform(np.array(valid.flux) / unit).astype(np.float32)
    rng = np.random.default_rng(seed)
    # inputs are standardised as they will be seen, or those that hardly vary would be blown up
    noisy, checked = (
        x + chosen.reader_noise * rng.standard_normal(x.shape, dtype=np.float32)
        for x in (clean, checks)
    )
    columns = [LABELS.index(name) for name in labels]
    truth = torch.tensor(train.labels[rows][:, columns], dtype=torch.float32)
    plan = Plan(
        epochs=chosen.epochs,
        schedule="cosine",
        monitor="valid_r2",
        patience=chosen.patience,
        accelerator=accelerator,
        seed=seed,
        progress="reader",
    )
    head, _ = train_network(
        "mlp_head",
        {"widths": chosen.widths, "dropout": 0.0},
        (noisy, truth.numpy()),
        (checked, valid.labels[:, columns]),
        plan,
        folder=folder,
        fresh=FreshNoise(torch.from_numpy(clean), truth, chosen.reader_noise, chosen.batch_size),
    )
    return Reader(unit, axes, head)
