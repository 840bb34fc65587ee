"""What training consists of between its epochs: schedule, early stopping, history, checkpoint.

Rank 0 keeps it. What is decided after an epoch is decided by its numbers, on all ranks alike, and
all take up what it has kept.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stargrav import ranks
from stargrav.training.plan import MODES, Plan
from stargrav.training.tasks import Task

CHECKPOINT = "training.ckpt"
PLATEAU_FACTOR = 0.5
SECONDS_BETWEEN_LINES, SECONDS_WITHIN_EPOCH = 5.0, 30.0


@dataclass
class Record(lightning.Callback):
    """Schedule, early stopping, history and checkpoint: the state of training between epochs."""

    plan: Plan
    folder: Path | None
    identity: str
    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    finished: bool = False
    interruption: KeyboardInterrupt | None = None
    _restored: dict[str, Any] | None = None
    _plateau: ReduceLROnPlateau | None = None
    _started: float = 0.0
    _told: float = -math.inf

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return len(self.rows)

    def epoch_seed(self, rank: int = 0) -> int:
        """Seed of the epoch in progress.

        Args:
            rank: whose own it is; that of rank 0 is the seed of what all draw alike.
        """
        # a zero in the end changes nothing: rank 0 draws what a single process does
        entropy = [self.plan.seed, self.epoch, rank]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def restore(self, task: Task) -> None:
        """Take up what lies in the folder, if it is of this training."""
        state = ranks.by_first(self._kept)
        if state is None:
            return
        self.rows, self.best_epoch, self.finished = (
            state[key] for key in ("rows", "best_epoch", "finished")
        )
        self.best_weights = state["best_weights"]
        task.model.load_state_dict(state["weights"])
        self._restored = state
        if self.plan.progress is not None and self.epoch and not ranks.rank():
            print(f"{self.plan.progress}: goes on after epoch {self.epoch}", flush=True)

    def on_train_start(self, trainer: lightning.Trainer, task: Task) -> None:
        optimiser = trainer.optimizers[0]
        if self.plan.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(
                optimiser,
                mode=MODES[self.plan.monitor],
                factor=PLATEAU_FACTOR,
                patience=self.plan.plateau_patience,
            )
        if self._restored is not None:
            optimiser.load_state_dict(self._restored["optimiser"])
            if self._plateau is not None:
                self._plateau.load_state_dict(self._restored["plateau"])
            self._restored = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: Task) -> None:
        self._started = time.perf_counter()
        torch.manual_seed(self.epoch_seed(ranks.rank()))

    def on_train_batch_start(
        self, trainer: lightning.Trainer, task: Task, batch: object, number: int
    ) -> None:
        if self.plan.schedule == "cosine":
            done = (self.epoch + number / trainer.num_training_batches) / self.plan.epochs
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = task.learning_rate * self.plan.rate(done)

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Task) -> None:
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        # all validate on the same stars, but perhaps not on the same processor
        found |= ranks.by_first(lambda: found) | {"train_loss": ranks.mean(found["train_loss"])}
        metric = found[self.plan.monitor]
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(
            {
                "epoch": self.epoch + 1,
                "train_loss": found["train_loss"],
                "valid_loss": found["valid_loss"],
                "valid_r2": found.get("valid_r2", math.nan),
                "learning_rate": rate,
                "seconds": time.perf_counter() - self._started,
            }
        )
        if not math.isfinite(metric):
            raise FloatingPointError(f"epoch {self.epoch}: {self.plan.monitor} is {metric}")
        if not self.best_epoch or self._better(metric, self._metric(self.best_epoch)):
            self.best_epoch = self.epoch
            self.best_weights = _copy(task.model)
        if self._plateau is not None:
            self._plateau.step(metric)
        stop = self.epoch - self.best_epoch >= self.plan.patience
        trainer.should_stop = stop
        self.finished = stop or self.epoch >= self.plan.epochs
        self._save(trainer, task)
        self._tell()

    def on_exception(
        self, trainer: lightning.Trainer, task: Task, exception: BaseException
    ) -> None:
        if isinstance(exception, KeyboardInterrupt):
            self.interruption = exception

    def table(self) -> pd.DataFrame:
        """The history."""
        return pd.DataFrame(self.rows).astype({"epoch": int})

    def end(self, task: Task) -> None:
        """Give the network its best weights, on all ranks those that rank 0 has kept."""
        task.model.load_state_dict(ranks.by_first(lambda: self.best_weights))
        task.model.cpu().eval()

    def _metric(self, epoch: int) -> float:
        return self.rows[epoch - 1][self.plan.monitor]

    def _better(self, metric: float, other: float) -> bool:
        return metric < other if MODES[self.plan.monitor] == "min" else metric > other

    def _kept(self) -> dict[str, Any] | None:
        path = self.folder and Path(self.folder) / CHECKPOINT
        if path is None or not path.is_file():
            return None
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state if state["identity"] == self.identity else None

    def _save(self, trainer: lightning.Trainer, task: Task) -> None:
        if self.folder is None or ranks.rank():
            return
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{CHECKPOINT}.partial"
        state = {
            "identity": self.identity,
            "rows": self.rows,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "finished": self.finished,
            "weights": task.model.state_dict(),
            "optimiser": trainer.optimizers[0].state_dict(),
            "plateau": self._plateau.state_dict() if self._plateau is not None else {},
        }
        torch.save(state, aside)
        aside.replace(folder / CHECKPOINT)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: Task, outputs: Any, batch: Any, number: int
    ) -> None:
        now = time.perf_counter()
        if self._silent() or now - max(self._told, self._started) < SECONDS_WITHIN_EPOCH:
            return
        self._told = now
        done = 100 * (number + 1) / trainer.num_training_batches
        epoch = f"epoch {self.epoch + 1}/{self.plan.epochs}"
        print(f"{self.plan.progress}: {epoch}, {done:.0f} % of it", flush=True)

    def _silent(self) -> bool:
        """Nothing is to be told, or Lightning's bar does."""
        return self.plan.progress is None or bool(ranks.rank()) or sys.stderr.isatty()

    def _tell(self) -> None:
        """A line, in a log as on a terminal, at most one every few seconds."""
        now = time.perf_counter()
        due = now - self._told >= SECONDS_BETWEEN_LINES or self.finished
        if self._silent() or not due:
            return
        self._told = now
        row = self.rows[-1]
        shown = "  ".join(
            f"{name} {row[name]:.4f}"
            for name in ("train_loss", "valid_loss", "valid_r2")
            if not math.isnan(row[name])
        )
        print(
            f"{self.plan.progress}: epoch {self.epoch}/{self.plan.epochs}  {shown}  "
            f"{row['seconds']:.1f} s",
            flush=True,
        )


def _copy(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
