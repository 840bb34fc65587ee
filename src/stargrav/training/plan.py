"""How a network is trained, as plain settings.

They stand apart from the training itself (`training.fit`), whose library takes seconds to import:
an experiment that trains nothing does without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

MODES = {"valid_loss": "min", "valid_r2": "max"}


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Args:
        epochs: at most so many.
        schedule: of the learning rate: `plateau` halves it when the monitored metric has not
            improved for `plateau_patience` epochs, `cosine` lets it fall to zero in a half wave,
            step by step.
        monitor: metric that chooses the best weights: `valid_loss` or `valid_r2`.
        patience: stop after so many epochs without improvement.
        plateau_patience: see `schedule`.
        warmup: share of all steps over which the learning rate rises linearly from zero before
            it falls; with `cosine` only.
        clip: norm of the gradient that none exceeds; not clipped if None.
        precision: Lightning's name: `32-true` or `bf16-mixed`.
        accelerator: `auto`, `cpu` or `gpu`.
        seed: of order, noise and dropout.
        progress: name under which progress is shown; none is shown without it.
        threads: of the processor, which decide the last bit of every sum; as many as there are
            if None.
    """

    epochs: int
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    monitor: Literal["valid_loss", "valid_r2"] = "valid_loss"
    patience: int = 15
    plateau_patience: int = 3
    warmup: float = 0.0
    clip: float | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    seed: int = 42
    progress: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1 or (self.warmup and self.schedule != "cosine"):
            raise ValueError(f"warm-up {self.warmup} of schedule {self.schedule}")

    def rate(self, done: float) -> float:
        """Learning rate of schedule `cosine`, in units of the largest.

        Args:
            done: share of all steps that is complete.
        """
        if done < self.warmup:
            return done / self.warmup
        fallen = (done - self.warmup) / (1.0 - self.warmup)
        return 0.5 * (1.0 + math.cos(math.pi * fallen))
