"""Progress: a line now and then where there is no terminal."""

import io

import pytest

from stargrav import progress
from stargrav.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Lines at any time, rather than every twenty seconds."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)


def test_lines_say_how_far_it_is(clock):
    said = io.StringIO()
    with Progress(total=4000, desc="train", unit=" spectra", file=said) as bar:
        for _ in range(4):
            bar.update(1000)
    lines = said.getvalue().splitlines()
    assert [line.partition(" spectra,")[0] for line in lines] == [
        f"train: {n:,} of 4,000" for n in (1000, 2000, 3000, 4000)
    ]
    assert "\r" not in said.getvalue() and said.getvalue().endswith(" s\n")


def test_what_is_short_says_nothing():
    said = io.StringIO()
    assert list(Progress(range(50), desc="short", file=said)) == list(range(50))
    assert said.getvalue() == ""


def test_on_a_terminal_it_is_a_bar_that_is_taken_away(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(said, "isatty", lambda: True)
    with Progress(total=10, desc="bar", file=said, mininterval=0) as bar:
        bar.update(5)
    assert "50%" in said.getvalue() and "\n" not in said.getvalue()
