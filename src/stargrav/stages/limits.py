"""Stage `limits`: what the flux of the test stars can tell at most (`inference.limits`).

The noise of a star is that of its first latents, so that a model's error and the posterior's are
those of the same spectrum. Sigma is the error that the flux scatters by, also where the reported
error is estimated from noisy counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.spatial import KDTree
from torch import Tensor

from stargrav.data.loader import Clean
from stargrav.data.sources import open_source
from stargrav.inference import limits
from stargrav.inference.bayes import Integrator
from stargrav.inference.emulator import Emulator
from stargrav.labels import LABELS, LOG_G
from stargrav.metrics.fisher import fisher_matrix, local_jacobian, marginal_variance
from stargrav.observation.noise import Conditions, NoiseModel, fixed_noise, observe
from stargrav.observation.simulate import Simulator, snr
from stargrav.physics.grid import Library
from stargrav.progress import Progress
from stargrav.settings import Limits
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.device import device

MAGNITUDES = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)
THREE = (0, 1, 2)  # T_eff, log_g, M_H are unknown, a_M and C_M known
_BATCH = 64


def build(work: Work, out: Path) -> None:
    """Write the tables of `inference.limits`; a level that is done outlives an interruption."""
    source, place = open_source(work.source), device(work.settings.accelerator)
    simulator = Simulator(source.to(place)) if isinstance(source, Library) else None
    test = dataset.read(work.folders["dataset"], "test")
    train = dataset.read(work.folders["dataset"], "train")
    library, noise = (simulator.library, simulator.noise) if simulator else (None, None)
    work.scratch.mkdir(parents=True, exist_ok=True)
    settings = work.settings
    write(work.scratch, test, train, library, noise, settings.limits, settings.seed, place)
    for path in sorted(work.scratch.glob("[!.]*")):
        path.rename(out / path.name)


def write(
    out: Path,
    test: Spectra,
    train: Spectra,
    library: Library | None,
    noise: NoiseModel | None,
    settings: Limits,
    seed: int = 42,
    place: torch.device | str = "cpu",
) -> None:
    """Measure the limits of test stars.

    Args:
        out: folder to write into; noise levels whose table lies there are not measured again.
        test: the stars.
        train: the stars among which those of similar labels are sought.
        library: that they were drawn from, as the instrument sees it; None where there is none.
        noise: of the instrument, for other magnitudes.
        settings: noise levels and sizes.
        seed: of the noise.
        place: device of the computation.
    """
    known = [name for name in (*LABELS, "mag", "snr") if name in test.stars]
    table = test.stars[known].assign(id=test.ids)
    table = table.assign(**neighbours(test, train, settings.neighbours))
    emulator = None if library is None else Emulator(library, place)
    if emulator is not None:
        sigmas, bright = fisher(emulator, noise, test)
        table = table.assign(**sigmas)
        if bright is not None:
            bright.to_parquet(out / limits.MAGNITUDES, index=False)
        integrator = Integrator(emulator, settings.points, seed, settings.least_ess)
    for level in settings.noise_levels:
        path = limits.path(out, level)
        if path.exists():
            continue
        scale = {name: level * table[name] for name in table if name.startswith("sigma_")}
        found = table.assign(**scale)
        if emulator is not None:
            found = found.assign(**posterior(integrator, test, level, seed, place))
        aside = path.with_name(f".{path.name}.partial")
        found.to_parquet(aside, index=False)
        aside.replace(path)
    manifest = {
        "noise_levels": list(settings.noise_levels),
        "stars": len(test),
        "seed": seed,
        "error": test.error_kind,
        "log_g": _range(emulator, test),
    }
    (out / limits.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def posterior(
    integrator: Integrator, test: Spectra, level: float, seed: int, place: torch.device | str
) -> dict[str, np.ndarray]:
    """Columns of the posterior at a noise level."""
    ids, pixels = test.ids, test.flux.shape[1]
    flux, sigma, _ = Clean(test, place)(slice(None))
    noise = torch.from_numpy(np.stack([fixed_noise(seed, star, pixels) for star in ids]))
    noisy, _ = observe(flux, sigma, level, noise.to(flux.device))
    truth = torch.tensor(test.labels, device=place)
    with Progress(total=len(test), desc=f"posterior, noise {level:g}") as bar:
        found = integrator(noisy, level * sigma, truth, bar.update)
    columns = {"ess": found.ess, "refined": found.refined}
    for i, name in enumerate(LABELS):
        columns[f"mean_{name}"] = found.mean[:, i]
        columns[f"sd_{name}"] = found.sd[:, i]
        columns[f"rank_{name}"] = found.rank[:, i]
    return columns


def fisher(
    emulator: Emulator, noise: NoiseModel, test: Spectra
) -> tuple[dict[str, np.ndarray], pd.DataFrame | None]:
    """Bounds of the test stars, and of the same stars at other magnitudes.

    The second is None where the conditions of the stars are not known.
    """
    clean = Clean(test, emulator.vectors.device)
    try:
        conditions = Conditions.of(test.stars)
    except KeyError:
        conditions = None
    own, moved = [], []
    labels = torch.tensor(test.labels, device=emulator.vectors.device)
    for rows in Progress(list(_portions(len(test))), desc="Fisher"):
        flux, slopes = emulator.jacobian(labels[rows])
        own.append(_bounds(emulator, slopes, clean(rows)[1]))
        if conditions is None:
            continue
        for mag in MAGNITUDES:
            at = conditions[rows]
            at = Conditions(np.full_like(at.mag, mag), at.seeing, at.zenith_angle, at.field_angle)
            error = noise.error(flux, at)
            columns = _bounds(emulator, slopes, error)
            columns["snr"] = snr(flux, error)["median"].cpu().numpy()
            moved.append(pd.DataFrame(columns).assign(id=test.ids[rows], mag=mag))
    sigmas = {name: np.concatenate([part[name] for part in own]) for name in own[0]}
    return sigmas, pd.concat(moved, ignore_index=True) if moved else None


def _bounds(emulator: Emulator, slopes: Tensor, error: Tensor) -> dict[str, np.ndarray]:
    """Standard deviations of the bounds, all labels unknown and two of them known."""
    matrix = fisher_matrix(slopes.cpu().numpy(), error.cpu().numpy())
    three = [column for column in emulator.free if column in THREE]
    return {
        "sigma_fisher_log_g": np.sqrt(marginal_variance(matrix, LOG_G, emulator.free)),
        "sigma_fisher3_log_g": np.sqrt(marginal_variance(matrix, LOG_G, three)),
    }


def neighbours(test: Spectra, train: Spectra, count: int) -> dict[str, np.ndarray]:
    """Bounds from finite differences among the training stars of nearest labels.

    Args:
        test: the stars.
        train: their neighbours, noiseless.
        count: of neighbours.

    Returns:
        columns (n,) of `inference.limits`; NaN where the training stars are too few.
    """
    span = np.ptp(train.labels.astype(float), axis=0)
    free = np.flatnonzero(span > 0)
    sigma = {name: np.full(len(test), np.nan) for name in ("sigma_knn_log_g", "sigma_knn3_log_g")}
    if LOG_G not in free or min(count, len(train)) < 2 * len(free):
        return sigma
    tree = KDTree(train.labels[:, free] / span[free])
    clean = Clean(test)
    for row in Progress(range(len(test)), desc="neighbours"):
        at = test.labels[row].astype(float)
        near = np.sort(tree.query(at[free] / span[free], min(count, len(train)))[1])
        _, slope = local_jacobian(train.labels[near].astype(float), train.flux[near], at, span)
        matrix = fisher_matrix(slope[None], clean(slice(row, row + 1))[1].numpy())
        for name, unknown in zip(sigma, (free, np.intersect1d(free, THREE)), strict=True):
            sigma[name][row] = np.sqrt(marginal_variance(matrix, LOG_G, unknown)[0])
    return sigma


def _range(emulator: Emulator | None, test: Spectra) -> list[float]:
    """Lowest and highest log g that the stars are drawn from."""
    if emulator is None:
        column = test.labels[:, LOG_G]
        return [float(column.min()), float(column.max())]
    return [float(emulator.low[LOG_G]), float(emulator.high[LOG_G])]


def _portions(count: int) -> Iterator[slice]:
    for start in range(0, count, _BATCH):
        yield slice(start, min(start + _BATCH, count))
