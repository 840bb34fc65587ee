"""Room in memory and on disk: what does not fit is refused before it starts.

Memory is what the machine can still give (psutil's `available`); where a scheduler of jobs allows
less of it, that is not known here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from stargrav.errors import InputError

GIB = 2**30


def require_memory(needed: float, purpose: str) -> None:
    """Refuse what does not fit into the memory that is free.

    Args:
        needed: bytes.
        purpose: what they are for, such as `LightGBM on 1,000,000 stars of 4096 pixels`.

    Raises:
        InputError: there are fewer.
    """
    require(needed, psutil.virtual_memory().available, purpose, "memory")


def require_disk(needed: float, folder: Path, purpose: str) -> None:
    """Refuse what does not fit onto the disk of a folder.

    Args:
        needed: bytes.
        folder: that will be written to; it need not exist yet.
        purpose: what they are for.

    Raises:
        InputError: there are fewer.
    """
    folder = Path(folder).resolve()
    place = next(each for each in (folder, *folder.parents) if each.exists())
    require(needed, shutil.disk_usage(place).free, purpose, f"disk of {folder}")


def require(needed: float, free: float, purpose: str, room: str) -> None:
    """Refuse what does not fit.

    Args:
        needed: bytes.
        free: bytes that there are.
        purpose: what they are for.
        room: where they are.

    Raises:
        InputError: there are fewer.
    """
    if needed > free:
        raise InputError(purpose, room, f"{_size(free)} free", _size(needed))


def _size(count: float) -> str:
    return f"{count / GIB:.1f} GiB"
