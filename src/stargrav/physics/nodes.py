"""The library's nodes, and their spectra: where the grid is dense, and how it is computed.

A cubic spline through nodes h apart errs by h^4 |f''''| / 384, so the best nodes for a label are
spaced as |f''''|^(-1/4): where the spectrum bends (de Boor 1978, A Practical Guide to Splines,
ch. XII). It bends with T_eff where TiO appears, and with C_M and a_M where carbon comes to
outnumber oxygen (C_M - a_M near 0.27) and binds what TiO and H2O held.

The spectra are computed on several processes and kept in parts, each named after a hash of its
labels and of the physics that computed it, so that a build goes on where it was interrupted and
never mixes in spectra of another version.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from stargrav.constants import FWHM_PER_SIGMA
from stargrav.labels import LABELS
from stargrav.physics import synthesis
from stargrav.physics.grid import Library
from stargrav.processes import start_worker
from stargrav.progress import Progress

RESOLUTION = 20_000.0  # lambda / FWHM of the library
_EVERY = 4  # synthesised points per stored one: 2.5 stored per FWHM
_PART_LABELS = ("T_eff", "log_g", "M_H")  # one part for each combination of these
_SHARED = ("constants.py", "labels.py")  # beside the package, physics as well
_NOT_PHYSICS = ("grid.py", "nodes.py")  # but for `degrade`, they hold what is done with spectra

Synthesize = Callable[[np.ndarray], np.ndarray]
SynthesizerFactory = Callable[[], Synthesize]

NODES: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "default": {
        "T_eff": (3750, 3830, 3925, 4035, 4170, 4340, 4570, 4870, 5220, 5610, 6000),
        "log_g": (1.0, 1.8, 2.7, 3.8, 5.0),
        "M_H": (-2.5, -1.75, -1.0, -0.5, -0.1, 0.25, 0.52, 0.75),
        "a_M": (-0.25, -0.08, 0.1, 0.28, 0.5),
        "C_M": (-0.75, -0.4, -0.1, 0.1, 0.25, 0.38, 0.5),
    },
    "quick": {
        "T_eff": (3750, 4250, 5000, 6000),
        "log_g": (1.0, 3.0, 5.0),
        "M_H": (-2.5, -1.0, 0.75),
        "a_M": (-0.25, 0.5),
        "C_M": (-0.75, 0.5),
    },
}


_worker: dict[str, Synthesize] = {}  # of this process, when it is one of the pool's


def grid(nodes: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Labels of all nodes.

    Args:
        nodes: label -> its node values.

    Returns:
        (n, 5), order `LABELS`, the last label running fastest.
    """
    return np.array(list(product(*(nodes[label] for label in LABELS))), dtype=float)


def library_wave() -> np.ndarray:
    """Vacuum wavelengths (p,) of the library [Angstrom], evenly spaced in the logarithm."""
    return synthesis.WAVE[::_EVERY]


def degrade(flux: np.ndarray) -> np.ndarray:
    """A synthesised spectrum as the library stores it.

    Args:
        flux: (..., m) on `synthesis.WAVE`.

    Returns:
        (..., p) float32 on `library_wave`, at `RESOLUTION`, divided by the median.
    """
    sigma = synthesis.RESOLUTION / (RESOLUTION * FWHM_PER_SIGMA)  # points
    smooth = gaussian_filter1d(flux, sigma, axis=-1, mode="nearest", truncate=6.0)[..., ::_EVERY]
    return (smooth / np.median(smooth, axis=-1, keepdims=True)).astype(np.float32)


@cache
def physics_version() -> str:
    """Hash of the code and tables from which a node's spectrum follows."""
    digest = hashlib.sha256()
    folder = files("stargrav.physics")
    code = [item for item in folder.iterdir() if item.name.endswith(".py")]
    code = [item for item in code if item.name not in _NOT_PHYSICS]
    shared = [files("stargrav") / name for name in _SHARED]
    tables = [item for item in (folder / "tables").iterdir() if item.is_file()]
    for item in sorted(code + shared + tables, key=lambda item: item.name):
        digest.update(item.name.encode())
        digest.update(item.read_bytes())
    digest.update(inspect.getsource(degrade).encode())
    digest.update(repr((RESOLUTION, _EVERY)).encode())
    return digest.hexdigest()[:16]


def build_library(
    nodes: Mapping[str, Sequence[float]],
    parts: Path,
    processes: int = 2,
    n_components: int = 60,
    progress: bool = True,
    make_synthesizer: SynthesizerFactory = synthesis.Synthesizer,
) -> Library:
    """Compute the spectra of all nodes and compress them.

    Args:
        nodes: label -> its node values.
        parts: folder for the spectra computed so far; made if absent. It may be deleted after.
        processes: how many processes compute; with 1, this one does.
        n_components: principal components kept.
        progress: whether to show a progress bar.
        make_synthesizer: gives what turns (5,) labels into a flux on `synthesis.WAVE`; called
            once per process and pickled, e.g. `partial(Synthesizer, lines=my_lines)`.
    """
    labels = grid(nodes)
    parts.mkdir(parents=True, exist_ok=True)
    columns = [LABELS.index(label) for label in _PART_LABELS]
    _, which = np.unique(labels[:, columns], axis=0, return_inverse=True)
    rows = [np.flatnonzero(which.ravel() == k) for k in range(which.max() + 1)]
    version = physics_version().encode() + pickle.dumps(make_synthesizer)
    paths = [parts / f"{_part_hash(version, labels[row])}.npy" for row in rows]
    todo = [
        (labels[row], path) for row, path in zip(rows, paths, strict=True) if not path.exists()
    ]
    missing = sum(len(part) for part, _ in todo)
    done_before = len(labels) - missing
    with Progress(
        total=len(labels), initial=done_before, unit=" spectra", disable=not progress
    ) as bar:
        for done in _compute(todo, processes, make_synthesizer):
            bar.update(done)
    flux = np.empty((len(labels), len(library_wave())), dtype=np.float32)
    for row, path in zip(rows, paths, strict=True):
        flux[row] = np.load(path)
    return Library.from_grid(library_wave(), flux, labels, n_components, RESOLUTION)


def spectra(
    labels: np.ndarray, processes: int, make_synthesizer: SynthesizerFactory
) -> Iterator[np.ndarray]:
    """Synthesised fluxes, one after the other in the order of their labels.

    Args:
        labels: (n, 5), order `LABELS`.
        processes: see `build_library`.
        make_synthesizer: see `build_library`; on any wavelengths.

    Yields:
        (m,) flux as the synthesiser gives it.
    """
    if processes == 1:
        yield from map(make_synthesizer(), labels)
        return
    with _synthesizers(processes, make_synthesizer) as pool:
        yield from pool.map(_spectrum, labels)


def _compute(
    todo: Sequence[tuple[np.ndarray, Path]], processes: int, make: SynthesizerFactory
) -> Iterator[int]:
    """Compute parts and yield the number of spectra of each as it is stored."""
    if not todo:
        return
    if processes == 1:
        synthesize = make()
        for labels, path in todo:
            yield _compute_part(synthesize, labels, path)
        return
    with _synthesizers(processes, make) as pool:
        for done in as_completed([pool.submit(_work, *part) for part in todo]):
            yield done.result()


def _compute_part(synthesize: Synthesize, labels: np.ndarray, path: Path) -> int:
    """Spectra of (m, 5) labels into a file that is whole or absent."""
    flux = np.stack([degrade(synthesize(row)) for row in labels])
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, flux)
    temporary.replace(path)
    return len(labels)


@contextmanager
def _synthesizers(processes: int, make: SynthesizerFactory) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes, each with a synthesiser of its own."""
    with (
        _worker_environment(),
        ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (make,)) as pool,
    ):
        try:
            yield pool
        except BaseException:  # what is under way is finished, the rest dropped
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker(make: SynthesizerFactory) -> None:
    start_worker()
    _worker["synthesize"] = make()


def _work(labels: np.ndarray, path: Path) -> int:
    return _compute_part(_worker["synthesize"], labels, path)


def _spectrum(labels: np.ndarray) -> np.ndarray:
    return _worker["synthesize"](labels)


@contextmanager
def _worker_environment() -> Iterator[None]:
    """One thread per process, and freed arrays kept for the next spectrum (glibc malloc)."""
    wanted = {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**32),
    }
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _part_hash(version: bytes, labels: np.ndarray) -> str:
    """Name of the part with these labels."""
    digest = hashlib.sha256(version)
    digest.update(np.ascontiguousarray(labels, dtype=float).tobytes())
    return digest.hexdigest()[:24]
