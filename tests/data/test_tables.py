"""Tables of stars as pandas writes them, read without running anything."""

import os
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest

from stargrav.data.tables import read_frame

KEY = "dataset/params"
FORMATS = [
    {"format": "fixed"},
    {"format": "table"},
    {"format": "table", "data_columns": True, "index": False},
]


@pytest.fixture
def stars():
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "T_eff": rng.uniform(3750, 6000, 7),
            "id": np.arange(7)[::-1],
            "log_g": rng.uniform(1, 5, 7),
            "name": list("abcdefg"),
            "mag": rng.uniform(18, 23, 7).astype(np.float32),
            "snr": rng.uniform(1, 9, 7).astype(np.float32),
        },
        index=np.arange(10, 17),
    )


@pytest.mark.parametrize("options", FORMATS)
def test_numbers_are_those_that_pandas_reads(tmp_path, stars, options):
    path = tmp_path / "stars.h5"
    stars.to_hdf(path, key=KEY, **options)
    with h5py.File(path) as file:
        found = read_frame(file[KEY])
    expected = pd.read_hdf(path, KEY).select_dtypes("number").reset_index(drop=True)
    pd.testing.assert_frame_equal(found[expected.columns.tolist()], expected)
    assert len(found.columns) == len(expected.columns)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("options", FORMATS)
def test_nothing_that_a_file_carries_is_run(tmp_path, stars, options):
    path, marker = tmp_path / "stars.h5", tmp_path / "ran"
    stars.assign(name="long " * 9).to_hdf(path, key=KEY, **options)
    bad = np.bytes_(pickle.dumps(Payload(marker), protocol=0))
    with h5py.File(path, "a") as file:
        group = file[KEY]
        group.attrs["non_index_axes"] = bad
        for node in group.values():
            for name in [name for name in node.attrs if name.endswith("_kind")]:
                if name != "index_kind":
                    node.attrs[name] = bad
        try:
            read_frame(group)
        except ValueError as error:
            assert "names" in str(error)
    assert not marker.exists()
    with pytest.raises(Exception, match=".*"):  # the payload is one: pandas runs it, then stumbles
        pd.read_hdf(path, KEY).loc[:, "no such column"]
    assert marker.exists()


def test_what_is_no_table_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dataset/params/else"] = 1.0
        with pytest.raises(ValueError, match="else in the group"):
            read_frame(file[KEY])
