"""A reader: labels of clean spectra, learnt from their components with a little noise.

With that noise it reads nothing from what differs less than it, such as the small mistakes of
spectra that a model has drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA

from stargrav.data.splits import sampled_rows
from stargrav.labels import LABELS
from stargrav.models.features import components
from stargrav.models.heads import MlpHead
from stargrav.spectrum import Spectra
from stargrav.training.head import BATCH_SIZE, train_network
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
    labels: Sequence[str],
    count: int,
    noise: float,
    widths: Sequence[int],
    plan: Plan,
    spectra: int | None = None,
    batch_size: int = BATCH_SIZE,
    folder: Path | None = None,
) -> Reader:
    """Learn to read.

    Args:
        train: clean spectra with their errors.
        valid: those that say when to stop.
        labels: to be read.
        count: of components.
        noise: that falls on them, in units of the usual error.
        widths: of the head's hidden layers.
        plan: of the head's training; its seed is that of stars, components and noise, too.
        spectra: training stars; all if None.
        batch_size: stars in a batch.
        folder: where the training is kept and resumed from.
    """
    seed = plan.seed
    rows = sampled_rows(len(train), spectra or len(train), seed)
    flux = np.array(train.flux[rows])
    unit = np.sqrt(np.mean(np.square(train.error[rows[:MOST]]), axis=0))
    axes = components(count, seed)
    clean = axes.fit_transform(flux / unit).astype(np.float32)
    checks = axes.transform(np.array(valid.flux) / unit).astype(np.float32)
    rng = np.random.default_rng(seed)
    # inputs are standardised as they will be seen, or those that hardly vary would be blown up
    noisy, checked = (
        x + noise * rng.standard_normal(x.shape, dtype=np.float32) for x in (clean, checks)
    )
    columns = [LABELS.index(name) for name in labels]
    truth = torch.tensor(train.labels[rows][:, columns], dtype=torch.float32)
    head, _ = train_network(
        "mlp_head",
        {"widths": widths, "dropout": 0.0},
        (noisy, truth.numpy()),
        (checked, valid.labels[:, columns]),
        plan,
        folder=folder,
        fresh=FreshNoise(torch.from_numpy(clean), truth, noise, batch_size),
    )
    return Reader(unit, axes, head)
