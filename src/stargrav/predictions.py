"""Labels of measured spectra: what `stargrav predict` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stargrav.errors import InputError
from stargrav.files import require_writable, whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargrav.data.measured import Measured
    from stargrav.inference.velocity import Motion
    from stargrav.observation.doppler import Doppler
    from stargrav.observation.view import View
    from stargrav.physics.grid import Library

NO_NOISE = 0.1  # of chi2, where 1 is expected
_ADDED = 2  # no noise of a star is drawn so (`observation.noise`)
MISFIT = 5.0  # standard deviations, from where the labels of a spectrum mean little


def predict(
    files: tuple[Path, ...],
    out: Path | None,
    velocity: str,
    continuum: int,
    resolution: float,
    mask_bits: int,
    add_noise: bool,
    seed: int,
    source: str,
) -> None:
    """Labels of measured spectra with their standard deviations, as CSV."""
    import pandas as pd

    from stargrav.data.measured import read_measured
    from stargrav.inference.predict import predict as posterior
    from stargrav.libraries import opened
    from stargrav.progress import Progress

    if out is not None:
        out = require_writable(out, "--out", inputs=(*files, Path(source)))
    library = opened(source, resolution)
    measured = {path: read_measured(path, mask_bits) for path in files}
    for path, spectra in measured.items():
        measured[path] = _within(library, path, spectra)
    views = _views(library, {path: spectra.wave for path, spectra in measured.items()}, resolution)
    counts = {path: len(spectra) for path, spectra in measured.items()}
    motions = _motions(counts, views, velocity)
    rounds = 2 if velocity == "fit" else 1
    tables = []
    for path, spectra in measured.items():
        flux, error = spectra.flux, spectra.error
        if add_noise:
            rng = np.random.default_rng([seed, len(tables), 0, 0, _ADDED])
            flux = flux + error * rng.standard_normal(flux.shape)
        how = {"seed": seed, "motion": motions[path], "continuum": continuum}
        with Progress(total=rounds * len(flux), desc=path.name) as bar:
            table = posterior(flux, error, views[path].library, progress=bar.update, **how)
        alike = sum(other.name == path.name for other in measured)
        table.insert(0, "file", path.name if alike == 1 else str(path))
        table.insert(1, "row", np.arange(len(table)))
        tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    if found["chi2"].median() < NO_NOISE:
        hint = "this flux has no noise, as what `simulate` writes; see --add-noise"
        print(f"chi2 near 0: {hint}", file=sys.stderr)
    if out is None:
        print(found.to_csv(index=False, float_format="%.5g"), end="")
        return
    with whole_file(out) as aside:
        found.to_csv(aside, index=False, float_format="%.6g")
    sd, chi2 = (found[name].median() for name in ("sd_log_g", "chi2"))
    print(f"{out}: {len(found)} spectra, median sd of log g {sd:.3f}, median chi2 {chi2:.3f}")
    for what, count in {
        "have too few good pixels, and no labels": found["log_g"].isna().sum(),
        "are described better by a mixture than by any star (column misfit)": (
            found["misfit"] > MISFIT
        ).sum(),
        "lean on an edge of the library's log g (column edges)": (
            found["edges"].fillna("").str.contains("log_g").sum()
        ),
    }.items():
        if count:
            print(f"{count} {what}")


def _within(library: Library, path: Path, spectra: Measured) -> Measured:
    """Spectra in the pixels whose light the library has; what is left out is said.

    Raises:
        InputError: hardly a pixel is left, or they jump.
    """
    from stargrav.data import store, validate
    from stargrav.observation.view import covered

    kept, (low, high) = covered(library, spectra.wave), library.wave[[0, -1]].tolist()
    validate.enough(spectra.wave[kept], low, high, path, store.WAVE)
    validate.continuous(spectra.wave[kept], path, store.WAVE)
    found = spectra.cut(kept)
    if spectra.masked:
        print(f"{path}: {spectra.masked:.1%} of the pixels are masked", file=sys.stderr)
    if lost := len(spectra.wave) - len(found.wave):
        outside = f"{lost} of {len(spectra.wave)} pixels are outside of the library"
        print(f"{path}: {outside} ({low:.0f} to {high:.0f} A) and left out", file=sys.stderr)
    return found


def _views(
    library: Library, waves: Mapping[Path, np.ndarray], resolution: float
) -> dict[Path, View]:
    """The library as the pixels of each file see it; files on the same pixels share it."""
    from stargrav.observation.view import View

    made = {wave.tobytes(): wave for wave in waves.values()}
    seen = {key: View(library, wave, resolution) for key, wave in made.items()}
    return {path: seen[wave.tobytes()] for path, wave in waves.items()}


def _motions(
    counts: Mapping[Path, int], views: Mapping[Path, View], velocity: str
) -> dict[Path, Motion | Doppler | None]:
    """What is known of the velocities of files with so many spectra; None where all are at rest.

    Raises:
        InputError: a redshift is so large that the library has no light for it.
    """
    from stargrav.data import store
    from stargrav.inference.velocity import Motion
    from stargrav.observation.doppler import radial_velocity

    if velocity == "fit":
        return {path: views[path].doppler for path in counts}
    redshifts = {path: store.read_redshifts(path, count) for path, count in counts.items()}
    if not any(each.any() for each in redshifts.values()):
        return dict.fromkeys(counts)
    found = {}
    for path, each in redshifts.items():
        doppler = views[path].doppler
        for row in np.flatnonzero(each):
            if each[row] <= -1 or not doppler.covered(radial_velocity(each[row])).any():
                where, allowed = f"redshift, row {row}", "one at which the library has light"
                raise InputError(path, where, f"{each[row]:g}", allowed)
        found[path] = Motion(doppler, radial_velocity(each))
    return found
