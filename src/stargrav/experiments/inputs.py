"""What an experiment reads: the folders of the stages that it needs, opened when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from stargrav import models
from stargrav.data import store
from stargrav.data.loader import Clean, NoisySpectra
from stargrav.data.splits import sampled_rows
from stargrav.errors import InputError
from stargrav.files import hash_tree
from stargrav.inference.draws import StreamedPixels, pixels
from stargrav.inference.fresh import FreshLatents
from stargrav.inference.latents import read_latents, read_manifest
from stargrav.inference.limits import read_limits
from stargrav.labels import LABELS

LIMITS = {"dataset": "limits", "survey": "survey_limits"}  # of the test stars of a data set
NEEDS = ("dataset", "train@teacher", "latents@base", "limits")  # of most experiments
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
        noise_level: of the spectra that the features were read from.
        teacher: that read them, where they are latents.
        error: kind of error that is reported with the noisy flux; the data set's own if None.
        limits: what the flux of these stars can tell at most (`inference.limits`), one row per
            star; None where that is not known.
        noiseless: (n, f) the same features without noise, of training stars only, where noise
            falls on them as N(0, noise_level^2 I); None where it does not.
    """

    features: np.ndarray
    stars: Mapping[str, np.ndarray]
    readout: tuple[str, str]
    index: np.ndarray
    path: Path
    noise_level: float = 1.0
    teacher: str = "teacher"
    error: str | None = None
    limits: pd.DataFrame | None = None
    noiseless: np.ndarray | None = None

    def __len__(self) -> int:
        return self.features.shape[1]

    def sample(self, n: int, seed: int) -> Part:
        """n random stars in all their draws; a smaller sample is part of a larger one."""
        return self if n >= len(self) else self.take(sampled_rows(len(self), n, seed))

    def apart(self, n: int, count: int, seed: int) -> list[Part]:
        """Random sets of n stars that share none: `count` of them, or as many as there are."""
        order = np.random.default_rng(seed).permutation(len(self))
        starts = range(0, len(self) - n + 1, n)
        return [self.take(np.sort(order[i : i + n])) for i in starts[:count]]

    def take(self, rows: np.ndarray) -> Part:
        """Some of the stars (n,), by their place in this part, in all their draws."""
        stars = {name: column[rows] for name, column in self.stars.items()}
        limits = None if self.limits is None else self.limits.iloc[rows]
        return replace(
            self,
            features=self.features[:, rows],
            stars=stars,
            index=self.index[rows],
            limits=limits,
            noiseless=None if self.noiseless is None else self.noiseless[rows],
        )

    def rows(self) -> np.ndarray:
        """(draws * n, f) features, draw after draw."""
        return self.features.reshape(-1, self.features.shape[-1])

    def label(self, target: str) -> np.ndarray:
        """(draws * n,) a label beside `rows`."""
        return np.tile(self.stars[target], len(self.features))

    def beside(self, other: Part) -> Part:
        """The features of another part of the same stars and draws laid beside these.

        Raises:
            ValueError: they are not of the same stars and draws.
        """
        same = np.array_equal(self.index, other.index) and self.noise_level == other.noise_level
        if not same or len(self.features) != len(other.features):
            raise ValueError("features of other stars, or of other noise")
        features = np.concatenate([self.features, other.features], axis=-1)
        return replace(self, features=features, noiseless=None)

    def with_label(self, name: str, values: np.ndarray) -> Part:
        """The same stars with a further column (n,) that can be a target."""
        return replace(self, stars={**self.stars, name: values})

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
        folders: stage name (`dataset`, `train@teacher`, `latents@base`) -> its folder.
        seed: of the fixed noise of spectra, that of the pipeline.
    """

    folders: Mapping[str, Path]
    seed: int = 42

    def of(self, needs: Sequence[str]) -> Inputs:
        """What an experiment has said that it needs, and nothing else."""
        found = {stage: folder for stage, folder in self.folders.items() if stage in needs}
        return replace(self, folders=found)

    @property
    def data(self) -> str:
        """The data set that the experiment is about: the survey, where it needs no other."""
        return "dataset" if "dataset" in self.folders else "survey"

    def folder(self, stage: str) -> Path:
        """The folder of a stage.

        Raises:
            InputError: the stage was not made.
        """
        if not self.folders.get(stage, Path("missing")).is_dir():
            raise InputError(self.folders.get(stage, stage), stage, "nothing", "its folder")
        return self.folders[stage]

    def latents(
        self,
        layer: str,
        pooling: str,
        noise_level: float = 1.0,
        teacher: str = "teacher",
        stars: int | None = None,
        draws: int | None = None,
    ) -> Parts:
        """A teacher's latents of the three splits, with the labels of their stars.

        Args:
            layer: of `models.blindspot.LAYERS`.
            pooling: `global_mean`, `mean_max` or `seg_mean_K`.
            noise_level: of the spectra that they were read from.
            teacher: which was trained by the stage `train@<teacher>`.
            stars: of train, a random sample as `Part.sample` draws it; all if None.
            draws: of noise in train; all that are stored if None.

        Raises:
            InputError: no such latents are stored, or not those of this data set.
        """
        folder = self._stored(layer, pooling, noise_level, f"train@{teacher}")
        made_from = read_manifest(folder).get("dataset")
        if made_from is not None and made_from != hash_tree(self.folder("dataset")):
            expected = f"those of {self.folder('dataset')}"
            raise InputError(folder, "dataset", "another one's latents", expected)
        parts = []
        for split in Parts._fields:
            features = read_latents(folder, layer, pooling, split)[:draws]
            part = self._part(split, features, noise_level, (layer, pooling), teacher)
            if len(part.stars["log_g"]) != len(part):
                found = f"{len(part)} latents"
                raise InputError(folder, split, found, f"{len(part.stars['log_g'])}, as stars")
            parts.append(part)
        found = Parts(*parts)
        if stars is None:
            return found
        return found._replace(train=found.train.sample(stars, self.seed))

    def spectra(
        self,
        *inputs: str,
        noise_level: float = 1.0,
        error: str | None = None,
        stars: int | None = None,
        draws: int = 1,
    ) -> Parts:
        """Pixels of the three splits, with the very noise that the latents were read from.

        Args:
            inputs: what is laid side by side, in this order: `flux` (noisy), `error`, `log_error`
                (decimal), `whitened` (flux / error). None gives the stars alone.
            noise_level: of the noisy flux.
            error: `noiseless` or `observed`; as the data set has it if None.
            stars: of train, a random sample as `Part.sample` draws it; all if None.
            draws: of noise in train; valid and test have one. 0: the training stars come without
                spectra, for noise to be drawn anew (`fresh_spectra`).

        Raises:
            InputError: there is no such input, or the conditions of observed errors are not known.
        """
        parts = []
        for split in Parts._fields:
            whole = store.read_spectra(self.folder(self.data) / f"{split}.h5")
            rows = np.arange(len(whole))
            if split == "train" and stars is not None:
                rows = sampled_rows(len(whole), stars, self.seed)
            clean = Clean(whole, error=error)
            features = [
                pixels(clean, rows, inputs, noise_level, self.seed, draw)
                if inputs
                else np.empty((len(rows), 0), dtype=np.float32)
                for draw in range(draws if split == "train" else 1)
            ]
            stacked = np.stack(features) if features else np.empty((0, len(rows), 0), np.float32)
            parts.append(self._part(split, stacked, noise_level, rows=rows, error=error))
        return Parts(*parts)

    def drawn(self, part: Part, *inputs: str, draw: int) -> Part:
        """The same stars in one other draw of their noise.

        Args:
            part: the stars, such as `spectra()` gives them.
            inputs: as for `spectra`.
            draw: its number; 0 is the one that `spectra` begins with.
        """
        clean = Clean(store.read_spectra(part.path), error=part.error)
        features = pixels(clean, part.index, inputs, part.noise_level, self.seed, draw)
        return replace(part, features=features[None], noiseless=None)

    def streamed(self, part: Part, *inputs: str) -> StreamedPixels:
        """Pixels of stars in their first noise draw, read when they are asked for.

        Args:
            part: the stars, such as `spectra()` gives them without pixels.
            inputs: as for `spectra`.
        """
        noise = part.noise_level, self.seed
        return StreamedPixels(part.path, part.index, inputs, *noise, error=part.error)

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
        teacher = models.load(self.folder(f"train@{train.teacher}"))
        spectra = self.fresh_spectra(train, batch_size, device)
        return FreshLatents(spectra, teacher, train.readout, target)

    def fresh_spectra(self, train: Part, batch_size: int, device: torch.device) -> NoisySpectra:
        """Spectra of training stars with noise drawn anew in each pass; see `fresh_latents`."""
        return NoisySpectra(
            store.read_spectra(train.path),
            batch_size,
            train.noise_level,
            rows=train.index,
            error=train.error,
            shuffle=True,
            generator=torch.Generator(device),
            device=device,
        )

    def _stored(self, layer: str, pooling: str, noise_level: float, trained: str) -> Path:
        """The folder of one noise level of a set of latents."""
        found = {}
        for stage in (name for name in self.folders if name.startswith("latents@")):
            for folder in sorted(self.folder(stage).glob("*/")):
                manifest = read_manifest(folder)
                has = [layer, pooling] in manifest["readouts"]
                same = manifest.get("trained", trained) == trained
                if has and same and manifest["noise_level"] == noise_level:
                    return folder
                found[str(folder)] = None
        wanted = f"{layer}+{pooling} of {trained} at noise level {noise_level:g}"
        raise InputError("latents", "manifest.json", ", ".join(found) or "no latents", wanted)

    def _part(
        self,
        split: str,
        features: np.ndarray,
        noise_level: float,
        readout: tuple[str, str] = ("spectrum", "pixels"),
        teacher: str = "teacher",
        rows: np.ndarray | None = None,
        error: str | None = None,
    ) -> Part:
        path = self.folder(self.data) / f"{split}.h5"
        spectra = store.read_spectra(path)
        table = spectra.stars
        rows = np.arange(len(table)) if rows is None else rows
        stars = {name: table[name].to_numpy(float)[rows] for name in COLUMNS if name in table}
        limits = None
        if split == "test" and LIMITS[self.data] in self.folders:
            folder = self.folder(LIMITS[self.data])
            limits = read_limits(folder, noise_level)
            if limits is not None and not np.array_equal(limits["id"], spectra.ids):
                raise InputError(folder, "id", "other stars", f"those of {path}, in their order")
        return Part(features, stars, readout, rows, path, noise_level, teacher, error, limits)
