"""DVC as Stargrav calls it: in a process that tells what was made, and ends with its caller.

A stage that DVC runs leaves messages for the process that called DVC, in a folder named in its
environment. The caller holds a lock in that folder for as long as it lives, so that a stage that
gets the lock knows that it works for nobody, however its caller ended, and ends as well.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stargrav.errors import InputError
from stargrav.files import alone

MESSAGES = "STARGRAV_MESSAGES"  # environment variable: the folder
RAN, MISTAKE, CALLER = "ran.", "mistake.json", "caller.lock"  # in it
MISSING = ("Missing cache files", "Unable to pull data", "Pulling data")
TELL_OF_MISSING = ("dvc.data_cloud", "dvc_data.index.fetch", "dvc.stage")  # loggers
BUSY = "another command is at work in this folder; this one goes on when that has ended"


class StageError(RuntimeError):
    """DVC could not do what it was asked for; it has said why."""


@dataclass(frozen=True)
class Stream:
    """How DVC is called where several of it work at a time, each from a thread of the caller.

    Attributes:
        name: before each line of its output.
        threads: for the stage to compute with.
        ended: set when all of them are to end.
    """

    name: str
    threads: int
    ended: threading.Event

    def tell(self, output: IO[str]) -> None:
        """Pass lines on as they come."""
        for line in output:
            print(f"{self.name} | {line}", end="", flush=True)


def dvc(root: Path, *arguments: str, stream: Stream | None = None) -> set[str]:
    """Run DVC of this environment in the project's root, after any other command there.

    Args:
        root: the project's root.
        arguments: of DVC's command line.
        stream: where it is one of several, whose caller holds `undisturbed`; without it, it has
            this process's output for itself.

    Returns:
        names of the stages that were made in it.

    Raises:
        InputError: a stage told of a user's mistake; the same error once more.
        StageError: it failed otherwise.
        KeyboardInterrupt: this process was interrupted, or the streams are to end.
    """
    if stream is None:
        with undisturbed(root):
            return _dvc(root, arguments, None)
    return _dvc(root, arguments, stream)


def undisturbed(root: Path) -> AbstractContextManager[None]:
    """Wait for other commands that have DVC make something in a project, and keep others out."""
    return alone(root / "dvc.yaml", BUSY)


def _dvc(root: Path, arguments: Sequence[str], stream: Stream | None) -> set[str]:
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", __name__, *arguments]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / CALLER).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment[MESSAGES] = folder
        if stream is None:
            started = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True)
            status = _wait(started)
        else:
            environment |= {"OMP_NUM_THREADS": str(stream.threads), "PYTHONUNBUFFERED": "1"}
            started = subprocess.Popen(
                command,
                cwd=root,
                env=environment,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            teller = threading.Thread(target=stream.tell, args=(started.stdout,))
            teller.start()
            try:
                status = _wait(started, stream.ended)
            finally:
                teller.join()
        mistake = Path(folder) / MISTAKE
        if mistake.exists():
            raise InputError(*json.loads(mistake.read_text()))
        if status:
            raise StageError(f"dvc {' '.join(arguments)}: exit status {status}")
        return {path.name.removeprefix(RAN) for path in Path(folder).glob(f"{RAN}*")}


def tell(name: str, content: str = "") -> None:
    """Leave a message for the process that called DVC, if there is one."""
    if MESSAGES in os.environ:
        (Path(os.environ[MESSAGES]) / name).write_text(content)


def end_with_caller() -> None:
    """From now on end, as by SIGTERM, when the process that this one works for has ended.

    That is the one that called DVC or, outside of DVC, `mlflow run`. A process that nobody but a
    user's shell has started goes on, so that `nohup` does what it says.
    """
    if MESSAGES in os.environ:
        # ignored by what a script has put in the background; here only the caller sends it
        signal.signal(signal.SIGINT, signal.default_int_handler)
        wait, watched = _wait_for_lock, Path(os.environ[MESSAGES]) / CALLER
    elif "MLFLOW_RUN_ID" in os.environ:
        wait, watched = _wait_for_parent, os.getppid()
    else:
        return

    def follow() -> None:
        wait(watched)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()


def _wait_for_lock(path: Path) -> None:
    with suppress(FileNotFoundError), path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def _wait_for_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)


def _wait(process: subprocess.Popen, ended: threading.Event | None = None) -> int:
    """Exit status; when this process is interrupted, DVC and the stage under it are too."""
    try:
        while ended is not None and not ended.is_set():
            with suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.2)
        if ended is not None:
            raise KeyboardInterrupt
        return process.wait()
    except BaseException:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
                break
        raise


def main() -> None:
    """DVC's own command line, but for what it says of outputs that the remote does not hold: in a
    fresh clone most are not stored, and the stages that make them are run."""
    from dvc.cli import main as command_line

    def telling(record: logging.LogRecord) -> bool:
        return not any(text in str(record.msg) for text in MISSING)

    for name in TELL_OF_MISSING:
        logging.getLogger(name).addFilter(telling)
    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
