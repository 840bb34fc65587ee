"""Stages `train@teacher...`: the blind-spot denoiser's weights and how its training went.

`teacher` is the one that everything is read out of; `teacher_no_error` does not see the error,
`teacher_observed` sees errors that are estimated from noisy counts. All else is the same.

Its spectra are those of the stars of train and valid, simulated again from library and stars (see
docs/decisions.md); they and the state of the training lie in the stage's scratch folder, so that
an interrupted training goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from stargrav import models, ranks
from stargrav.data import store
from stargrav.data.loader import NoisySpectra
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.device import device
from stargrav.training.plan import Plan

HISTORY = "history.csv"
SIZES = {"channels", "depth", "kernel", "stem", "hidden"}


@dataclass(frozen=True)
class Variant:
    """What a teacher is given.

    Args:
        error_input: whether the error is an input channel.
        error: kind of error of its spectra; as the settings say if None.
    """

    error_input: bool = True
    error: Literal["noiseless", "observed"] | None = None


VARIANTS = {
    "train@teacher": Variant(),
    "train@teacher_no_error": Variant(error_input=False),
    "train@teacher_observed": Variant(error="observed"),
}


def build(work: Work, out: Path) -> None:
    """Train, and write weights, settings and history (without seconds: the same each time)."""
    from stargrav.training.teacher import train_teacher  # takes seconds; others read VARIANTS

    variant, chosen = VARIANTS[work.stage], work.settings.teacher
    if variant.error is not None:
        data = work.settings.dataset.model_copy(update={"error": variant.error})
        work = replace(work, settings=work.settings.model_copy(update={"dataset": data}))
    train, valid = (_spectra(work, split, chosen.spectra) for split in ("train", "valid"))
    place, seed = device(work.settings.accelerator), work.settings.seed
    size, level, generator = chosen.batch_size, chosen.noise_level, torch.Generator(place)
    train_batches = NoisySpectra(train, size, level, None, True, generator, device=place)
    valid_batches = NoisySpectra(valid, size, level, seed=seed, device=place)
    plan = Plan(
        epochs=chosen.epochs,
        schedule=chosen.schedule,
        patience=chosen.patience,
        precision=chosen.precision,
        accelerator=work.settings.accelerator,
        seed=seed,
        progress="teacher",
        threads=chosen.threads,
    )
    teacher, history = train_teacher(
        train_batches,
        valid_batches,
        {**chosen.model_dump(include=SIZES), "error_input": variant.error_input},
        plan,
        chosen.loss,
        chosen.noise_level,
        chosen.learning_rate,
        work.scratch,
    )
    models.save(teacher, out, **chosen.model_dump(exclude=SIZES | {"threads"}))
    history.drop(columns="seconds").to_csv(out / HISTORY, index=False)


def _spectra(work: Work, split: str, limit: int) -> Spectra:
    return store.read_spectra(ranks.by_first(lambda: _written(work, split, limit)))


def _written(work: Work, split: str, limit: int) -> Path:
    work.scratch.mkdir(parents=True, exist_ok=True)
    path = work.scratch / f"{split}.h5"
    if not path.exists():
        dataset.write(work, split, path, limit)
    return path
