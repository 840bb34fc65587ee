"""The served model: from measured spectra to a label, teacher, pooling and head in one.

Training spectra are divided by the median of their noise-free flux, which nobody can measure:
here the median of the denoised flux takes its place, which errs less than that of the noisy flux.
It is a little too low on average, by as much as valid stars tell, whose noise-free median is 1;
that is set right. What the scores of the experiments owe to the noise-free median is not served.

Networks have learnt from spectra without bad pixels. Where the error is far above a spectrum's
others, flux and error are taken from the good pixels on either side.

Its folder holds `teacher/` and `head/` as `models` stores them, and `reads.json`: which layer and
pooling the head reads, the label it gives, and the mean level of valid stars. MLflow loads it
through `_load_pyfunc`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stargrav import models
from stargrav.errors import InputError
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.heads import MlpHead
from stargrav.models.pooling import pool

BATCH = 256
READS = "reads.json"
_BAD = 30.0  # times the error that a tenth of the pixels have at most; lines of the sky reach 22
_MOST = 0.5  # share of bad pixels beyond which there is no spectrum left


def store(
    head: MlpHead,
    readout: tuple[str, str],
    target: str,
    teacher: Path,
    valid: tuple[np.ndarray, np.ndarray],
    to: Path,
) -> None:
    """Store what a head needs to be used on spectra.

    Args:
        head: from latents to the label.
        readout: layer and pooling that the latents were read from.
        target: name of the label.
        teacher: folder of the teacher whose latents they were.
        valid: noisy flux and error (n, pixels) of stars whose noise-free flux has the median 1.
        to: folder to write into.
    """
    found = [_level(models.load(teacher), *pair) for pair in _batches(*valid)]
    models.save(head, to / "head")
    shutil.copytree(teacher, to / "teacher")
    layer, pooling = readout
    level = float(torch.cat(found).mean())
    reads = {"layer": layer, "pooling": pooling, "target": target, "level": level}
    (to / READS).write_text(json.dumps(reads, indent=1) + "\n")


def read(folder: Path) -> tuple[str, str, str, float]:
    """Layer, pooling, target and mean level of a served model.

    Raises:
        InputError: they are missing or damaged.
    """
    path = folder / READS
    try:
        reads = json.loads(path.read_text())
        return reads["layer"], reads["pooling"], reads["target"], float(reads["level"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, "content", repr(error), "layer, pooling, target, level") from error


class ServedModel:
    """A label from measured spectra.

    Args:
        folder: as `store` left it.

    Raises:
        InputError: something in it is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.layer, self.pooling, self.target, self.level = read(Path(folder))
        self.teacher = models.load(Path(folder) / "teacher")
        self.head = models.load(Path(folder) / "head")

    def predict(
        self, spectra: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Predict the label of measured spectra.

        Args:
            spectra: `flux` and `error`, each (n, pixels), in one unit.
            params: MLflow's; there are none.

        Returns:
            label -> (n,), in the label's unit.

        Raises:
            InputError: a value is not finite, an error not positive, too many pixels are bad, or
                the median of the others is not positive.
        """
        flux, error = (np.asarray(spectra[key], dtype=np.float32) for key in ("flux", "error"))
        if flux.ndim != 2 or flux.shape != error.shape:
            found = f"shapes {flux.shape} and {error.shape}"
            raise InputError("spectra", "flux, error", found, "two arrays (n, pixels)")
        if not flux.size:
            raise InputError("spectra", "flux", "no spectra", "one or more")
        _require("flux", np.isfinite(flux).all(axis=1), "finite")
        _require("error", (np.isfinite(error) & (error > 0)).all(axis=1), "finite and positive")
        flux, error = _mended(flux, error)
        _require("flux", np.median(flux, axis=1) > 0, "a positive median")
        parts = [self._batch(*pair) for pair in _batches(flux, error)]
        return {self.target: np.concatenate(parts).astype(np.float32)}

    @torch.inference_mode()
    def _batch(self, flux: Tensor, error: Tensor) -> np.ndarray:
        level = _level(self.teacher, flux, error) / self.level
        layers = self.teacher.layers(flux / level, error / level, [self.layer])
        return np.asarray(self.head.predict(pool(layers[self.layer], self.pooling).numpy()))


def _require(field: str, good: np.ndarray, expected: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise InputError("spectra", f"{field}, row {row}", "a value of no use", expected)


def _mended(flux: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same (n, pixels) with what lies between good pixels in the place of bad ones."""
    bad = error > _BAD * np.quantile(error, 0.1, axis=1, keepdims=True)
    _require("error", bad.mean(axis=1) <= _MOST, "like the others' in half of the pixels")
    flux, error = flux.copy(), error.copy()
    for row in np.flatnonzero(bad.any(axis=1)):
        wrong, right = np.flatnonzero(bad[row]), np.flatnonzero(~bad[row])
        for values in (flux[row], error[row]):
            values[wrong] = np.interp(wrong, right, values[right])
    return flux, error


@torch.inference_mode()
def _level(teacher: BlindSpotUNet, flux: Tensor, error: Tensor) -> Tensor:
    """(n, 1) median of the denoised flux, of spectra in any unit.

    The teacher sees them over their noisy median, and draws them towards 1 from there: stars whose
    noise-free median is known go the same way.
    """
    median = flux.quantile(0.5, dim=1, keepdim=True)
    clean = teacher.denoise(flux / median, error / median).mean
    return median * clean.quantile(0.5, dim=1, keepdim=True)


def _batches(*arrays: np.ndarray) -> Iterator[tuple[Tensor, ...]]:
    """So many rows at a time of arrays (n, pixels)."""
    for start in range(0, len(arrays[0]), BATCH):
        yield tuple(torch.tensor(a[start : start + BATCH], dtype=torch.float32) for a in arrays)


def _load_pyfunc(folder: str) -> ServedModel:
    """What MLflow calls to load the model; the name is MLflow's."""
    return ServedModel(Path(folder))
