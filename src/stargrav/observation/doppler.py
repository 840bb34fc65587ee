"""A library as an instrument sees it from stars that move.

The line spread function has a constant resolving power, so that it acts once, on the library; a
velocity then costs the means over the pixels alone. All of it is linear in the flux.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from stargrav.constants import C_KM_S
from stargrav.errors import InputError
from stargrav.observation.transforms import broaden, pixel_edges, stretch
from stargrav.physics.grid import Library


class Doppler:
    """Mean and components of a library on the pixels of an instrument, at any radial velocity.

    Args:
        library: rest-frame spectra.
        wave: (p,) centres of the pixels [Angstrom, vacuum], which the library covers at rest.
        resolution: lambda / FWHM of the instrument.
    """

    def __init__(self, library: Library, wave: np.ndarray, resolution: float) -> None:
        self._name = library.name
        self._wave = library.wave.cpu().numpy()
        stack = torch.cat([library.mean[None], library.components]).double().cpu().numpy()
        seen = broaden(self._wave, stack, library.resolution, resolution)
        spline = make_interp_spline(self._wave, seen.T, k=3)
        self._integral = spline.antiderivative()
        self._edges = pixel_edges(wave)

    def covered(self, velocity: float) -> np.ndarray:
        """Pixels (p,) whose light the library has at a velocity [km/s, away from us]."""
        return lit(self._edges, self._wave, velocity)

    def vectors(self, velocity: float) -> Tensor:
        """What the library's mean and components look like at a velocity.

        Args:
            velocity: km/s, away from us.

        Returns:
            (1 + k, p) float32; pixels that are not covered repeat the nearest that is.

        Raises:
            InputError: the library covers none of them.
        """
        kept = np.flatnonzero(self.covered(velocity))
        if not len(kept):
            low, high = self._wave[[0, -1]]
            raise InputError(
                self._name, "wave", f"{low:.0f} to {high:.0f} A", f"light at {velocity:g} km/s"
            )
        rest = self._edges[kept[0] : kept[-1] + 2] / stretch(velocity)
        found = np.diff(self._integral(rest), axis=0) / np.diff(rest)[:, None]
        nearest = np.clip(np.arange(len(self._edges) - 1), kept[0], kept[-1]) - kept[0]
        return torch.from_numpy(found[nearest].T.astype(np.float32))


def lit(edges: np.ndarray, wave: np.ndarray, velocity: float) -> np.ndarray:
    """Pixels (p,) with such edges (p + 1,) whose light spectra at rest, on `wave`, have at a
    velocity [km/s, away from us]."""
    rest = edges / stretch(velocity)
    return (rest[:-1] >= wave[0]) & (rest[1:] <= wave[-1])


def radial_velocity(redshift: np.ndarray | float) -> np.ndarray | float:
    """Radial velocity [km/s, away from us] of a redshift z."""
    square = (1 + np.asarray(redshift)) ** 2
    return C_KM_S * (square - 1) / (square + 1)
