"""Small made-up spectra and files of every kind."""

import h5py
import numpy as np
import pandas as pd
import pytest
from made_up import NODES, WAVE, spectra

from stargrav.data import store
from stargrav.labels import LABELS
from stargrav.physics.grid import Library


@pytest.fixture
def grid_file(tmp_path):
    path = tmp_path / "grid.h5"
    store.write_grid(path, WAVE, spectra(NODES), NODES, resolution=5000.0)
    return path


@pytest.fixture
def library():
    return Library.from_grid(WAVE, spectra(NODES), NODES, 6, 5000.0, "fake")


@pytest.fixture
def foreign(tmp_path):
    """Writes a pfsspec file as other tools of the field do; `change` may spoil it first."""

    def write(change=None, rows=6, pixels=40):
        rng = np.random.default_rng(0)
        parts = {
            "wave": np.linspace(7200, 7300, pixels),
            "flux": rng.uniform(1, 3, (rows, pixels)),
            "error": rng.uniform(0.1, 0.2, (rows, pixels)),
            "stars": pd.DataFrame(
                {name: rng.uniform(0, 1, rows) for name in (*LABELS, "redshift", "mag", "snr")}
            ),
        }
        if change is not None:
            change(parts)
        path = tmp_path / "foreign.h5"
        with h5py.File(path, "w") as file:
            file["spectrumdataset/wave"] = parts["wave"]
            for key in ("flux", "error"):
                file.create_dataset(
                    f"dataset/arrays/{key}/value", data=parts[key], chunks=True, compression="gzip"
                )
        if parts["stars"] is not None:
            parts["stars"].to_hdf(path, key="dataset/params", mode="a", format="table")
        return path

    return write
