"""Files and folders: whole or absent (written aside, then renamed), and known by their hash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from stargrav.errors import InputError


def require_writable(out: Path, field: str, makes_folders: bool = False) -> None:
    """Refuse a place that no file can be written to, before anything is computed for it.

    Args:
        out: file to be written.
        field: what names it, for the error.
        makes_folders: folders that are missing will be made, as `data.store` does.

    Raises:
        InputError: `out` is a folder, or stands in none.
    """
    parent = out.parent
    while makes_folders and not parent.exists():
        parent = parent.parent
    if out.is_dir() or not parent.is_dir():
        found = "a folder" if out.is_dir() else "no such folder"
        raise InputError(out, field, found, "a file in a folder that exists")


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
