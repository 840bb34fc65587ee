"""What README and findings quote was measured."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUOTED = re.compile(r"(-?\d*\.\d+) \[(-?\d*\.\d+), (-?\d*\.\d+)\]")


def intervals(text):
    """Value, low and high of every interval in a text, as numbers, with where it stands."""
    text = re.sub(r"\s*\n\s*", " ", text)
    for found in QUOTED.finditer(text):
        yield tuple(map(float, found.groups())), text[max(0, found.start() - 60) : found.end()]


@pytest.fixture(scope="module")
def measured():
    """All intervals of the results and of printouts; of differences either way round."""
    pages = [ROOT / "docs" / "results.md", *sorted((ROOT / "docs").rglob("*.txt"))]
    found = {numbers for page in pages for numbers, _ in intervals(page.read_text())}
    return found | {(-value, -high, -low) for value, low, high in found}


@pytest.mark.parametrize("name", ["README.md", "docs/findings.md"])
def test_every_interval_that_is_quoted_was_measured(name, measured):
    quoted = list(intervals((ROOT / name).read_text()))
    assert len(quoted) > 5
    assert not [where for numbers, where in quoted if numbers not in measured]
