"""Folders are whole or what they were."""

import threading

import pytest

from stargrav.files import alone, whole


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
