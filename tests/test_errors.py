"""The user's error: one line, also from another process."""

import pickle
from pathlib import Path

import pytest

from stargrav.errors import InputError, first_line


def test_it_comes_back_whole_from_another_process():
    error = InputError(Path("a.h5"), "flux, row 3", 1.5, "a positive number")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is InputError and vars(found) == vars(error)
    assert str(found) == str(error) == "a.h5: flux, row 3: found 1.5, expected a positive number"


@pytest.mark.parametrize(
    ("message", "line"), [("bad\nworse", "bad"), ("", "EOFError"), ("\n late ", "late")]
)
def test_first_line_is_never_empty(message, line):
    assert first_line(EOFError(message)) == line
