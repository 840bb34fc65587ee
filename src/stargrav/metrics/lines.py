r"""What became of the lines of a spectrum: equivalent width, depth and radial velocity.

The velocity of a line is that of the largest correlation with its template,

    c(v) = sum_i r_i q_i(v) / (|r| |q(v)|),

with r and q(v) what the line takes away from its continuum, the template moved by v; it is the
vertex of the parabola through the largest c and its two neighbours (Tonry & Davis 1979, AJ 84,
1511).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import CubicSpline

from stargrav.constants import C_KM_S
from stargrav.metrics.calibration import average
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.named_lines import LINES, lost, strength, within

MEASURED = (  # the lines of Ca II, Mg I, Na I, K I and hydrogen
    "K I 7701.1",
    "Na I 8185.5",
    "Na I 8197.1",
    "Ca II 8500.4",
    "Ca II 8544.4",
    "H I 8600.8",
    "Ca II 8664.5",
    "H I 8752.9",
    "Mg I 8809.2",
)
STEP_KM_S = 10.0  # of the correlation; a pixel is 15, a line 60 wide
FARTHEST_KM_S = 150.0
STRONG = 0.3  # mean equivalent width [A]; 5 % of less is made by .15 % of continuum in 10 A


def velocity(wave: np.ndarray, flux: np.ndarray, template: np.ndarray, at: float) -> np.ndarray:
    """Velocity of a line relative to a template.

    Args:
        wave: (p,) vacuum wavelengths [A].
        flux: (n, p).
        template: (n, p) or (p,), of the same stars, such as their clean spectra.
        at: the line [A].

    Returns:
        (n,) [km/s], positive where the line in `flux` lies redwards; NaN where the correlation is
        largest at the farthest velocity.
    """
    trial = np.arange(-FARTHEST_KM_S, FARTHEST_KM_S + STEP_KM_S / 2, STEP_KM_S)
    template = np.broadcast_to(template, flux.shape)
    inside, found = lost(wave, flux, at)
    spline = CubicSpline(wave, template, axis=1)
    moved = wave / (1 + trial[:, None] / C_KM_S)  # where the light of a pixel came from
    correlation = np.stack(
        [_cosine(found, lost(wave, spline(places), at)[1]) for places in moved], axis=1
    )
    best = correlation.argmax(axis=1)
    inner = np.clip(best, 1, len(trial) - 2)
    before, top, after = (correlation[np.arange(len(flux)), inner + k] for k in (-1, 0, 1))
    bend = before - 2 * top + after
    vertex = 0.5 * (before - after) / np.where(bend < 0, bend, np.nan)
    return np.where(best == inner, trial[inner] + STEP_KM_S * vertex, np.nan)


def line_scores(
    wave: np.ndarray, flux: np.ndarray, clean: np.ndarray, at: float, seed: int
) -> dict[str, Estimate]:
    """Biases of a line, with bootstrap replicates over stars.

    Args:
        wave: (p,) [A].
        flux: (n, p), such as denoised.
        clean: (n, p), of the same stars.
        at: the line [A].
        seed: of the resamples.

    Returns:
        `width_bias`: difference of the mean equivalent widths, relative to that of `clean`;
        `depth_bias`: mean difference; `velocity_bias` [km/s]: median over the stars that have
        one; `velocity_found`: their share.
    """
    (width, depth), (true_width, true_depth) = (strength(wave, x, at) for x in (flux, clean))
    shift = velocity(wave, flux, clean, at)
    there = np.isfinite(shift)
    scores = {
        "width_bias": bootstrap(relative_bias, width, true_width, seed=seed),
        "depth_bias": bootstrap(average, depth - true_depth, seed=seed),
        "velocity_found": bootstrap(average, there.astype(float), seed=seed),
    }
    if there.any():
        scores["velocity_bias"] = bootstrap(_median, shift[there], seed=seed)
    return scores


def measured_lines(wave: np.ndarray) -> dict[str, float]:
    """Those of `MEASURED` that a spectrum holds, each with room for the farthest velocity."""
    margin = LINES[MEASURED[-1]] * FARTHEST_KM_S / C_KM_S
    held = within(wave, margin)
    return {name: held[name] for name in MEASURED if name in held}


def strong_lines(
    wave: np.ndarray, flux: np.ndarray, lines: Mapping[str, float]
) -> dict[str, float]:
    """Those lines whose mean equivalent width is above `STRONG`; all of them if none is.

    Args:
        wave: (p,) [A].
        flux: (n, p), clean.
        lines: name -> place [A].
    """
    strong = {
        name: at for name, at in lines.items() if strength(wave, flux, at)[0].mean() > STRONG
    }
    return strong or dict(lines)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(lengths, np.finfo(np.float64).tiny)


def relative_bias(
    found: np.ndarray, true: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """By how much the mean of widths is off, relative to that of the true ones; both (n,).

    A statistic for `metrics.estimate.bootstrap`, with weights (m, n): a number, or (m,).
    """
    weights = np.ones(len(true)) if weights is None else weights
    return weights @ found / (weights @ true) - 1


def _median(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The value at which half of the weight is reached."""
    order = np.argsort(values)
    if weights is None:
        return np.median(values)
    reached = np.cumsum(weights[:, order], axis=1)
    return values[order][(reached >= reached[:, -1:] / 2).argmax(axis=1)]
