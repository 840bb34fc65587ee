"""BOSZ files of both namings: labels, true wavelengths, all three formats."""

import bz2
import gzip
import math
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from stargrav.data import store
from stargrav.data.bosz import parse_name, read_bosz, true_wavelengths
from stargrav.data.sources import open_source
from stargrav.data.sources import read_bosz as read_folder
from stargrav.errors import InputError

REFERENCE = Path(__file__).parents[2] / "../shared/reference/bosz_r5000_8000-9000.h5"
RATIO = math.log1p(1 / 300_000)
TRUE = 10 * np.exp((math.ceil(math.log(100) / RATIO) + 30 * np.arange(20_700, 20_900)) * RATIO)
ROUNDED = np.round(TRUE, 3)
NAME = "amm03cm03om03t3500g25v20modrt0b5000rs.asc.bz2"


def columns(wave=ROUNDED, scale=1.0):
    return np.column_stack([wave, scale * (1 + 0.1 * np.sin(wave)), np.full(len(wave), scale)])


def write(path, table):
    if path.suffix == ".bz2":
        file = bz2.open(path, "wt")
    elif path.suffix == ".gz":
        file = gzip.open(path, "wt")
    else:
        file = path.open("w")
    with file:
        np.savetxt(file, table, fmt="%.10g")


def write_fits(path, table):
    names = ("Wavelength", "SpecificIntensity", "Continuum")
    cells = [
        fits.Column(name, "D", array=values) for name, values in zip(names, table.T, strict=True)
    ]
    fits.BinTableHDU.from_columns(cells).writeto(path)


@pytest.mark.parametrize(
    ("name", "labels", "resolution"),
    [
        (NAME, (3500, 2.5, -0.25, -0.25, -0.25), 5000),
        ("amp00cp05op03t6250g05v20modrt0b300000rs.fits", (6250, 0.5, 0, 0.25, 0.5), 300_000),
        ("amm18cm08op00t12000g40v20modrt0b1000rs.asc", (12000, 4, -1.75, 0, -0.75), 1000),
        (
            "bosz2024_mp_t5250_g+1.5_m-0.75_a+0.25_c-0.25_v2_r10000_resam.txt.gz",
            (5250, 1.5, -0.75, 0.25, -0.25),
            10_000,
        ),
        (
            "bosz2024_ap_t12000_g-0.5_m+0.00_a+0.00_c+0.00_v0_rorig_noresam.txt",
            (12_000, -0.5, 0, 0, 0),
            math.inf,
        ),
    ],
)
def test_labels_stand_in_the_name(name, labels, resolution):
    assert parse_name(name) == (labels, resolution)


@pytest.mark.parametrize("name", ["readme.txt", "amm03.asc", "bosz2024_wave_r5000.txt"])
def test_other_names_are_not_bosz(name, tmp_path):
    assert parse_name(name) is None
    with pytest.raises(InputError, match="a BOSZ name"):
        read_bosz(tmp_path / name)


def test_true_wavelengths_replace_the_rounded_column(tmp_path):
    for name, writer in (
        (NAME, write),
        (NAME.removesuffix(".bz2"), write),
        (NAME.replace("asc.bz2", "fits"), write_fits),
    ):
        writer(tmp_path / name, columns())
        spectrum = read_bosz(tmp_path / name)
        np.testing.assert_allclose(spectrum.wave, TRUE, rtol=1e-12)
        np.testing.assert_allclose(spectrum.flux, columns()[:, 1], rtol=1e-9)
        np.testing.assert_array_equal(spectrum.continuum, 1)
        assert np.abs(spectrum.wave - ROUNDED).max() > 1e-4  # it did matter


def test_true_wavelengths_of_real_spectra():
    """The rounding of the public file is all that separates it from the true grid."""
    if not REFERENCE.is_file():
        pytest.skip(f"{REFERENCE} is absent")
    with h5py.File(REFERENCE) as file:
        rounded = file["wave"][:]
    exact = true_wavelengths(rounded, 5000.0, REFERENCE)
    assert np.abs(exact - rounded).max() < 1.5e-3
    np.testing.assert_allclose(np.diff(np.log(exact)), 30 * RATIO, rtol=1e-9)


def test_wavelengths_of_another_resolution_are_refused(tmp_path):
    with pytest.raises(InputError, match="wavelength, row 0: .*expected the grid of R 5000"):
        true_wavelengths(ROUNDED + 0.3, 5000.0, tmp_path)


def test_2024_wavelengths_stand_in_a_file_of_their_own(tmp_path):
    name = "bosz2024_mp_t5250_g+1.5_m-0.75_a+0.25_c-0.25_v2_r5000_resam.txt.gz"
    folder = tmp_path / "r5000" / "m-0.75"
    folder.mkdir(parents=True)
    write(folder / name, columns()[:, 1:])
    with pytest.raises(InputError, match="bosz2024_wave_r5000.txt beside or above it"):
        read_bosz(folder / name)
    write(tmp_path / "bosz2024_wave_r5000.txt", ROUNDED[:, None])
    spectrum = read_bosz(folder / name)
    np.testing.assert_array_equal(spectrum.wave, ROUNDED)
    np.testing.assert_allclose(spectrum.flux, columns()[:, 1], rtol=1e-9)
    write(tmp_path / "bosz2024_wave_r5000.txt", ROUNDED[1:, None])
    with pytest.raises(InputError, match="rows: found 200, expected 199"):
        read_bosz(folder / name)


def test_2024_original_resolution_has_its_own_wavelengths(tmp_path):
    path = tmp_path / "bosz2024_ap_t8000_g+4.0_m+0.00_a+0.00_c+0.00_v0_rorig_noresam.txt"
    write(path, columns())
    assert read_bosz(path).resolution == math.inf
    np.testing.assert_array_equal(read_bosz(path).wave, ROUNDED)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (columns()[:, :2], "columns: found 2 columns"),
        (columns()[::-1], "wavelength, pixel 1: .*ascending"),
        (columns() * [1, np.nan, 1], "flux, row 0, pixel 0: found nan"),
        (columns() * [1, -1, 1], "flux, row 0, pixel 0: .*not negative"),
        (columns() * [1, 1e300, 1], "flux, row 0, pixel 0: found inf"),
        (np.empty((0, 3)), "an empty file"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_unusable_content(tmp_path, table, message):
    write(tmp_path / NAME, table)
    with pytest.raises(InputError, match=message):
        read_bosz(tmp_path / NAME)


def test_unreadable_files(tmp_path):
    write(tmp_path / NAME, columns())
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: len(content) // 2])
    other = tmp_path / NAME.replace("asc.bz2", "fits")
    other.write_bytes(b"no FITS")
    for path in (tmp_path / NAME, other):
        with pytest.raises(InputError) as caught:
            read_bosz(path)
        assert str(caught.value).startswith(f"{path}: content: ")
    fits.BinTableHDU.from_columns([fits.Column("Wavelength", "D", array=TRUE)]).writeto(
        other, overwrite=True
    )
    with pytest.raises(InputError, match="SpecificIntensity: found Wavelength"):
        read_bosz(other)


def test_a_damaged_header_is_unreadable(tmp_path):
    path = tmp_path / NAME.replace("asc.bz2", "fits")
    write_fits(path, columns())
    path.write_bytes(path.read_bytes().replace(b"TFORM1  = 'D ", b"TFORM1  = 'Q!"))
    with pytest.raises(InputError, match="fits: content: found Invalid column format"):
        read_bosz(path)


def test_spectra_of_zeros_are_refused(tmp_path):
    write(tmp_path / NAME, columns() * [1, 0, 1])
    with pytest.raises(InputError, match="flux: found a median at or below 0"):
        open_source(tmp_path)


GZIPPED = (
    "bosz2024_ap_t8000_g+4.0_m+0.00_a+0.00_c+0.00_v0_rorig_noresam.txt.gz",
    NAME.replace("asc.bz2", "fits.gz"),
)


@pytest.mark.parametrize("name", [NAME, *GZIPPED])
@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive"])
def test_damaged_archives_are_named(tmp_path, name, damage):
    path = tmp_path / name
    if "fits" in name:
        write_fits(path, columns())
    else:
        write(path, columns())
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if damage == "cut":
        content = content[:middle]
    elif damage == "flipped":
        content[middle : middle + 40] = bytes(byte ^ 255 for byte in content[middle : middle + 40])
    else:
        content[:] = b"not compressed at all"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_bosz(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message


@pytest.mark.parametrize("count", [0, 3])
def test_a_folder_with_hardly_a_wavelength_in_the_arm(tmp_path, count):
    """A few pixels within, or a gap where the arm is."""
    wave = np.concatenate([np.linspace(6000, 6100, 50), np.linspace(8000, 8002, count)])
    wave = np.append(wave, np.linspace(9000, 9100, 50))
    write(tmp_path / GZIPPED[0], columns(wave))
    with pytest.raises(InputError, match=f"gz: wavelength: found {count} wavelengths"):
        open_source(tmp_path)


def folder_of(tmp_path, t=(4000, 5000), g=(20, 30)):
    for number, (kelvin, gravity) in enumerate(product(t, g)):
        name = f"amp00cp00op00t{kelvin}g{gravity}v20modrt0b5000rs.asc.bz2"
        write(tmp_path / name, columns(scale=1.0 + number))
    return tmp_path


def test_a_folder_becomes_a_library_and_a_grid_file(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "readme.txt").write_text("not a spectrum")
    library = open_source(folder)
    assert library.ranges["T_eff"] == (4000, 5000) and library.ranges["log_g"] == (2, 3)
    assert library.ranges["C_M"] == (0, 0) and library.resolution == 5000
    assert library.wave[0] >= 7070 and library.wave[-1] <= 8880
    wave, flux, labels, resolution = read_folder(folder)
    store.write_grid(tmp_path / "grid.h5", wave, flux, labels, resolution)
    again = open_source(tmp_path / "grid.h5")
    assert again.ranges == library.ranges
    np.testing.assert_allclose(again.mean, library.mean, rtol=1e-6)


def test_folders_that_are_no_grid(tmp_path):
    with pytest.raises(InputError, match="files: found no BOSZ spectra"):
        open_source(tmp_path)
    folder_of(tmp_path)
    hole = tmp_path / "amp00cp00op00t5000g20v20modrt0b5000rs.asc.bz2"
    hole.unlink()
    with pytest.raises(InputError, match="0 spectra at T_eff 5000, log_g 2"):
        open_source(tmp_path)
    write(hole, columns()[1:])
    with pytest.raises(InputError, match=f"{hole.name}: wavelength: found .* pixels"):
        open_source(tmp_path)
    hole.unlink()
    write(tmp_path / "amp00cp00op00t5000g20v20modrt0b10000rs.asc", columns())
    with pytest.raises(InputError, match="resolution: found 10000.0, expected 5000.0"):
        open_source(tmp_path)
