"""The user's error: one line, also from another process."""

import pickle
from pathlib import Path

import pytest

from stargrav.errors import InputError, first_line, one_of


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


def test_a_name_that_was_meant_is_named_first():
    known = ["encoder_mlp", "linear_probe"]
    assert one_of("encoder_mpl", known) == "encoder_mlp? It is one of encoder_mlp, linear_probe"
    assert one_of("student", known) == "one of encoder_mlp, linear_probe"
