r"""Named spectral lines: where they lie, and how strong they are in a spectrum.

With F_c a straight line through the mean flux on either side of a line,

    W = integral (1 - F / F_c) d lambda    [A],    depth = 1 - min F / F_c,

the minimum taken over means of three pixels.
"""

from __future__ import annotations

import numpy as np

LINES = {  # vacuum wavelength [A], NIST ASD
    "Fe I 7132.9": 7132.888,
    "Ca I 7150.1": 7150.121,
    "Fe I 7166.4": 7166.424,
    "Fe I 7189.3": 7189.299,
    "K I 7701.1": 7701.093,
    "Na I 8185.5": 8185.505,
    "Na I 8197.1": 8197.077,
    "Ti I 8437.3": 8437.275,
    "Ca II 8500.4": 8500.355,
    "Ca II 8544.4": 8544.437,
    "H I 8600.8": 8600.754,  # Paschen 14
    "Ca II 8664.5": 8664.519,
    "Fe I 8691.0": 8691.011,
    "H I 8752.9": 8752.876,  # Paschen 12
    "Mg I 8809.2": 8809.174,
    "Fe I 8826.6": 8826.644,
}
HALF_WIDTH = 5.0  # of a line [A]
TAPER = 1.5  # at either end of a line, over which what is done to it fades [A]
SIDE = 8.0  # of the stretch on either side of a line that its continuum is taken from [A]


def within(wave: np.ndarray, margin: float = 0.0) -> dict[str, float]:
    """The lines that a spectrum holds with both sides.

    Args:
        wave: (p,) vacuum wavelengths [A], ascending.
        margin: that has to be left at either end besides [A].
    """
    reach = HALF_WIDTH + SIDE + margin
    return {name: at for name, at in LINES.items() if wave[0] + reach <= at <= wave[-1] - reach}


def lost(wave: np.ndarray, flux: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """What a line takes away from its continuum.

    Args:
        wave: (p,) [A].
        flux: (n, p).
        at: the line [A].

    Returns:
        whether a pixel belongs to the line (p,), with m pixels that do; 1 - F / F_c there (n, m).
    """
    offset = wave - at
    inside = np.abs(offset) <= HALF_WIDTH
    continuum = _continuum(offset, flux, inside)
    return inside, 1 - flux[:, inside] / continuum


def strength(wave: np.ndarray, flux: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Equivalent width [A] and depth of a line, (n,) each; arguments as for `lost`."""
    inside, share = lost(wave, flux, at)
    width = np.trapezoid(share, wave[inside], axis=1)
    smooth = (share[:, :-2] + share[:, 1:-1] + share[:, 2:]) / 3
    return width, smooth.max(axis=1)


def centre_depth(wave: np.ndarray, flux: np.ndarray, at: float) -> np.ndarray:
    """Depth of a line at its place, the mean of three pixels, (n,); arguments as for `lost`.

    Noise leaves its mean alone, unlike that of the greatest depth.
    """
    inside, share = lost(wave, flux, at)
    nearest = np.argsort(np.abs(wave[inside] - at), kind="stable")[:3]
    return share[:, nearest].mean(axis=1)


def scaled(wave: np.ndarray, flux: np.ndarray, at: float, factor: float) -> np.ndarray:
    """Spectra with one line made stronger or weaker: 0 removes it, 2 doubles it.

    Args:
        wave: (p,) [A].
        flux: (n, p).
        at: the line [A].
        factor: of its depth; fading to 1 at the ends of the line.

    Returns:
        (n, p); a line that would go below no flux at all ends there.
    """
    inside, share = lost(wave, flux, at)
    found = flux.copy()
    continuum = _continuum(wave - at, flux, inside)
    from_end = (HALF_WIDTH - np.abs(wave[inside] - at)) / TAPER
    whole = np.sin(np.pi / 2 * np.clip(from_end, 0, 1)) ** 2
    found[:, inside] = continuum * np.maximum(1 - (1 + (factor - 1) * whole) * share, 0)
    return found


def _continuum(offset: np.ndarray, flux: np.ndarray, inside: np.ndarray) -> np.ndarray:
    blue = (offset < -HALF_WIDTH) & (offset >= -HALF_WIDTH - SIDE)
    red = (offset > HALF_WIDTH) & (offset <= HALF_WIDTH + SIDE)
    left, right = flux[:, blue].mean(axis=1), flux[:, red].mean(axis=1)
    share = (offset[inside] - offset[blue].mean()) / (offset[red].mean() - offset[blue].mean())
    continuum = left[:, None] + (right - left)[:, None] * share
    return np.maximum(continuum, np.finfo(np.float32).tiny)
