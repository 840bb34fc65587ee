"""The fits to many stars on many workers, through Dask.

A scheduler's address stands for a cluster, however it was started. Features are handed over as
parts that each worker reads for itself (`inference.draws.StreamedPixels`), so that the files have
to lie where all workers see them. Sums over stars are added pair by pair, near where they are;
LightGBM's own estimator joins the histograms of the workers, whose parts it holds in memory.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dask
import dask.array
import lightgbm
import numpy as np
from distributed import Client

from stargrav.data.room import require
from stargrav.errors import InputError, first_line
from stargrav.models.ridge import Rows, Sums
from stargrav.models.trees import settings

Portion = tuple[Rows, np.ndarray]  # features (n, f) of some stars, and their label (n,)
PATIENCE = 60  # seconds, for a scheduler with at least one worker


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """A client of a running cluster.

    Args:
        scheduler: its address, such as `tcp://node7:8786`.

    Raises:
        InputError: nothing answers there, or there are no workers.
    """
    client = None
    try:
        client = Client(scheduler, timeout=PATIENCE)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        if client is not None:
            client.close()
        found = f"{scheduler} ({first_line(error)})"
        wanted = "the address of a Dask scheduler with workers"
        raise InputError("scheduler", "address", found, wanted) from error
    with client:
        yield client


def threads(client: Client) -> int:
    """Threads of all workers: as many portions keep each of them at work."""
    return sum(client.nthreads().values())


def require_memory(client: Client, stars: int, features: int) -> None:
    """Refuse trees whose features the workers cannot hold: in float32, twice, and in bins.

    Args:
        client: of the cluster; workers without a limit are trusted.
        stars: their number.
        features: of each.

    Raises:
        InputError: there is less memory.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [worker["memory_limit"] for worker in workers]
    if all(limits):
        purpose = f"LightGBM on {stars:,} stars of {features} pixels"
        needed = (2 * 4 + 1) * stars * features
        require(needed, sum(limits), purpose, "memory of the workers")


def summed(client: Client, portions: Sequence[Portion], origin: np.ndarray) -> Sums:
    """Sums over the stars of all portions.

    Args:
        client: of the cluster.
        portions: one per worker, or more.
        origin: (f,) see `Sums`.
    """
    found = [client.submit(Sums.of, x, y, origin, pure=False) for x, y in portions]
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        odd = found[len(found) // 2 * 2 :]
        found = [client.submit(operator.add, *pair, pure=False) for pair in pairs] + odd
    return found[0].result()


def boost(
    client: Client, portions: Sequence[Portion], trees: int, **given: float
) -> lightgbm.Booster:
    """Fit trees to the stars of all portions; bins are found by the workers, each from its own.

    Args:
        client: of the cluster.
        portions: one per worker, or more.
        trees: boosting rounds.
        given: see `models.trees.settings`.
    """
    read = dask.delayed(operator.getitem, pure=False)
    width = portions[0][0].shape[1]
    x = dask.array.concatenate(
        [
            dask.array.from_delayed(read(x, slice(None)), (len(x), width), np.float32)
            for x, _ in portions
        ]
    )
    y = dask.array.concatenate([dask.array.from_array(y, chunks=len(y)) for _, y in portions])
    model = lightgbm.DaskLGBMRegressor(client=client, n_estimators=trees, **settings(**given))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Parameter n_jobs")  # each worker has its own number
        return model.fit(x, y).booster_
