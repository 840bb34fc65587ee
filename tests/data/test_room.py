"""What does not fit is refused before it starts, with what it needs and what there is."""

import shutil
from collections import namedtuple

import psutil
import pytest
from chosen import whole

from stargrav.data import room
from stargrav.data.room import GIB, require_disk, require_memory
from stargrav.errors import InputError
from stargrav.stages import Work, dataset, splits

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def small(monkeypatch):
    """A machine with 3 GiB of memory and 10 KiB of disk to spare."""
    memory = namedtuple("Memory", "total available")(8 * GIB, 3 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(GIB, GIB - 10 * 1024, 10 * 1024))


def test_memory_that_is_not_there_is_told(small):
    require_memory(3 * GIB, "a fit")
    with pytest.raises(InputError, match="^a fit: memory: found 3.0 GiB free, expected 3.5 GiB$"):
        require_memory(3.5 * GIB, "a fit")


def test_disk_is_that_of_a_folder_to_be_made(small, tmp_path):
    require_disk(10 * 1024, tmp_path / "not" / "yet", "a data set")
    with pytest.raises(InputError, match="a data set: disk of .*yet: found .* expected 2.0 GiB"):
        require_disk(2 * GIB, tmp_path / "not" / "yet", "a data set")


def test_a_data_set_that_does_not_fit_is_not_begun(small, foreign, tmp_path, monkeypatch):
    chosen = whole(splits={"train": 24, "valid": 3, "test": 3})
    folders = {name: tmp_path / name for name in ("splits", "dataset")}
    work = Work("dataset", chosen, foreign(rows=30), folders, tmp_path / "scratch")
    for folder in folders.values():
        folder.mkdir()
    splits.build(work, folders["splits"])
    monkeypatch.setattr(room, "GIB", 1024)
    monkeypatch.setattr(dataset, "BYTES", 9)  # 30 spectra of 40 pixels: a little too much
    with pytest.raises(InputError, match="30 spectra of 40 pixels.*found 10.0 .* expected 10.5"):
        dataset.build(work, folders["dataset"])
    assert not work.scratch.exists()
    monkeypatch.undo()
    dataset.build(work, folders["dataset"])
    assert len(list(folders["dataset"].glob("*.h5"))) == 3
