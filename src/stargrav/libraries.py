"""Libraries of rest-frame spectra, and grids of them: what the command line makes and imports."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stargrav.errors import InputError
from stargrav.files import alone, hash_tree, require_writable

if TYPE_CHECKING:
    from stargrav.physics.grid import Library
    from stargrav.physics.lines import LineList

_MARGIN = 6.0  # FWHM of the smoothing computed beyond the ends of a spectrum


def _listed(path: Path) -> LineList:
    """A user's list of lines, and a word on how many of them are used."""
    from stargrav.physics.line_extinction import REACH
    from stargrav.physics.lines import read_lines
    from stargrav.physics.synthesis import HIGH, LOW

    found = read_lines(path, (LOW - REACH, HIGH + REACH))
    print(f"{path}: {len(found)} lines of neutral and ionised atoms are used", file=sys.stderr)
    return found


def synthesize(
    labels: Path,
    out: Path,
    resolution: float | None,
    wave: tuple[float, float] | None,
    lines: Path | None,
) -> None:
    """Rest-frame spectra by the synthesiser, as grid HDF5."""
    from stargrav.data import store
    from stargrav.data.tables import read_labels
    from stargrav.observation.transforms import broaden
    from stargrav.physics import nodes, synthesis
    from stargrav.progress import Progress

    out = require_writable(out, "OUT", makes_folders=True, inputs=(labels, lines))
    stars = read_labels(labels, synthesis.RANGES)
    low, high = wave or (synthesis.LOW, synthesis.HIGH)
    if not synthesis.LOW <= low < high <= synthesis.HIGH:
        allowed = f"LO < HI within {synthesis.LOW:g} to {synthesis.HIGH:g} A"
        raise InputError("command line", "--wave", f"{low:g} {high:g}", allowed)
    if resolution is not None and not 100 <= resolution <= synthesis.RESOLUTION / 2:
        allowed = f"100 to {synthesis.RESOLUTION / 2:g}"
        raise InputError("command line", "--resolution", f"{resolution:g}", allowed)
    own = None if lines is None else _listed(lines)
    margin = 1 + _MARGIN / resolution if resolution else 1.0
    grid = synthesis.WAVE
    grid = grid[(grid >= low / margin) & (grid <= high * margin)]
    processes = min(os.cpu_count() or 1, len(stars))
    make = partial(synthesis.Synthesizer, grid, own)
    computed = nodes.spectra(stars, processes, make)
    flux = np.stack(list(Progress(computed, total=len(stars), unit=" spectra")))
    if resolution is not None:
        flux = broaden(grid, flux, np.inf, resolution)
    inside = (grid >= low) & (grid <= high)
    resolution = resolution or float(synthesis.RESOLUTION)
    store.write_grid(out, grid[inside], flux[:, inside], stars, resolution)


def library(
    out: Path, nodes: str, components: int, lines: Path | None, processes: int | None
) -> None:
    """The library of rest-frame spectra, from the synthesiser."""
    from stargrav.data import store
    from stargrav.physics import synthesis
    from stargrav.physics.nodes import NODES, build_library, physics_version

    out = require_writable(out, "OUT", makes_folders=True, inputs=(lines,))
    make = partial(synthesis.Synthesizer, lines=None if lines is None else _listed(lines))
    parts, several = out.with_name(f".{out.name}.parts"), processes or os.cpu_count() or 1
    with alone(parts, f"another command builds {out}; this one waits for it"):
        made = build_library(NODES[nodes], parts, several, components, make_synthesizer=make)
        listed = "built in" if lines is None else f"{lines.name} {hash_tree(lines)[:16]}"
        told = {"nodes": nodes, "lines": listed, "physics": physics_version()}
        store.write_library(out, made, told)
        for part in parts.iterdir():
            part.unlink()
        parts.rmdir()
    print(f"{out}: {np.prod(made.coefficients.shape[:-1])} spectra, {components} components")


def opened(source: str, resolution: float) -> Library:
    """A library of rest-frame spectra; it is said if it is coarser than what it is to describe.

    Args:
        source: its file or folder; the built-in one is pulled if absent.
        resolution: lambda / FWHM of the spectra.

    Raises:
        InputError: there is none, or it holds observed spectra.
    """
    from stargrav import pipeline, settings
    from stargrav.data.sources import open_source, resolved
    from stargrav.physics.grid import Library

    path = Path(source)
    if not path.exists() and source == "data/library.h5":
        root = pipeline.project_root()
        path = pipeline.fetch_library(root, settings.load(root / "params.yaml"))
    found = open_source(path)
    if not isinstance(found, Library):
        raise InputError(source, "source", "observed spectra", "a library of rest-frame spectra")
    if found.resolution < resolution:
        print(resolved(source, found.resolution, resolution), file=sys.stderr)
    return found


def import_source(kind: str, path: Path, out: Path, components: int) -> None:
    """A library or a data set from outside, checked and written as Stargrav reads it fastest."""
    from stargrav.data import store
    from stargrav.data.sources import open_source
    from stargrav.physics.grid import Library

    out = require_writable(out, "OUT", makes_folders=True, inputs=(path,))
    if kind != "bosz" and path.is_file() and store.kind_of(path) != kind:
        raise InputError(path, "kind", store.kind_of(path), kind)
    if kind == "bosz" and not path.is_dir():
        raise InputError(path, "bosz", "no folder", "a folder of BOSZ model files")
    if kind == "pfsspec":
        store.import_spectra(path, out)
    else:
        made = open_source(path, components)
        assert isinstance(made, Library)
        store.write_library(out, replace(made, name=str(out)), {"source": path.name})
    print(f"{out}: use it with -P source={out} (mlflow run) or --source {out} (stargrav)")
