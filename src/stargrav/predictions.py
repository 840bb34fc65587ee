"""Labels of measured spectra: what `stargrav predict` does."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stargrav.errors import InputError
from stargrav.files import require_writable, whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from stargrav.data.measured import Measured
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
    from stargrav.inference.velocity import Motion
    from stargrav.libraries import opened
    from stargrav.observation.view import View
    from stargrav.progress import Progress

    if out is not None:
        out = require_writable(out, "--out", inputs=(*files, Path(source)))
    if not np.isfinite(resolution):
        raise InputError("command line", "--resolution", f"{resolution:g}", "a finite number")
    library = opened(source, resolution)
    within = partial(_within, library, resolution, velocity)
    measured = {path: read_measured(path, mask_bits, partial(within, path)) for path in files}
    known = {} if velocity == "fit" else _velocities(library, measured)
    rounds, tables, view = 2 if velocity == "fit" else 1, [], None
    for path, spectra in measured.items():
        _tell_of_lost(path, spectra)
        flux, error = spectra.flux, spectra.error
        if add_noise:
            rng = np.random.default_rng([seed, len(tables), 0, 0, _ADDED])
            flux = flux + error * rng.standard_normal(flux.shape)
        if view is None or not np.array_equal(view.wave, spectra.wave):
            view = View(library, spectra.wave, resolution)
        motion = None
        if velocity == "fit":
            motion = view.doppler
        elif known:
            motion = Motion(view.doppler, known[path])
        how = {"motion": motion, "continuum": continuum, "usable": spectra.good, "seed": seed}
        with Progress(total=rounds * len(flux), desc=path.name) as bar:
            table = posterior(flux, error, view.library, progress=bar.update, **how)
        alike = sum(other.name == path.name for other in measured)
        table.insert(0, "file", path.name if alike == 1 else str(path))
        table.insert(1, "row", np.arange(len(table)))
        tables.append(table)
    _show(pd.concat(tables, ignore_index=True), out)


def _show(found: pd.DataFrame, out: Path | None) -> None:
    """Write the labels, or print them if there is no place, and say what stands out."""
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


def _within(
    library: Library, resolution: float, velocity: str, path: Path, wave: np.ndarray
) -> slice:
    """The pixels of a file that the library describes.

    Raises:
        InputError: they are too few, or their wavelengths jump.
    """
    from stargrav.data import store, validate
    from stargrav.inference.predict import fewest_pixels
    from stargrav.inference.velocity import REACH
    from stargrav.observation.doppler import lit
    from stargrav.observation.transforms import pixel_edges
    from stargrav.observation.view import covered

    kept, rest = covered(library, wave, resolution), library.wave.cpu().numpy()
    count, seen = kept.stop - kept.start, f"within {rest[0]:.0f} to {rest[-1]:.0f} A"
    if count >= fewest_pixels(library):
        validate.continuous(wave[kept], path, store.WAVE, first=kept.start)
        if velocity == "fit":
            edges, seen = pixel_edges(wave[kept]), f"{seen} at velocities of {REACH:g} km/s"
            count = int((lit(edges, rest, -REACH) & lit(edges, rest, REACH)).sum())
    if count < fewest_pixels(library):
        expected = f"at least {fewest_pixels(library)}"
        raise InputError(path, store.WAVE, f"{count} pixels {seen}", expected)
    return kept


def _velocities(library: Library, measured: Mapping[Path, Measured]) -> dict[Path, np.ndarray]:
    """Radial velocities [km/s] of each file's spectra; nothing if all are at rest.

    Raises:
        InputError: a redshift is so large that the library has no light for it.
    """
    from stargrav.data import store
    from stargrav.observation.doppler import lit, radial_velocity
    from stargrav.observation.transforms import pixel_edges

    redshifts = {path: store.read_redshifts(path, len(each)) for path, each in measured.items()}
    if not any(each.any() for each in redshifts.values()):
        return {}
    rest = library.wave.cpu().numpy()
    for path, each in redshifts.items():
        edges = pixel_edges(measured[path].wave)
        for row in np.flatnonzero(each):
            if each[row] <= -1 or not lit(edges, rest, radial_velocity(each[row])).any():
                where, allowed = f"redshift, row {row}", "one at which the library has light"
                raise InputError(path, where, f"{each[row]:g}", allowed)
    return {path: radial_velocity(each) for path, each in redshifts.items()}


def _tell_of_lost(path: Path, spectra: Measured) -> None:
    if spectra.left_out:
        whole = spectra.left_out + len(spectra.wave)
        outside = f"{spectra.left_out} of {whole} pixels are outside of the library"
        print(f"{path}: {outside} and left out", file=sys.stderr)
    if not spectra.good.all():
        masked = f"{1 - spectra.good.mean():.1%} of the pixels are masked"
        print(f"{path}: {masked}", file=sys.stderr)
