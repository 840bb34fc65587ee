"""Every user's mistake is told in one line that names file and field."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from made_up import NODES, WAVE, spectra

from stargrav.data import store, validate
from stargrav.data.sources import open_source
from stargrav.errors import InputError
from stargrav.labels import LABELS

FLUX, ERROR = "dataset/arrays/flux/value", "dataset/arrays/error/value"


def refusal(path):
    """The one line with which a file is refused, without its name."""
    with pytest.raises(InputError) as caught:
        open_source(path)
    where, _, what = str(caught.value).partition(": ")
    assert where == str(path) and "\n" not in what
    return what


def spoil(name, value, *place):
    def change(parts):
        parts[name][place] = value

    return change


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (spoil("flux", np.nan, 4, 7), (f"{FLUX}, row 4, pixel 7", "found nan")),
        (spoil("flux", np.inf, 0, 39), (f"{FLUX}, row 0, pixel 39", "found inf")),
        (spoil("error", np.nan, 1, 20), (f"{ERROR}, row 1, pixel 20", "found nan")),
        (spoil("error", np.nan, 5), (f"{ERROR}, row 5, pixel 0", "found nan")),
        (spoil("error", np.inf, 3, 0), (f"{ERROR}, row 3, pixel 0", "found inf")),
        (spoil("flux", 1e300, 1, 2), (f"{FLUX}, row 1, pixel 2", "found inf")),
        (lambda p: p.update(flux=p["flux"] * 1j), (FLUX, "complex128", "numbers")),
        (lambda p: p.update(error=p["error"].astype("S9")), (ERROR, "|S9", "numbers")),
        (lambda p: p.update(wave=p["wave"].astype("S9")), ("wave", "|S9", "numbers")),
        (spoil("error", 0.0, 2, 9), (f"{ERROR}, row 2, pixel 9", "positive")),
        (spoil("flux", 0.0, 2), ("median of", "row 2", "positive")),
        (spoil("wave", 7100.0, 5), ("spectrumdataset/wave, pixel 5", "ascending")),
        (spoil("wave", np.nan, 5), ("spectrumdataset/wave, pixel 5", "finite")),
        (lambda p: p.update(wave=p["wave"][:-1]), (FLUX, "40 pixels", "39 pixels")),
        (lambda p: p.update(wave=p["wave"] + 9000), ("wave", "16200.0", "7100.2 to 8849.8")),
        (lambda p: p.update(error=p["error"][:, :9]), (ERROR, "(6, 9)", "(6, 40)")),
        (lambda p: p.update(stars=p["stars"].drop(columns="C_M")), ("params/C_M", "a column")),
        (lambda p: p["stars"].__setitem__("log_g", np.nan), ("params/log_g", "row 0", "nan")),
        (lambda p: p.update(stars=p["stars"][:4]), ("dataset/params", "4 rows", "6, one for")),
        (lambda p: p.update(stars=None), ("dataset/params", "no such data set")),
    ],
)
def test_pfsspec(foreign, change, parts):
    assert open_source(foreign())  # as it is, it can be used
    found = refusal(foreign(change))
    assert all(part in found for part in parts), found


@pytest.mark.parametrize(
    ("name", "spoiled", "told"),
    [
        (store.FLUX, np.nan, ["flux", "row 1", "pixel 3", "nan"]),
        (store.ERROR, np.nan, ["error", "row 1", "pixel 3", "nan"]),
        (store.ERROR, -1.0, ["error", "row 1", "pixel 3", "-1"]),
        (store.FLUX, "another level", ["median", "row 1", "2", "expected 1"]),
    ],
)
def test_a_file_written_here_and_changed_since(tmp_path, name, spoiled, told):
    wave, stars = np.linspace(7200, 7300, 64), pd.DataFrame({n: [1.0, 2.0, 3.0] for n in LABELS})
    flux = np.ones((3, 64), dtype=np.float32)
    path = tmp_path / "own.h5"
    store.write_spectra(path, wave, [(flux, 0.1 * flux)], stars)
    assert len(open_source(path)) == 3
    with h5py.File(path, "a") as file:
        if spoiled == "another level":
            file[name][1] = 2 * file[name][1]
        else:
            file[name][1, 3] = spoiled
    message = refusal(path)
    assert all(part in message for part in told), message


def rewrite(path, key, values):
    with h5py.File(path, "a") as file:
        del file[key]
        if values is not None:
            file[key] = values


FLUXES = spectra(NODES)


@pytest.mark.parametrize(
    ("key", "values", "parts"),
    [
        ("flux", FLUXES * np.where(NODES[:, :1] == 6000, np.nan, 1), ("flux, row 24", "nan")),
        ("flux", FLUXES[:, :-2], ("flux", "pixels", "wavelengths")),
        ("flux", FLUXES[:-1], ("para", f"({len(NODES) - 1}, 5)")),
        ("flux", 0 * FLUXES, ("flux, row 0", "median")),
        ("flux", FLUXES[0], ("flux", "shape")),
        ("wave", WAVE[::-1], ("wave, pixel 1", "ascending")),
        ("wave", WAVE * 2, ("wave", "16600.0", "7100.2 to 8849.8")),
        ("wave", WAVE + np.where(WAVE < 8350, -2000, 1000), ("wave", "0 wavelengths within")),
        ("wave", None, ("data set", "wave")),
        ("para", NODES[:, :4], ("para", "M_H, T_eff, log_g, C_M, a_M")),
        ("para", NODES * np.nan, ("para, row 0, column 0", "nan")),
        (
            "para",
            NODES[:, [2, 0, 1, 4, 3]] + np.eye(len(NODES), 5),
            ("labels", "full regular grid"),
        ),
        ("para", NODES, ("para, row 0, T_eff", "500 to 100000")),
        ("flux", -FLUXES, ("flux, row 0, pixel 0", "not negative")),
        ("para", None, ("data sets", "a grid (wave, flux, para)")),
        ("para", NODES.astype("S9"), ("para", "|S9", "numbers")),
        ("para", NODES.view([("T_eff", float)]), ("para", "T_eff", "numbers")),
        ("wave", WAVE + 0j, ("wave", "complex128", "numbers")),
        ("flux", FLUXES.astype("S9"), ("flux", "|S9", "numbers")),
        ("flux", FLUXES * 1e300, ("flux, row 0, pixel 0", "found inf")),
        ("flux", h5py.Empty("f4"), ("flux", "numbers")),
    ],
)
def test_grid(grid_file, key, values, parts):
    assert open_source(grid_file)
    rewrite(grid_file, key, values)
    found = refusal(grid_file)
    assert all(part in found for part in parts), found


@pytest.mark.parametrize("given", ["high", b"5000", np.nan, 0.0, -1.0, [5000.0, 6000.0]])
def test_resolution(grid_file, tmp_path, library, given):
    store.write_library(tmp_path / "library.h5", library)
    for path in (grid_file, tmp_path / "library.h5"):
        with h5py.File(path, "a") as file:
            file.attrs["resolution"] = given
        found = refusal(path)
        assert "attribute resolution" in found and "a number above 0" in found


def test_columns(grid_file):
    with h5py.File(grid_file, "a") as file:
        file.attrs["columns"] = np.array(LABELS, dtype="S")
    found = refusal(grid_file)
    assert "attribute columns: found T_eff, log_g, M_H, a_M, C_M, expected M_H, T_eff" in found


@pytest.mark.parametrize(
    ("key", "change", "parts"),
    [
        ("mean", lambda mean: mean[:-1], ("mean", "shape")),
        ("components", lambda found: found * np.nan, ("components", "finite")),
        ("mean", lambda mean: mean.astype(float) * 1e300, ("mean", "finite")),
        ("axes/log_g", lambda _: None, ("axes/log_g", "no such data set")),
        ("wave", lambda wave: wave[::-1], ("wave, pixel 1", "ascending")),
        ("coefficients", lambda found: found[1:], ("coefficients", "shape")),
    ],
)
def test_library(tmp_path, library, key, change, parts):
    path = tmp_path / "library.h5"
    store.write_library(path, library)
    assert open_source(path)
    with h5py.File(path) as file:
        values = change(file[key][()])
    rewrite(path, key, values)
    found = refusal(path)
    assert all(part in found for part in parts), found


def test_absent_empty_and_other_files(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.h5")
    path = tmp_path / "some.h5"
    path.touch()
    assert "file: found an empty file" in refusal(path)
    path.write_text("T_eff log_g")
    assert "expected a whole HDF5 file" in refusal(path)
    with h5py.File(path, "w") as file:
        file["something"] = 1
    assert "found something" in refusal(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_truncated_files(tmp_path, grid_file, foreign, library, share):
    own = tmp_path / "library.h5"
    store.write_library(own, library)
    for path in (grid_file, foreign(), own):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        assert "expected a whole HDF5 file" in refusal(path)


def test_labels_off_the_grid(grid_file):
    library = open_source(grid_file)
    with pytest.raises(InputError) as caught:
        library.flux_at(torch.tensor([[5000.0, 3, -2, 0, 0]]))
    assert str(caught.value) == f"{grid_file}: M_H of star 0: found -2, expected -1 to 0"


def test_other_wavelengths_than_expected():
    wave = np.linspace(7100, 7200, 50)
    validate.same_wavelengths(wave + 1e-4, wave, "spectrum.fits", "wave")
    with pytest.raises(InputError, match="spectrum.fits: wave: found 49 pixels, expected 50"):
        validate.same_wavelengths(wave[1:], wave, "spectrum.fits", "wave")
    with pytest.raises(InputError, match="wave, pixel 0: found 7101.000 A, expected 7100.000 A"):
        validate.same_wavelengths(wave + 1, wave, "spectrum.fits", "wave")
