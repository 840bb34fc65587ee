"""Folders are whole or what they were."""

import pytest

from stargrav.files import whole


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
