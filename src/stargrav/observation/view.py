"""A library as pixels see it through a line spread function.

Both are linear in the flux and act once, on the mean and the components of the library: on those
of its own instrument (`simulate`), or on those of a measured file, wherever these lie.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from stargrav.observation.doppler import Doppler
from stargrav.observation.transforms import broaden, pixel_edges, resample
from stargrav.physics.grid import Library

_WINGS = 1.3  # FWHM, three standard deviations
_FEWEST = 4  # pixels that edges are told from


class View:
    """A library through pixels at a constant resolving power.

    Args:
        rest: the library, of spectra at rest.
        wave: (p,) centres of the pixels [Angstrom, vacuum], whose edges the library reaches;
            those outside of `covered` see its last value blurred in.
        resolution: lambda / FWHM; a library of a lower one is seen as it is.

    Attributes:
        wave: (p,) the same.
        library: the library as the pixels see it from stars at rest.
    """

    def __init__(self, rest: Library, wave: np.ndarray, resolution: float) -> None:
        own = rest.wave.cpu().numpy()

        def seen(flux: np.ndarray) -> np.ndarray:
            return resample(own, broaden(own, flux, rest.resolution, resolution), wave, True)

        self.wave = wave
        self.library = rest.transformed(seen, wave, min(rest.resolution, resolution))
        self._rest, self._resolution = rest, resolution

    @cached_property
    def doppler(self) -> Doppler:
        """The library as the pixels see it from stars that move."""
        return Doppler(self._rest, self.wave, self._resolution)


def covered(library: Library, wave: np.ndarray, resolution: float) -> slice:
    """The pixels, in one piece, whose light a library has with all that is blurred into it.

    They may be none.

    Args:
        library: of spectra at rest.
        wave: (p,) centres of the pixels [Angstrom].
        resolution: lambda / FWHM at which they see it.
    """
    low, high = library.wave[[0, -1]].tolist()
    if resolution < library.resolution:  # the wings of the line spread function
        low, high = low * (1 + _WINGS / resolution), high * (1 - _WINGS / resolution)
    edges = pixel_edges(wave)
    inside = np.flatnonzero((edges[:-1] >= low) & (edges[1:] <= high))
    if len(inside) < _FEWEST:
        return slice(0, 0)
    first, last = inside[0], inside[-1] + 1
    at_ends = pixel_edges(wave[first:last])  # of which the two outermost are guesses
    return slice(int(first + (at_ends[0] < low)), int(last - (at_ends[-1] > high)))
