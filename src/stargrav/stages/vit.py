"""Stage `vit`: the transformer that the variants of programme `logg_1m` differ from.

It sees the noisy flux of the survey alone, divided by its median. Its settings and those of its
training are stored with it: a variant is trained as it was, but for what it changes. Beside it lie
the same transformer as other seeds have trained it (`again_1`, ...), which tell how much of a
difference is the training's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from stargrav import models
from stargrav.data.loader import Clean, NoisySpectra
from stargrav.data.splits import sampled_rows
from stargrav.inference.draws import pixels
from stargrav.models.spectral import AGAIN
from stargrav.settings import Vit
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.device import device
from stargrav.training.spectra import plan_of, train_spectral

HISTORY = "history.csv"
SIZES = {"patch", "width", "depth", "heads", "dropout"}  # of the network; the rest is training


def build(work: Work, out: Path) -> None:
    """Train it on stars of the survey, and write weights, settings and history."""
    spectra = {name: dataset.read(work.folders["survey"], name) for name in ("train", "valid")}
    settings = work.settings
    write(out, spectra, settings.vit, settings.seed, settings.accelerator, work.scratch)


def write(
    out: Path,
    spectra: Mapping[str, Spectra],
    chosen: Vit,
    seed: int = 42,
    accelerator: str = "auto",
    scratch: Path | None = None,
) -> None:
    """Train the transformer, and again with other seeds.

    Args:
        out: folder to write into.
        spectra: those of train and valid.
        chosen: sizes and training.
        seed: of the pipeline.
        accelerator: for training: auto, cpu or gpu.
        scratch: a folder that outlives an interruption.
    """
    train, valid = spectra["train"], spectra["valid"]
    place = device(accelerator)
    batches = NoisySpectra(
        train,
        chosen.batch_size,
        noise_level=1.0,
        rows=sampled_rows(len(train), chosen.spectra, seed),
        shuffle=True,
        generator=torch.Generator(place),
        device=place,
    )
    rows = np.arange(len(valid))
    seen = pixels(Clean(valid), rows, ("flux", "error"), 1.0, seed)
    truth = valid.stars["log_g"].to_numpy(dtype=float)
    wave = (float(train.wave[0]), float(train.wave[-1]))
    sizes = {**chosen.model_dump(include=SIZES - {"patch"}), "patches": [chosen.patch]}
    training = chosen.model_dump(exclude=SIZES)
    plan = plan_of(training, seed, accelerator, "transformer")
    for number in range(chosen.again + 1):
        name = f"{AGAIN}{number}" if number else ""
        network, history = train_spectral(
            {**sizes, "ends": list(wave)},
            batches,
            (seen, truth),
            replace(plan, seed=seed + number, progress=f"transformer {name}".strip()),
            learning_rate=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            folder=None if scratch is None else scratch / (name or "first"),
        )
        (out / name).mkdir(exist_ok=True)
        models.save(network, out / name, **training)
        history.drop(columns="seconds").to_csv(out / name / HISTORY, index=False)
