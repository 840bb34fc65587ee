"""The one training loop: Lightning's, made resumable to the bit.

After each epoch all that training consists of lies in one file: weights, best weights, optimiser,
schedule, history. What is random in an epoch (order, noise, dropout) is drawn from the seed and
the epoch's number alone. A training that was killed and started again therefore passes through
the same losses as one that was not, on the same device with as many threads; at most one epoch is
computed twice.

Where torchrun has started several processes (`ranks`), each takes its share of every batch and
the gradients are averaged (Li et al. 2020, PyTorch Distributed, arXiv:2006.15704). Order is drawn
alike on all, noise and dropout by each for itself; the statistics of a batch norm are those of a
share, rank 0's while it runs. Losses are thus those of a single process where nothing but the
order is random, and no batch norm is in the network.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from torch import Tensor

from stargrav import ranks
from stargrav.training.batches import Batches
from stargrav.training.device import device
from stargrav.training.plan import Plan
from stargrav.training.record import Record
from stargrav.training.tasks import Task


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
        none), learning_rate, seconds. All but the last are the same on all ranks, as weights are.

    Raises:
        KeyboardInterrupt: as it was; called again, training goes on from its last whole epoch.
        InputError: the plan wants a GPU, and there is none.
    """
    record = Record(plan, folder, _identity(plan, identity))
    record.restore(task)
    if not record.finished:
        with torch.random.fork_rng(), _interruptible(record), _quiet(), _threads(plan.threads):
            trainer = lightning.Trainer(
                max_epochs=plan.epochs - record.epoch,
                accelerator=device(plan.accelerator).type,
                **_processes(),
                precision=plan.precision,
                gradient_clip_val=plan.clip,
                callbacks=[record],
                enable_progress_bar=plan.progress is not None and sys.stderr.isatty(),
                enable_checkpointing=False,
                enable_model_summary=False,
                logger=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(task, _Seeded(train, record), valid)
    record.end(task)
    return record.table()


class _Seeded:
    """Training batches whose generator is set anew in each epoch; this process's share of them."""

    def __init__(self, batches: Batches, record: Record) -> None:
        self.batches = batches
        self.record = record
        batches.share.rank, batches.share.ranks = ranks.rank(), ranks.count()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self.batches.generator is not None:
            self.batches.generator.manual_seed(self.record.epoch_seed())
        yield from self.batches


def _processes() -> dict[str, Any]:
    """How Lightning is told that torchrun has started several processes, or that it has not."""
    count = ranks.count()
    if count == 1:
        return {"devices": 1}
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    # looks for parameters that a loss leaves out, and does not, after the first step, put the
    # gradients into other buckets, in which they may be summed in another order
    strategy = "ddp_find_unused_parameters_true"
    return {"strategy": strategy, "devices": local, "num_nodes": count // local}


def _identity(plan: Plan, identity: Mapping[str, Any] | None) -> str:
    """Two trainings are the same if all is that decides their losses."""
    deciding = replace(plan, progress=None)
    return repr((deciding, ranks.count(), sorted((identity or {}).items())))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads; once set, their number, and so the last bit, is not MKL's to choose."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _interruptible(record: Record) -> Iterator[None]:
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
