"""Splits: independent, reproducible to the bit, none in two."""

import hashlib

import numpy as np
import pytest

from stargrav.data.splits import SPLITS, draw_splits, index_splits
from stargrav.errors import InputError
from stargrav.labels import LABELS

SIZES = {"train": 300, "valid": 50, "test": 70}


def test_sizes_and_ids():
    stars = draw_splits(SIZES)
    assert stars.split.value_counts().to_dict() == SIZES
    assert stars.id.is_unique
    assert len(stars[list(LABELS)].drop_duplicates()) == 420


def test_data_sets_of_one_seed_share_no_star():
    one, other = draw_splits(SIZES), draw_splits(SIZES, number=1)
    for column in ("id", *LABELS):
        assert not np.isin(one[column], other[column]).any()


def test_bits_are_those_of_the_seed():
    """The digest was taken once; PCG64 streams are the same on every processor."""
    values = draw_splits(SIZES)[list(LABELS)].to_numpy()
    digest = hashlib.md5(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()
    assert digest == "4cc629f9300c131881fcf59162e997ae"
    assert not np.array_equal(values, draw_splits(SIZES, seed=43)[list(LABELS)].to_numpy())


def test_a_split_does_not_depend_on_the_size_of_the_others():
    small, large = draw_splits(SIZES), draw_splits({**SIZES, "train": 3000})
    for name, expected in SIZES.items():
        one, other = (
            table[table.split == name].head(expected).reset_index(drop=True)
            for table in (small, large)
        )
        assert one.equals(other)


def test_ready_made_rows_are_divided():
    rows = index_splits(1000, {"train": 500, "valid": 50, "test": 70})
    assert {name: len(part) for name, part in rows.items()} == {
        "train": 500,
        "valid": 50,
        "test": 70,
    }
    together = np.concatenate(list(rows.values()))
    assert len(np.unique(together)) == 620 and together.max() < 1000
    assert list(rows) == list(SPLITS)
    default = index_splits(1000)
    assert [len(default[name]) for name in SPLITS] == [800, 100, 100]
    np.testing.assert_array_equal(default["train"], index_splits(1000)["train"])


def test_too_few_rows():
    with pytest.raises(InputError, match="spectra: found 19, expected at least 20"):
        index_splits(19)
    assert [len(rows) for rows in index_splits(20).values()] == [16, 2, 2]


def test_a_row_stays_in_its_split_whatever_the_sizes():
    """Two data sets of one file share no star between the training of one and the test of both."""
    small = index_splits(5000, {"train": 300, "valid": 50, "test": 40})
    large = index_splits(5000, {"train": 9000, "valid": 400, "test": 500})
    for split, rows in small.items():
        assert set(rows) <= set(large[split])
        for other in set(large) - {split}:
            assert not set(rows) & set(large[other])
