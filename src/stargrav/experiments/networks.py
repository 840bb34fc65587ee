"""The networks that stages have trained, on the bench: the teacher, and its students.

What they say of spectra is features of the same stars. A student of an experiment's own is
trained as a stored one was, but for what the experiment names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from stargrav import models
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import current
from stargrav.inference.denoised import denoised
from stargrav.inference.latents import read_out
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.heads import Standardised
from stargrav.models.pooling import READOUT
from stargrav.training.device import device
from stargrav.training.plan import Plan

KINDS = ("mlp", "conv")  # of the stage `students`


def encoded(seen: Parts, teacher: str = "teacher") -> Parts:
    """A teacher's latents of spectra.

    Args:
        seen: flux and error side by side.
        teacher: as its stage is named after "train@".
    """
    place = device(current().accelerator)

    def say(teacher: BlindSpotUNet, flux: np.ndarray, error: np.ndarray, _: float) -> np.ndarray:
        return read_out(teacher, flux, error, *READOUT, place)

    return Parts(*(replace(part, readout=READOUT) for part in _by_teacher(seen, say, teacher)))


def cleaned(seen: Parts, teacher: str = "teacher") -> Parts:
    """Flux as a teacher denoises it.

    Args:
        seen: flux and error side by side.
        teacher: as its stage is named after "train@".
    """
    place = device(current().accelerator)

    def say(
        teacher: BlindSpotUNet, flux: np.ndarray, error: np.ndarray, level: float
    ) -> np.ndarray:
        return denoised(teacher, flux, error, level, place)

    return _by_teacher(seen, say, teacher)


def stored_student(kind: str) -> Standardised:
    """A student of the stage `students`."""
    return models.load(current().inputs.folder("students") / kind)


def better_student() -> Standardised:
    """The student of the stage `students` that comes nearer to the latents of the valid stars."""
    reached = {kind: max(row["valid_r2"] for row in student_history(kind)) for kind in KINDS}
    return stored_student(max(reached, key=reached.__getitem__))


def student_history(kind: str) -> list[dict[str, float]]:
    """How the training of a stored student went; empty for what was not trained."""
    path = current().inputs.folder("students") / kind / "history.csv"
    return pd.read_csv(path).to_dict("records") if path.is_file() else []


def read(network: Standardised, pixels: Parts) -> Parts:
    """What a student says of spectra."""
    network = network.to(device(current().accelerator))

    def told(part: Part) -> Part:
        said = [network.predict(x).astype(np.float32) for x in part.features]
        return replace(part, features=np.stack(said), readout=("student", "latent"))

    return Parts(*(told(part) for part in pixels))


def taught(
    pixels: Parts,
    z: Parts,
    kind: str = "mlp",
    labels: Sequence[str] = (),
    latent_weight: float = 1.0,
    label_weight: float = 0.0,
    **sizes: Sequence[int],
) -> tuple[Standardised, pd.DataFrame]:
    """A student, trained as the stored one of its kind was but for what is named.

    Args:
        pixels: what it sees.
        z: the latents that it is taught, of the same stars.
        kind: of `KINDS`.
        labels: that it is taught behind the latent.
        latent_weight: see `training.distillation`.
        label_weight: see there.
        sizes: of the network.

    Returns:
        the student and its history.
    """
    from stargrav.training.distillation import train_student

    found = current()
    config = models.read_config(found.inputs.folder("students") / kind)
    settings = {**config["settings"], **sizes}
    facts = dict(config["facts"])
    plan = Plan(
        epochs=facts.pop("epochs"),
        schedule=facts.pop("schedule"),
        monitor="valid_r2",
        patience=facts.pop("patience"),
        accelerator=found.accelerator,
        seed=found.seed,
        progress="student",
    )

    def pairs(part: str) -> tuple[np.ndarray, np.ndarray]:
        seen, to_learn = getattr(pixels, part), getattr(z, part)
        return seen.rows(), np.column_stack([to_learn.rows(), *map(to_learn.label, labels)])

    network, history = train_student(
        config["name"],
        {name: settings[name] for name in settings.keys() - {"inputs", "outputs"}},
        pairs("train"),
        pairs("valid"),
        plan,
        labels=len(labels),
        latent_weight=latent_weight,
        label_weight=label_weight,
        folder=found.training_folder(),
        identity=found.hashes,
        **facts,
    )
    return network, history.drop(columns="seconds")


def _by_teacher(
    seen: Parts,
    say: Callable[[BlindSpotUNet, np.ndarray, np.ndarray, float], np.ndarray],
    teacher: str,
) -> Parts:
    """What is said by a teacher of flux, error and noise level, draw by draw."""
    network = models.load(current().inputs.folder(f"train@{teacher}"))

    def said(part: Part) -> Part:
        pairs = (np.split(draw, 2, axis=-1) for draw in part.features)
        features = np.stack([say(network, *pair, part.noise_level) for pair in pairs])
        return replace(part, features=features)

    return Parts(*(said(part) for part in seen))
