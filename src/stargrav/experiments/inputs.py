"""What an experiment reads: the folders of the stages that it needs, opened when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stargrav import models
from stargrav.data import store
from stargrav.data.loader import NoisySpectra
from stargrav.errors import InputError
from stargrav.files import hash_tree
from stargrav.inference.fresh import FreshLatents
from stargrav.inference.latents import read_latents, read_manifest
from stargrav.labels import LABELS

COLUMNS = (*LABELS, "mag", "snr")  # of the stars, where the data set has them


@dataclass(frozen=True, eq=False)
class Part:
    """The stars of one split as a model sees them.

    Args:
        features: (draws, n, f) features of each star in each noise draw; may be a memory map.
        stars: column -> (n,) labels, mag and snr.
        readout: layer and pooling that the features were read from.
        index: (n,) rows of the stars in the data set of the split.
        path: file of that data set, named in errors.
    """

    features: np.ndarray
    stars: Mapping[str, np.ndarray]
    readout: tuple[str, str]
    index: np.ndarray
    path: Path

    def __len__(self) -> int:
        return self.features.shape[1]

    def sample(self, n: int, seed: int) -> Part:
        """n random stars in all their draws; a smaller sample is part of a larger one."""
        if n >= len(self):
            return self
        rows = np.sort(np.random.default_rng([seed, len(self)]).permutation(len(self))[:n])
        stars = {name: column[rows] for name, column in self.stars.items()}
        return replace(self, features=self.features[:, rows], stars=stars, index=self.index[rows])

    def rows(self) -> np.ndarray:
        """(draws * n, f) features, draw after draw."""
        return self.features.reshape(-1, self.features.shape[-1])

    def label(self, target: str) -> np.ndarray:
        """(draws * n,) a label beside `rows`."""
        return np.tile(self.stars[target], len(self.features))

    def varies(self, label: str) -> bool:
        """Whether the stars differ in a label, as they need not in a foreign data set."""
        return bool(np.ptp(self.stars[label]) > 0)

    def require_variation(self, label: str) -> None:
        """Refuse a label that is the same for all stars: nothing is learnt from it, and no R2.

        Raises:
            InputError: names file and column.
        """
        if not self.varies(label):
            found = f"{self.stars[label][0]:g} for all {len(self)} stars"
            raise InputError(self.path, f"{store.STARS}/{label}", found, "a label that varies")


class Parts(NamedTuple):
    """The three splits; nothing is fitted on test, nothing chosen by it."""

    train: Part
    valid: Part
    test: Part

    def varying_labels(self, judged: str = "log_g") -> tuple[str, ...]:
        """Labels in which the stars of each split differ; the others are told and left out.

        Args:
            judged: the label that the experiment cannot do without.

        Raises:
            InputError: the judged label does not vary.
        """
        for part in self:
            part.require_variation(judged)
        found = tuple(name for name in LABELS if all(part.varies(name) for part in self))
        if len(found) < len(LABELS):
            left_out = ", ".join(name for name in LABELS if name not in found)
            print(f"the same for all stars of a split, left out: {left_out}")
        return found


@dataclass(frozen=True)
class Inputs:
    """The artifacts of the pipeline.

    Args:
        folders: stage name (`dataset`, `train@teacher`, `latents`) -> its folder.
    """

    folders: Mapping[str, Path]

    def folder(self, stage: str) -> Path:
        """The folder of a stage.

        Raises:
            InputError: the stage was not made.
        """
        if not self.folders.get(stage, Path("missing")).is_dir():
            raise InputError(self.folders.get(stage, stage), stage, "nothing", "its folder")
        return self.folders[stage]

    def latents(self, layer: str, pooling: str) -> Parts:
        """The teacher's latents of the three splits, with the labels of their stars.

        Args:
            layer: of `models.blindspot.LAYERS`.
            pooling: `global_mean`, `mean_max` or `seg_mean_K`.

        Raises:
            InputError: no such latents are stored, or not those of this data set.
        """
        made_from = read_manifest(self.folder("latents")).get("dataset")
        if made_from is not None and made_from != hash_tree(self.folder("dataset")):
            expected = f"those of {self.folder('dataset')}"
            raise InputError(self.folder("latents"), "dataset", "another one's latents", expected)
        parts = []
        for split in Parts._fields:
            features = read_latents(self.folder("latents"), layer, pooling, split)
            path = self.folder("dataset") / f"{split}.h5"
            stars = store.read_spectra(path).stars
            if len(stars) != features.shape[1]:
                found = f"{features.shape[1]} latents"
                raise InputError(self.folder("latents"), split, found, f"{len(stars)}, as stars")
            columns = {name: stars[name].to_numpy(float) for name in COLUMNS if name in stars}
            parts.append(Part(features, columns, (layer, pooling), np.arange(len(stars)), path))
        return Parts(*parts)

    def fresh_latents(
        self, train: Part, target: str, batch_size: int, device: torch.device
    ) -> FreshLatents:
        """Latents and labels of training stars, with the noise of the stored ones drawn anew.

        Args:
            train: the stars.
            target: the label.
            batch_size: stars in a batch.
            device: where noise is drawn and the teacher runs.
        """
        folder = self.folder("train@teacher")
        spectra = NoisySpectra(
            store.read_spectra(self.folder("dataset") / "train.h5"),
            batch_size,
            read_manifest(self.folder("latents"))["noise_level"],
            rows=train.index,
            shuffle=True,
            generator=torch.Generator(device),
            device=device,
        )
        return FreshLatents(spectra, models.load(folder), train.readout, target)
