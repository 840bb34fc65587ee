"""The one training loop: Lightning's, made resumable to the bit.

After each epoch all that training consists of lies in one file: weights, best weights, optimiser,
schedule, history. What is random in an epoch (order, noise, dropout) is drawn from the seed and
the epoch's number alone. A training that was killed and started again therefore passes through
the same losses as one that was not, on the same device with as many threads; at most one epoch is
computed twice.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stargrav.training.batches import Batches
from stargrav.training.device import device
from stargrav.training.plan import MODES, Plan
from stargrav.training.tasks import Task

CHECKPOINT = "training.ckpt"
PLATEAU_FACTOR = 0.5
SECONDS_BETWEEN_LINES = 5.0


def fit(
    task: Task,
    train: Batches,
    valid: Batches,
    plan: Plan,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Train a task's network; it ends with the weights of its best epoch, in eval mode.

    Args:
        task: network, loss, optimiser.
        train: training batches.
        valid: validation batches, the same in each pass.
        plan: how long, at which rate, on what.
        folder: where training is kept after each epoch and resumed from; nowhere if not given.
        identity: what makes this training another one (settings, hashes of the data), as plain
            values. What lies in the folder from another training is not resumed.

    Returns:
        one row per epoch: epoch (from 1), train_loss, valid_loss, valid_r2 (NaN where the task has
        none), learning_rate, seconds.

    Raises:
        KeyboardInterrupt: as it was; called again, training goes on from its last whole epoch.
        InputError: the plan wants a GPU, and there is none.
    """
    record = _Record(plan, folder, _identity(plan, identity))
    record.restore(task)
    if not record.finished:
        # once set, the number of threads, and with it the last bit, is not MKL's to choose by load
        torch.set_num_threads(torch.get_num_threads())
        with torch.random.fork_rng(), _interruptible(record), _quiet():
            trainer = lightning.Trainer(
                max_epochs=plan.epochs - record.epoch,
                accelerator=device(plan.accelerator).type,
                devices=1,
                precision=plan.precision,
                callbacks=[record],
                enable_progress_bar=plan.progress is not None and sys.stderr.isatty(),
                enable_checkpointing=False,
                enable_model_summary=False,
                logger=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(task, _Seeded(train, record), valid)
    task.model.load_state_dict(record.best_weights)
    task.model.cpu().eval()
    return record.table()


class _Seeded:
    """Training batches whose generator is set anew in each epoch."""

    def __init__(self, batches: Batches, record: _Record) -> None:
        self.batches = batches
        self.record = record

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self.batches.generator is not None:
            self.batches.generator.manual_seed(self.record.epoch_seed)
        yield from self.batches


@dataclass
class _Record(lightning.Callback):
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

    @property
    def epoch_seed(self) -> int:
        """Seed of the epoch in progress."""
        return int(np.random.SeedSequence([self.plan.seed, self.epoch]).generate_state(1)[0])

    def restore(self, task: Task) -> None:
        """Take up what lies in the folder, if it is of this training."""
        path = self.folder and Path(self.folder) / CHECKPOINT
        if path is None or not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["identity"] != self.identity:
            return
        self.rows, self.best_epoch, self.finished = (
            state[key] for key in ("rows", "best_epoch", "finished")
        )
        self.best_weights = state["best_weights"]
        task.model.load_state_dict(state["weights"])
        self._restored = state

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
        torch.manual_seed(self.epoch_seed)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, task: Task, batch: object, number: int
    ) -> None:
        if self.plan.schedule == "cosine":
            done = (self.epoch + number / trainer.num_training_batches) / self.plan.epochs
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = task.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Task) -> None:
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
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

    def _metric(self, epoch: int) -> float:
        return self.rows[epoch - 1][self.plan.monitor]

    def _better(self, metric: float, other: float) -> bool:
        return metric < other if MODES[self.plan.monitor] == "min" else metric > other

    def _save(self, trainer: lightning.Trainer, task: Task) -> None:
        if self.folder is None:
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

    def _tell(self) -> None:
        """A line, in a log as on a terminal, at most one every few seconds."""
        now = time.monotonic()
        due = now - self._told >= SECONDS_BETWEEN_LINES or self.finished
        if self.plan.progress is None or sys.stderr.isatty() or not due:
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


def _identity(plan: Plan, identity: Mapping[str, Any] | None) -> str:
    """Two trainings are the same if all is that decides their losses."""
    deciding = replace(plan, progress=None)
    return repr((deciding, sorted((identity or {}).items())))


def _copy(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


@contextmanager
def _interruptible(record: _Record) -> Iterator[None]:
    """Ctrl-C as the error that it is; Lightning would end the process with exit code 1, and may
    leave a second Ctrl-C unheard."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if record.interruption is None:
            raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
    if record.interruption is not None:
        raise record.interruption


class _quiet(warnings.catch_warnings):
    """Lightning without its greetings and its advice about data loaders and loggers."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module="lightning.*")
        self._loggers = [
            logging.getLogger(name)
            for name in (
                "lightning.pytorch",
                "lightning.fabric",
                "lightning.pytorch.utilities.rank_zero",
            )
        ]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *raised: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
        super().__exit__(*raised)
