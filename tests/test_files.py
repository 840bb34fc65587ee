"""Files and folders are whole or what they were."""

import os
import threading

import pytest

from stargrav.errors import InputError
from stargrav.files import alone, require_writable, whole, whole_file


def test_a_file_that_is_read_is_not_written(tmp_path):
    read, link = tmp_path / "read.h5", tmp_path / "link.h5"
    read.touch()
    link.symlink_to(read)
    for out in (read, link, tmp_path / "new" / ".." / "read.h5"):
        with pytest.raises(InputError, match="OUT: found a file that is read for it"):
            require_writable(out, "OUT", inputs=(None, read))
    assert require_writable(tmp_path / "other.h5", "OUT", inputs=(read,)).name == "other.h5"
    assert require_writable(link, "OUT") == read  # of a link, what it leads to


def test_only_regular_files_are_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for out in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(InputError, match="OUT: found a pipe or a device"):
            require_writable(type(tmp_path)(out), "OUT")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    for out in (tmp_path / "x.h5", tmp_path / "new" / "x.h5"):
        with pytest.raises(InputError, match="OUT: found no permission to write in"):
            require_writable(out, "OUT", makes_folders=True)


def test_what_a_killed_process_has_left_is_dropped_and_no_others(tmp_path):
    ended, running, other = (f".x.h5.{number}.part" for number in (2**31 - 1, os.getppid(), "a"))
    for name in (ended, running, other):
        (tmp_path / name).touch()
    with whole_file(tmp_path / "x.h5") as aside:
        aside.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((running, other, "x.h5"))


def test_folder_appears_whole_and_replaces_the_one_before(tmp_path):
    folder = tmp_path / "out"
    for content in ("one", "two"):
        with whole(folder) as aside:
            (aside / "file").write_text(content)
            assert aside != folder
        assert (folder / "file").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_interrupted_writing_leaves_what_was_there(tmp_path):
    folder = tmp_path / "out"
    with whole(folder) as aside:
        (aside / "file").write_text("one")
    with pytest.raises(KeyboardInterrupt), whole(folder) as aside:
        (aside / "file").write_text("tw")
        raise KeyboardInterrupt
    assert (folder / "file").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / ".out.partial").mkdir()  # as a kill leaves it
    (tmp_path / ".out.partial" / "file").touch()
    with whole(folder) as aside:
        assert not list(aside.iterdir())


def test_folder_is_taken_back_after_a_kill_between_the_renames(tmp_path):
    folder = tmp_path / "out"
    before = tmp_path / ".out.before"
    before.mkdir()
    (before / "file").write_text("one")
    with pytest.raises(KeyboardInterrupt), whole(folder):
        raise KeyboardInterrupt
    assert (folder / "file").read_text() == "one"


def test_who_has_to_wait_says_so(tmp_path, capsys):
    with alone(tmp_path, "waiting"):
        other = threading.Thread(target=lambda: alone(tmp_path, "waiting").__enter__())
        other.start()
        other.join(0.3)
        assert other.is_alive() and capsys.readouterr().out == "waiting\n"
    other.join(10)
    assert not other.is_alive()
    with alone(tmp_path / "elsewhere", "waiting"):
        assert capsys.readouterr().out == ""


def test_two_writers_of_a_folder_do_not_mix(tmp_path):
    folder, entered = tmp_path / "out", threading.Event()

    def second():
        with whole(folder) as aside:
            entered.set()
            (aside / "two").touch()

    with whole(folder) as aside:
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.3)
        (aside / "one").touch()
    other.join()
    assert [path.name for path in folder.iterdir()] == ["two"]
