"""Files: round trips, the same bytes for the same content, nothing half-written."""

import hashlib
import os
import resource
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from made_up import NODES, WAVE, spectra

from stargrav.data import store
from stargrav.data.dataset import write_dataset
from stargrav.data.loader import NoisySpectra
from stargrav.errors import InputError
from stargrav.labels import LABELS
from stargrav.observation.simulate import Simulator, draw_stars, snr


def stars_of(library, n=5, **given):
    return draw_stars(n, "mag215", library.ranges, np.random.default_rng(0), **given)


def digest(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_library_round_trip(tmp_path, library):
    path = tmp_path / "library.h5"
    store.write_library(path, library, {"lines": 600, "code": "abc"})
    again = store.read_library(path)
    labels = torch.tensor(NODES[:7])
    assert torch.equal(again.flux_at(labels), library.flux_at(labels))
    assert (again.resolution, again.name) == (library.resolution, str(path))
    assert store.kind_of(path) == "library"
    attributes = store.read_attributes(path)
    assert attributes["lines"] == 600 and attributes["code"] == "abc"


def test_grid_round_trip_keeps_the_column_order_of_grid_files(grid_file):
    wave, flux, labels, resolution = store.read_grid(grid_file)
    np.testing.assert_array_equal(wave, WAVE)
    np.testing.assert_array_equal(flux, spectra(NODES).astype(np.float32))
    np.testing.assert_array_equal(labels, NODES)
    assert resolution == 5000 and store.kind_of(grid_file) == "grid"
    with h5py.File(grid_file) as file:
        assert file["para"][0].tolist() == [-1, 4000, 1, 0, 0]  # M_H, T_eff, log_g, C_M, a_M


def test_data_set_is_read_back_and_by_pandas_without_a_key(tmp_path, library):
    path = tmp_path / "set.h5"
    simulator, stars = Simulator(library), stars_of(library, 1100)
    flux, error = simulator(stars)
    table = write_dataset(path, simulator, stars)
    again = store.read_spectra(path)
    assert isinstance(again.flux, np.memmap) and not again.flux.flags.writeable
    torch.testing.assert_close(torch.tensor(again.flux), flux)
    torch.testing.assert_close(torch.tensor(again.error), error)
    np.testing.assert_array_equal(again.wave, simulator.wave)
    by_pandas = pd.read_hdf(path)
    pd.testing.assert_frame_equal(by_pandas, table)
    pd.testing.assert_frame_equal(again.stars, table)
    wanted = {*LABELS, "redshift", "mag", "snr", "seeing", "zenith_angle", "field_angle", "id"}
    assert wanted <= set(by_pandas)
    ratio = snr(flux, error)
    np.testing.assert_allclose(by_pandas.snr, ratio["median"], rtol=1e-6)
    np.testing.assert_allclose(by_pandas.snr_norm, ratio["norm"], rtol=1e-6)
    np.testing.assert_allclose(again.labels, stars[list(LABELS)], rtol=1e-6)


@pytest.mark.parametrize("error", ["noiseless", "observed"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, library, error):
    simulator = Simulator(library, error=error)
    paths = [tmp_path / name for name in ("one.h5", "two.h5")]
    for path in paths:
        write_dataset(path, simulator, stars_of(library, 30), seed=7)
        time.sleep(1.1)  # HDF5 time stamps count seconds
    assert digest(paths[0]) == digest(paths[1])
    assert store.read_spectra(paths[0]).error_kind == error


def test_a_file_of_observed_errors_goes_with_the_noise_of_its_seed(tmp_path, library):
    path, stars = tmp_path / "set.h5", stars_of(library, 30)
    write_dataset(path, Simulator(library, error="observed"), stars, seed=7)
    spectra = store.read_spectra(path)
    assert store.read_attributes(path)["noise_seed"] == 7
    found = np.concatenate([b["error"] for b in NoisySpectra(spectra, 8, 1.0, seed=7)])
    np.testing.assert_allclose(spectra.error, found, rtol=1e-5)  # ids are rows here
    store.import_spectra(path, tmp_path / "again.h5")
    assert store.read_spectra(tmp_path / "again.h5").error_kind == "observed"


def test_a_table_of_many_dtypes_survives(tmp_path):
    table = pd.DataFrame(
        {"id": np.arange(3), "T_eff": [1.5, 2, 3], "flag": np.array([1, 0, 1], np.int8)}
    )
    ones = np.ones((3, 4), np.float32)
    store.write_spectra(tmp_path / "t.h5", np.arange(4.0), [(ones, ones)], table)
    pd.testing.assert_frame_equal(pd.read_hdf(tmp_path / "t.h5"), table)


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, library):
    path = tmp_path / "set.h5"
    write_dataset(path, Simulator(library), stars_of(library))
    before = digest(path)

    def interrupted():
        yield np.ones((2, 4)), np.ones((2, 4))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_spectra(path, np.arange(4.0), interrupted(), pd.DataFrame({"id": range(5)}))
    assert [file.name for file in tmp_path.iterdir()] == ["set.h5"] and digest(path) == before


def test_two_that_write_the_same_file_leave_each_others_alone(tmp_path, monkeypatch):
    path, ones = tmp_path / "set.h5", np.ones((2, 4), np.float32)
    table, wave = pd.DataFrame({"id": range(2)}), np.arange(4.0)

    def while_another_writes():
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", os.getppid)
            store.write_spectra(path, wave, [(ones, 2 * ones)], table)
        yield ones, ones

    store.write_spectra(path, wave, while_another_writes(), table)
    with h5py.File(path) as file:
        assert (file[store.ERROR][()] == 1).all()
    assert [file.name for file in tmp_path.iterdir()] == ["set.h5"]


@pytest.mark.parametrize("room", [10_000, 1_605_000])
def test_a_full_disk_is_told_as_the_system_does(tmp_path, room):
    """Not as an error of HDF5 in closing the file; in the spectra and in the table."""
    values, table = np.ones((2000, 100), np.float32), pd.DataFrame({"id": range(2000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match="File too large: .*x.h5"):
            batches = [(values, values)]
            store.write_spectra(tmp_path / "x.h5", np.arange(100.0), batches, table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "columns",
    [
        np.array(store.GRID_LABELS, dtype="S"),
        np.array(store.GRID_LABELS, dtype=object),
        np.bytes_(", ".join(store.GRID_LABELS)),
    ],
)
def test_attributes_of_a_grid_as_other_tools_store_them(grid_file, columns):
    with h5py.File(grid_file, "a") as file:
        file.attrs["columns"] = columns
        file.attrs["resolution"] = np.array([2000.0])
    assert store.read_grid(grid_file)[3] == 2000


@pytest.mark.parametrize(
    ("flux", "error", "message"),
    [
        (np.nan, 1.0, "flux/value, row 3, pixel 1: found nan"),
        (1.0, np.inf, "error/value, row 3, pixel 1: found inf"),
        (1.0, 0.0, "error/value: found an error that is not positive"),
    ],
)
def test_nothing_unusable_is_written(tmp_path, flux, error, message):
    values = np.ones((2, 2, 2, 4))
    values[1, 0, 1, 1], values[1, 1, 1, 1] = flux, error
    table = pd.DataFrame({"id": range(4)})
    with pytest.raises(InputError, match=message):
        store.write_spectra(tmp_path / "x.h5", np.arange(4.0), map(tuple, values), table)
    assert not list(tmp_path.iterdir())


def test_as_many_spectra_as_stars(tmp_path):
    ones = np.ones((2, 4))
    with pytest.raises(InputError, match="found 2 spectra, expected 3"):
        store.write_spectra(
            tmp_path / "x.h5", np.arange(4.0), [(ones, ones)], pd.DataFrame({"id": range(3)})
        )


def test_foreign_data_set_is_normalised_filled_and_imported(tmp_path, foreign):
    kept = {}

    def change(parts):
        kept.update(flux=parts["flux"].copy(), error=parts["error"].copy())
        parts["error"][2, :3] = np.nan
        parts["error"][4, -1] = np.nan

    path = foreign(change)
    spectra = store.read_spectra(path)
    assert spectra.error_kind == "as given"
    level = np.median(kept["flux"], axis=1, keepdims=True)
    np.testing.assert_allclose(spectra.flux, kept["flux"] / level, rtol=1e-6)
    kept["error"][2, :3], kept["error"][4, -1] = kept["error"][2, 3], kept["error"][4, -2]
    np.testing.assert_allclose(spectra.error, kept["error"] / level, rtol=1e-6)
    store.import_spectra(path, tmp_path / "own.h5")
    own = store.read_spectra(tmp_path / "own.h5")
    assert isinstance(own.flux, np.memmap)
    np.testing.assert_array_equal(own.flux, spectra.flux)
    np.testing.assert_array_equal(own.error, spectra.error)
    pd.testing.assert_frame_equal(own.stars, spectra.stars)


def test_a_foreign_data_set_too_large_for_the_memory_has_to_be_imported(foreign, monkeypatch):
    monkeypatch.setattr(store, "IN_MEMORY", 100)
    with pytest.raises(InputError, match="stargrav import pfsspec"):
        store.read_spectra(foreign())
