"""MLflow runs whose process was killed: marked while at work, ended by whoever comes next.

MLflow sets the status of a run when its process ends in order; after a kill it stays RUNNING.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from stargrav.files import alone, folder_of_marks

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEPT = 30 * 86400.0  # seconds, that the mark of a run in another store is kept


@contextmanager
def at_work(run: str | None) -> Iterator[None]:
    """Mark a run as being worked on; an error leaves the mark, which is nobody's from then on.

    Several processes may work on one run, each inside another.

    Args:
        run: MLflow's id of it; none: there is nothing to mark.
    """
    if run is None:
        yield
        return
    folder = folder_of_marks("runs")
    with alone(folder):
        mark = (folder / run).open("w")
        fcntl.flock(mark, fcntl.LOCK_SH)
    with mark:
        yield
        with alone(folder):
            if _is_nobodys(mark):
                (folder / run).unlink(missing_ok=True)


def end_abandoned(client: MlflowClient) -> list[str]:
    """Say KILLED of the runs in a store that processes of this machine worked on and left.

    Args:
        client: of the store; marks of runs in other stores are kept, for a month.

    Returns:
        ids of the runs.
    """
    from mlflow.exceptions import MlflowException

    ended = []
    for path in _left():
        try:
            status = client.get_run(path.name).info.status
        except MlflowException:
            if time.time() - path.stat().st_mtime > KEPT:  # its store may be no more
                path.unlink(missing_ok=True)
            continue
        if status == "RUNNING":
            client.set_terminated(path.name, "KILLED")
            ended.append(path.name)
        path.unlink(missing_ok=True)
    return ended


def _left() -> list[Path]:
    """Marks of runs that no process is at work on."""
    folder, left = folder_of_marks("runs"), []
    with alone(folder):
        for path in sorted(folder.iterdir()):
            with path.open() as mark:
                if _is_nobodys(mark):
                    left.append(path)
    return left


def _is_nobodys(mark: IO[str]) -> bool:
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
