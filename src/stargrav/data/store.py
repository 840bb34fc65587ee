"""HDF5 files: libraries, grids and observed spectra (the pfsspec layout).

Observed spectra lie contiguous in the file, so that they are written in one stream, whatever
their number, and read by memory map. Files carry no time stamps: the same content is the same
bytes. A file grows under another name and takes its own when it is complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stargrav.data import validate
from stargrav.data.tables import read_frame
from stargrav.errors import InputError, first_line
from stargrav.files import whole_file
from stargrav.labels import LABELS
from stargrav.observation.instrument import PFS_MR
from stargrav.physics.grid import Library
from stargrav.spectrum import AS_GIVEN, Spectra

GRID_LABELS = ("M_H", "T_eff", "log_g", "C_M", "a_M")  # columns of `para` in a grid file
WAVE, FLUX, ERROR, MASK, STARS = (
    "spectrumdataset/wave",
    "dataset/arrays/flux/value",
    "dataset/arrays/error/value",
    "dataset/arrays/mask/value",
    "dataset/params",
)
IN_MEMORY = 4 * 2**30  # bytes of a foreign data set that may be held at once
_NUMBERS, _FLAGS = ("iuf", "numbers"), ("biu", "booleans or integers")  # NumPy's kinds
_CHUNK = 4096  # spectra checked at a time
_LEVEL = 1e-3  # by which a median of flux may differ from 1
_RESOLUTION = "the resolving power, a number above 0"
_WRITTEN_HERE = "stargrav"  # attribute: the kind of file, checked when it was written


def kind_of(path: Path) -> str:
    """What an HDF5 file holds: `library`, `grid` or `pfsspec`.

    Raises:
        InputError: it is none of these, empty, truncated or no HDF5 file at all.
    """
    with _open(path) as file:
        if "coefficients" in file and "components" in file:
            return "library"
        if FLUX in file:
            return "pfsspec"
        if "flux" in file and "para" in file:
            return "grid"
        found = ", ".join(file) or "no data sets"
    expected = f"a library, a grid (wave, flux, para) or a pfsspec data set ({FLUX})"
    raise InputError(path, "data sets", found, expected)


def write_library(
    path: Path, library: Library, attributes: Mapping[str, str | float | int] | None = None
) -> None:
    """Write a library; `attributes` (how it was made) are stored with it."""
    with _new(path, "library") as file:
        file.attrs["resolution"] = library.resolution
        file.attrs["labels"] = ", ".join(LABELS)
        for key, value in (attributes or {}).items():
            file.attrs[key] = value
        _put(file, "wave", library.wave.cpu().numpy(), unit="Angstrom, vacuum")
        for label in LABELS:
            _put(file, f"axes/{label}", library.axes[label])
        for key in ("mean", "components", "coefficients"):
            _put(file, key, getattr(library, key).cpu().numpy().astype(np.float32))


def read_library(path: Path) -> Library:
    """Read a library.

    Raises:
        InputError: not a whole library file, or values that are not finite.
    """
    with _open(path) as file:
        arrays = {
            key: validate.single(_get(file, path, key))
            for key in ("mean", "components", "coefficients")
        }
        wave = _get(file, path, "wave").astype(float)
        axes = {label: _get(file, path, f"axes/{label}").astype(float) for label in LABELS}
        resolution = _resolution(file, path)
    validate.wavelengths(wave, path, "wave")
    shape = tuple(len(axes[label]) for label in LABELS) + (len(arrays["components"]),)
    for key, expected in (
        ("mean", wave.shape),
        ("components", (shape[-1], *wave.shape)),
        ("coefficients", shape),
    ):
        if arrays[key].shape != expected:
            raise InputError(path, key, f"shape {arrays[key].shape}", f"shape {expected}")
        if not np.isfinite(arrays[key]).all():
            raise InputError(path, key, "values that are not finite", "finite values")
    if resolution is None:
        raise InputError(path, "attribute resolution", "nothing", _RESOLUTION)
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    return Library(torch.from_numpy(wave), axes, **tensors, resolution=resolution, name=str(path))


def read_attributes(path: Path) -> dict[str, str | float | int]:
    """Attributes of a file written here: how it was made."""
    with _open(path) as file:
        return {key: value for key, value in file.attrs.items() if key != _WRITTEN_HERE}


def write_grid(
    path: Path,
    wave: np.ndarray,
    flux: np.ndarray,
    labels: np.ndarray,
    resolution: float | None = None,
) -> None:
    """Write rest-frame spectra as grid HDF5.

    Args:
        path: file to write.
        wave: (p,) wavelengths [Angstrom, vacuum].
        flux: (n, p).
        labels: (n, 5), order `LABELS`.
        resolution: lambda / FWHM, stored as an attribute when given.
    """
    order = [LABELS.index(name) for name in GRID_LABELS]
    with _new(path, "grid") as file:
        file.attrs["columns"] = ", ".join(GRID_LABELS)
        file.attrs["wave_unit"] = "Angstrom"
        if resolution is not None:
            file.attrs["resolution"] = float(resolution)
        _put(file, "wave", np.asarray(wave, dtype=np.float64))
        _put(file, "flux", np.asarray(flux, dtype=np.float32))
        _put(file, "para", np.asarray(labels, dtype=np.float64)[:, order])


def read_grid(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float | None]:
    """Read grid HDF5.

    Returns:
        wave (p,) [Angstrom], flux (n, p) float32, labels (n, 5) in the order `LABELS`, and the
        resolution where the file says it.

    Raises:
        InputError: a data set is missing, or shapes, wavelengths or values are wrong.
    """
    with _open(path) as file:
        wave, flux, para = (_get(file, path, key) for key in ("wave", "flux", "para"))
        resolution = _resolution(file, path)
        columns = _names(file.attrs.get("columns", GRID_LABELS))
    validate.wavelengths(wave, path, "wave")
    validate.shape(flux, wave, path, "flux")
    if columns != ", ".join(GRID_LABELS):
        raise InputError(path, "attribute columns", columns, ", ".join(GRID_LABELS))
    if para.shape != (len(flux), len(GRID_LABELS)):
        expected = f"({len(flux)}, 5): {', '.join(GRID_LABELS)}"
        raise InputError(path, "para", f"shape {para.shape}", expected)
    flux = validate.single(flux)
    validate.finite(flux, path, "flux")
    validate.finite(para, path, "para", unit="column")
    validate.not_negative(flux, path, "flux")
    labels = para[:, [GRID_LABELS.index(name) for name in LABELS]].astype(float)
    validate.plausible(labels, path, "para")
    return wave.astype(float), flux, labels, resolution


def write_spectra(
    path: Path,
    wave: np.ndarray,
    batches: Iterable[tuple[Tensor | np.ndarray, Tensor | np.ndarray]],
    stars: pd.DataFrame,
    attributes: Mapping[str, str | float | int] | None = None,
) -> None:
    """Write observed spectra in a stream.

    Args:
        path: file to write.
        wave: (p,) wavelengths [Angstrom, vacuum].
        batches: (flux, error), each (batch, p), in the order of `stars`.
        stars: one row per spectrum; written last, so columns may be filled by `batches`. Only
            its columns of numbers are stored.
        attributes: stored with the file.

    Raises:
        InputError: a value is not finite, an error not positive, or spectra are missing.
    """
    shape = (len(stars), len(wave))
    if not len(stars):
        raise InputError(path, FLUX, "no spectra", "at least one")
    with _new(path, "pfsspec", stars) as file:
        for key, value in (attributes or {}).items():
            file.attrs[key] = value
        _put(file, WAVE, np.asarray(wave, dtype=np.float64))
        targets = [
            file.create_dataset(key, shape, np.float32, track_times=False, fill_time="never")
            for key in (FLUX, ERROR)
        ]
        done = 0
        for batch in batches:
            rows = slice(done, done + len(batch[0]))
            for target, values, field in zip(targets, batch, (FLUX, ERROR), strict=True):
                values = np.ascontiguousarray(validate.single(values))
                validate.finite(values, path, field, first_row=done)
                target[rows] = values
            if not (np.asarray(batch[1]) > 0).all():
                raise InputError(path, ERROR, "an error that is not positive", "positive errors")
            done = rows.stop
        if done != len(stars):
            raise InputError(path, FLUX, f"{done} spectra", f"{len(stars)}, one for every star")


def read_spectra(path: Path) -> Spectra:
    """Read observed spectra; as memory maps where they were written here.

    A file from elsewhere is checked from end to end: NaN errors at the edges are filled from the
    nearest pixel, and spectra are divided by their median.

    Raises:
        InputError: the file is not whole, or something in it cannot be used.
    """
    with _open(path) as file:
        wave = _get(file, path, WAVE).astype(float).squeeze()
        validate.wavelengths(wave, path, WAVE)
        flux, error = (_dataset(file, path, key) for key in (FLUX, ERROR))
        validate.shape(flux, wave, path, FLUX)
        if error.shape != flux.shape:
            raise InputError(path, ERROR, f"shape {error.shape}", f"shape {flux.shape}, as flux")
        stars = _stars(file, path, len(flux))
        if file.attrs.get(_WRITTEN_HERE) == "pfsspec":
            kind = _error_kind(file)
            return Spectra(wave, _map(flux, path), _map(error, path), stars, str(path), kind)
        size = 2 * 4 * flux.size
        if size > IN_MEMORY:
            raise InputError(
                path,
                FLUX,
                f"{size / 2**30:.0f} GiB in a foreign layout",
                "a file made by `stargrav import pfsspec`, which is read by memory map",
            )
        chunks = list(_checked(flux, error, path))
    flux, error = (np.concatenate([chunk[i] for chunk in chunks]) for i in (0, 1))
    return Spectra(wave, flux, error, stars, str(path))


def read_arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """What stands in a pfsspec file, which needs no labels; its values are not checked.

    Returns:
        wavelengths (p,) [Angstrom, vacuum]; flux, error and, where there is one, mask (n, p).

    Raises:
        InputError: the file is not whole, or shapes do not agree.
    """
    with _open(path) as file:
        wave = _get(file, path, WAVE).astype(float).squeeze()
        flux, error = (validate.single(_get(file, path, key)) for key in (FLUX, ERROR))
        mask = _get(file, path, MASK, _FLAGS) if MASK in file else None
    validate.wavelengths(wave, path, WAVE)
    validate.shape(flux, wave, path, FLUX)
    for key, other in ((ERROR, error), (MASK, mask)):
        if other is not None and other.shape != flux.shape:
            raise InputError(path, key, f"shape {other.shape}", f"shape {flux.shape}, as flux")
    return wave, flux, error, mask


def read_redshifts(path: Path, count: int) -> np.ndarray:
    """Redshifts (count,) of a pfsspec file's spectra; 0 where its table does not tell them.

    Raises:
        InputError: the table cannot be read, or has other rows than there are spectra.
    """
    with _open(path) as file:
        stars = _table(file, path, count) if STARS in file else pd.DataFrame()
    if "redshift" not in stars:
        return np.zeros(count)
    validate.finite(stars[["redshift"]].to_numpy(dtype=float), path, f"{STARS}/redshift")
    return stars["redshift"].to_numpy(dtype=float)


def import_spectra(path: Path, out: Path) -> None:
    """Rewrite a pfsspec data set from elsewhere, in a stream, as one that is memory-mapped.

    Raises:
        InputError: as `read_spectra`.
    """
    with _open(path) as file:
        wave = _get(file, path, WAVE).astype(float).squeeze()
        validate.wavelengths(wave, path, WAVE)
        validate.overlap(wave, PFS_MR.blue, PFS_MR.red, path, WAVE)
        flux, error = (_dataset(file, path, key) for key in (FLUX, ERROR))
        validate.shape(flux, wave, path, FLUX)
        if error.shape != flux.shape:
            raise InputError(path, ERROR, f"shape {error.shape}", f"shape {flux.shape}, as flux")
        stars = _stars(file, path, len(flux))
        described = {"source": path.name, "error": _error_kind(file)}
        write_spectra(out, wave, _checked(flux, error, path), stars, described)


def _error_kind(file: h5py.File) -> str:
    """What the errors of a data set are; known of files that were written here."""
    known = file.attrs.get(_WRITTEN_HERE) == "pfsspec"
    return str(file.attrs.get("error", AS_GIVEN)) if known else AS_GIVEN


def check(spectra: Spectra, path: Path) -> None:
    """Refuse spectra of a file written here that are no longer as they were written.

    Raises:
        InputError: names the first value that is not finite, or error that is not positive, or
            spectrum whose median is not 1.
    """
    for start in range(0, len(spectra), _CHUNK):
        rows = slice(start, start + _CHUNK)
        flux, error = np.asarray(spectra.flux[rows]), np.asarray(spectra.error[rows])
        validate.finite(flux, path, FLUX, start)
        validate.finite(error, path, ERROR, start)
        validate.positive(error, path, ERROR, start)
        level = np.median(flux, axis=1)
        for row in np.flatnonzero(np.abs(level - 1) > _LEVEL):
            raise InputError(path, f"median of {FLUX}, row {start + row}", f"{level[row]:g}", "1")


def _checked(
    flux: h5py.Dataset, error: h5py.Dataset, path: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of foreign spectra, checked, filled at the edges and divided by their median."""
    for start in range(0, len(flux), _CHUNK):
        rows = slice(start, start + _CHUNK)
        with _readable(path):
            part, sigma = validate.single(flux[rows]), validate.single(error[rows])
        validate.finite(part, path, FLUX, start)
        validate.fill_edges(sigma)
        validate.finite(sigma, path, ERROR, start)
        validate.positive(sigma, path, ERROR, start)
        level = np.median(part, axis=1, keepdims=True)
        validate.positive(level, path, f"median of {FLUX}", start)
        yield part / level, sigma / level


def _stars(file: h5py.File, path: Path, count: int) -> pd.DataFrame:
    if STARS not in file:
        raise InputError(path, STARS, "no such data set", "a pandas table of the labels")
    stars = _table(file, path, count)
    for label in LABELS:
        if label not in stars:
            found = ", ".join(map(str, stars.columns))
            raise InputError(path, f"{STARS}/{label}", f"columns {found}", f"a column {label}")
        validate.finite(stars[[label]].to_numpy(dtype=float), path, f"{STARS}/{label}")
    return stars


def _table(file: h5py.File, path: Path, count: int) -> pd.DataFrame:
    try:
        stars = read_frame(file[STARS])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, STARS, first_line(error), "a pandas table") from error
    if len(stars) != count:
        raise InputError(path, STARS, f"{len(stars)} rows", f"{count}, one for every spectrum")
    return stars


def _map(data: h5py.Dataset, path: Path) -> np.ndarray:
    """Memory map of a contiguous data set."""
    offset = data.id.get_offset()
    if offset is None:
        raise InputError(path, data.name, "a compressed or chunked data set", "a contiguous one")
    return np.memmap(path, mode="r", dtype=data.dtype, shape=data.shape, offset=offset)


def _put(file: h5py.File, key: str, values: np.ndarray, **attributes: str) -> None:
    data = file.create_dataset(key, data=np.asarray(values), track_times=False)
    for name, value in attributes.items():
        data.attrs[name] = value


def _dataset(
    file: h5py.File, path: Path, key: str, kinds: tuple[str, str] = _NUMBERS
) -> h5py.Dataset:
    if not isinstance(file.get(key), h5py.Dataset):
        raise InputError(path, key, "no such data set", "a data set")
    data = file[key]
    if data.shape is None or data.dtype.kind not in kinds[0]:
        raise InputError(path, key, f"values of type {data.dtype}", kinds[1])
    return data


def _get(file: h5py.File, path: Path, key: str, kinds: tuple[str, str] = _NUMBERS) -> np.ndarray:
    data = _dataset(file, path, key, kinds)
    with _readable(path):
        return data[()]


def _names(given: object) -> str:
    """Names in an attribute, which tools store as one text or as an array, of text or bytes."""
    parts = np.ravel(np.asarray(given)).tolist()
    texts = (each.decode(errors="replace") if isinstance(each, bytes) else each for each in parts)
    return " ".join(", ".join(map(str, texts)).split())


def _resolution(file: h5py.File, path: Path) -> float | None:
    given = file.attrs.get("resolution")
    if given is None:
        return None
    values = np.ravel(np.asarray(given))
    if values.size != 1 or values.dtype.kind not in "iuf" or not values[0] > 0:
        raise InputError(path, "attribute resolution", _names(given), _RESOLUTION)
    return float(values[0])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(path, "file", _trouble(error), "a whole HDF5 file") from error


def _trouble(error: OSError) -> str:
    """What h5py says, in a user's words where it has none."""
    known = {"signature not found": "no HDF5", "truncated file": "a truncated file"}
    for says, means in known.items():
        if says in str(error):
            return means
    return first_line(error)


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "file", "no such file", "an HDF5 file")
    if not path.stat().st_size:
        raise InputError(path, "file", "an empty file", "an HDF5 file")
    with _readable(path):
        file = h5py.File(path, "r")
    with file:
        yield file


@contextmanager
def _new(path: Path, kind: str, stars: pd.DataFrame | None = None) -> Iterator[h5py.File]:
    """A file under another name that takes its own when it is complete, its table added last."""
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "file", "a folder", "the name of a file to be written")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(path) as aside:
            with h5py.File(aside, "w") as file:
                file.attrs[_WRITTEN_HERE] = kind
                yield file
            if stars is not None:
                with pd.HDFStore(aside, mode="a") as tables:
                    numbers = stars.select_dtypes("number")
                    options = {"data_columns": True, "index": False, "track_times": False}
                    tables.put(STARS, numbers, format="table", **options)
    except (OSError, RuntimeError) as error:
        number = re.search(r"errno = (\d+)", str(error))  # as HDF5 tells of a disk that is full
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
