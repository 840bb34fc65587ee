"""Files and folders: whole or absent (written aside, then renamed), and known by their hash."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

from stargrav.errors import InputError

_WRITABLE = "a folder that can be written to"


def require_writable(
    out: Path, field: str, makes_folders: bool = False, inputs: Iterable[Path | None] = ()
) -> Path:
    """Refuse a place that no file can be written to, before anything is computed for it.

    Args:
        out: file to be written.
        field: what names it, for the error.
        makes_folders: folders that are missing will be made, as `data.store` does.
        inputs: files that are read for it, None for one that is not given.

    Returns:
        the file to write: `out`, or what it links to.

    Raises:
        InputError: `out` is a folder, a device or an input, or stands in no folder that can be
            written to.
    """
    target = Path(os.path.realpath(out))  # `resolve` raises where a link leads to itself
    try:
        refused = _obstacle(target, makes_folders)
    except PermissionError as error:
        refused = f"no permission to look into {error.filename}", _WRITABLE
    if any(each is not None and os.path.realpath(each) == str(target) for each in inputs):
        refused = "a file that is read for it", "another file"
    if refused is not None:
        raise InputError(out, field, *refused)
    return target if out.is_symlink() else out


def _obstacle(target: Path, makes_folders: bool) -> tuple[str, str] | None:
    """What is found and expected where a file cannot be written."""
    parent = target.parent
    while makes_folders and not parent.exists():
        parent = parent.parent
    if target.is_dir() or not parent.is_dir():
        found = "a folder" if target.is_dir() else "no such folder"
        return found, "a file in a folder that exists"
    if target.exists() and not target.is_file():
        return "a pipe or a device", "a regular file"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"no permission to write in {parent}", _WRITABLE
    return None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write a file under that becomes `path` once it is complete.

    The name is this process's own: of two that write the same file, the last to end is kept. What
    a process has left that was killed is dropped.
    """
    for rest in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = rest.name.split(".")[-2]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            rest.unlink(missing_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `folder` once it is complete.

    Whatever interrupts the writing, `folder` stays what it was; what had been written aside is
    dropped, after a kill by the next attempt. Only a kill between the two renames at the end
    leaves `folder` under another name, from which the next attempt takes it back. Of two processes
    that write the same folder, the second waits for the first.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    before = folder.with_name(f".{folder.name}.before")
    with alone(folder):
        yield from _replaced(folder, aside, before)


def _replaced(folder: Path, aside: Path, before: Path) -> Iterator[Path]:
    if before.exists() and not folder.exists():
        before.rename(folder)
    for rest in (aside, before):
        shutil.rmtree(rest, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(before)
    aside.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


@contextmanager
def alone(path: Path, waits: str | None = None) -> Iterator[None]:
    """Wait until no other process of this machine is at work on a file or folder.

    Args:
        path: of the file or folder.
        waits: printed where there is something to wait for.
    """
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    with (folder_of_marks("locks") / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits is not None:
                print(waits, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def folder_of_marks(kind: str) -> Path:
    """A folder of this user on this machine for files by which processes know of each other.

    Args:
        kind: of marks; each has its folder.

    Raises:
        InputError: someone else has made a folder of that name.
    """
    own = Path(tempfile.gettempdir()) / f"stargrav-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():
        raise InputError(own, "owner", own.stat().st_uid, f"{os.getuid()}; set TMPDIR elsewhere")
    (own / kind).mkdir(mode=0o700, exist_ok=True)
    return own / kind


def hash_tree(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names.

    A file is read once per process as long as its size and time do not change.
    """
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if "__pycache__" not in file.parts:
            facts = file.stat()
            digest.update(file.relative_to(path.parent).as_posix().encode())
            digest.update(_hash_file(file, facts.st_size, facts.st_mtime_ns))
    return digest.hexdigest()


@cache
def _hash_file(file: Path, size: int, time: int) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
