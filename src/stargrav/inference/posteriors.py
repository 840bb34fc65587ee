"""Stored posteriors of the test stars: label vectors drawn from them, by whatever knows them.

    exact        by integration over the library (`inference.bayes`)
    amortized    by a network that has seen many stars (`models.flow`)
    sampled      read from clean spectra that a diffusion model has drawn (`inference.diffused`)

All are told the same noisy pixels and their true error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DRAWS = "draws.npy"
MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Posteriors of the first test stars.

    Attributes:
        values: (n, m, k) label vectors in the labels' units.
        labels: (k,) their names, those that vary among the stars.
    """

    values: np.ndarray
    labels: tuple[str, ...]

    def of(self, label: str) -> np.ndarray:
        """(n, m) draws of one label."""
        return self.values[:, :, self.labels.index(label)]


def write_draws(folder: Path, values: np.ndarray, labels: Sequence[str], pixels: int) -> None:
    """Store posteriors (see `Drawn`) of stars of which so many of the reddest pixels were seen."""
    np.save(folder / DRAWS, values.astype(np.float32), allow_pickle=False)
    manifest = {"labels": list(labels), "pixels": pixels}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def read_draws(folder: Path) -> Drawn | None:
    """Stored posteriors; None where there are none, as exact ones without a library."""
    file = Path(folder) / DRAWS
    if not file.is_file():
        return None
    labels = json.loads((file.parent / MANIFEST).read_text())["labels"]
    return Drawn(np.load(file, allow_pickle=False), tuple(labels))
