"""The processes that torchrun starts for one command, and how they work together.

Rank 0 does what a single process does: it calls DVC, has made what the stage needs, writes and
logs. When it comes to the stage that was asked for, the other ranks meet it there and do the same
work beside it, so that they come to the same trainings, which all ranks share; what they find they
keep to themselves. Stages on the way there are made by rank 0 alone.

With DVC in between, rank 0 is a process below the one that torchrun has started. They find one
another by torchrun's store, whose address both have in their environment.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch.distributed import Store

TOGETHER = "STARGRAV_TOGETHER"  # environment variable: the stage that all ranks work on
WORK = "stargrav/work"  # in the store: whether there is anything to do
YES, NO = "yes", "no"
# torchrun ends all ranks when one fails, so that waiting needs no other end
PATIENCE = timedelta(days=30)
SECONDS_BETWEEN_LOOKS = 0.2

T = TypeVar("T")

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


def launched() -> bool:
    """Whether torchrun has started this process, or one above it, as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def follows() -> bool:
    """Whether it is another one than rank 0."""
    return launched() and int(os.environ["RANK"]) > 0


@contextmanager
def leading(stage: str) -> Iterator[None]:
    """Bring the other ranks to a stage, if there are any; in the end let those go who still wait.

    Args:
        stage: that was asked for, made in this process or by DVC below it.
    """
    if not launched() or TOGETHER in os.environ:  # or this is the stage, below DVC
        yield
        return
    os.environ[TOGETHER] = stage
    try:
        yield
    finally:
        del os.environ[TOGETHER]
    store, *_ = _rendezvous()
    store.compare_set(WORK, "", NO)


def meet(stage: str) -> bool:
    """Wait for all ranks at the beginning of a stage's work.

    Args:
        stage: where this process is; rank 0 goes on alone unless all have been brought to it.

    Returns:
        whether there is work to do; where rank 0 finds that nothing has changed, there is none.
    """
    if not launched() or (not follows() and os.environ.get(TOGETHER) != stage):
        return True
    store, *_ = _rendezvous()
    if not follows():
        store.set(WORK, YES)
    while not store.check([WORK]):  # a blocking wait would not hear signals
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if store.get(WORK).decode() == NO:
        return False
    join()
    return True


def join() -> None:
    """Wait for all ranks, to share the trainings from then on."""
    import torch
    from torch import distributed

    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    store, rank, size = _rendezvous()
    distributed.init_process_group(
        backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
    )
    atexit.register(distributed.destroy_process_group)


def count() -> int:
    """How many processes share the trainings of this one, itself included."""
    from torch import distributed

    joined = distributed.is_initialized() and not _ALONE.get()
    return distributed.get_world_size() if joined else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    from torch import distributed

    return distributed.get_rank() if count() > 1 else 0


def by_first(work: Callable[[], T]) -> T:
    """Have something done by rank 0 alone, and handed to all; trainings in it are not shared.

    Args:
        work: what it returns is pickled on its way to the other ranks.
    """
    if count() == 1:
        return work()
    from torch import distributed

    handed: list[T | None] = [None]
    if rank() == 0:
        token = _ALONE.set(True)
        try:
            handed = [work()]
        finally:
            _ALONE.reset(token)
    distributed.broadcast_object_list(handed)
    return handed[0]


def mean(value: float) -> float:
    """The mean of what all ranks have."""
    if count() == 1:
        return value
    import torch
    from torch import distributed

    total = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(total)
    return float(total) / count()


def _rendezvous() -> tuple[Store, int, int]:
    from torch.distributed import rendezvous

    return next(rendezvous("env://", timeout=PATIENCE))
