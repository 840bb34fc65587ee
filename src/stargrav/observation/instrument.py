"""Spectrographs, as numbers only.

The medium-resolution red arm of the Subaru Prime Focus Spectrograph: Tamura et al. (2016, SPIE
9908, 99081M); telescope, fibre, vignetting and detector as in the public exposure time calculator
(Hirata et al. 2012, arXiv:1204.5151, and its PFS configuration), but for the values marked as
fitted below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Instrument:
    """One arm of a fibre spectrograph.

    Attributes:
        name: how it is called.
        blue, red: wavelengths [Angstrom, vacuum] of the first and last pixel of the arm, which
            are spaced evenly.
        pixels: number of pixels of the whole arm.
        resolution: lambda / FWHM.
        diameter: of the primary mirror [m].
        obscuration: its central obscuration, as a fraction of the diameter.
        field: field angles [degree] at which the three following are given.
        vignetting: share of light that passes.
        fibre: diameter of the fibre on the sky [arcsec].
        spot: FWHM of the optics' own image [arcsec].
        throughput: total efficiency at blue end, middle and red end of the arm.
        dark: electrons per second and detector pixel.
        read_noise: electrons per detector pixel and exposure.
        rows: detector pixels summed into one pixel of the spectrum.
        sky_residual: share of the sky that sky subtraction leaves in each exposure.
        exposures: how many.
        exposure_time: of each [s].
        span: first pixel of the arm in use, and one past the last.
    """

    name: str
    blue: float
    red: float
    pixels: int
    resolution: float
    diameter: float
    obscuration: float
    field: tuple[float, ...]
    vignetting: tuple[float, ...]
    fibre: tuple[float, ...]
    spot: tuple[float, ...]
    throughput: tuple[float, float, float]
    dark: float
    read_noise: float
    rows: float
    sky_residual: float
    exposures: int
    exposure_time: float
    span: tuple[int, int]

    @property
    def wave(self) -> np.ndarray:
        """Wavelengths [Angstrom] of the pixels in use, float64."""
        return np.linspace(self.blue, self.red, self.pixels)[slice(*self.span)]

    @property
    def step(self) -> float:
        """Width of a pixel [Angstrom]."""
        return (self.red - self.blue) / (self.pixels - 1)

    @property
    def area(self) -> float:
        """Collecting area [cm^2]."""
        return np.pi / 4 * (100 * self.diameter) ** 2 * (1 - self.obscuration**2)

    def cut(self, low: float, high: float) -> Instrument:
        """The part of the arm whose pixels lie entirely within low..high [Angstrom].

        The part may be empty.
        """
        whole = np.linspace(self.blue, self.red, self.pixels)
        slack = 1e-6
        inside = (whole - self.step / 2 >= low - slack) & (whole + self.step / 2 <= high + slack)
        used = np.flatnonzero(inside)
        span = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        return replace(self, span=span)


# Fitted: to the public exposure time calculator's output and the published SNR values, together
# with the sky (`sky`); see docs/decisions.md.
PFS_MR = Instrument(
    name="PFS_MR",
    blue=7100.2,
    red=8849.8,
    pixels=4096,
    resolution=5000.0,
    diameter=8.3,
    obscuration=0.22,
    field=(0.0, 0.1625, 0.325, 0.4875, 0.65),
    vignetting=(0.94, 0.90, 0.84, 0.78, 0.71),
    fibre=(1.12, 1.10, 1.07, 1.05, 1.02),
    spot=(0.15, 0.17, 0.19, 0.22, 0.25),
    throughput=(0.268, 0.287, 0.252),  # fitted
    dark=4.0e-4,
    read_noise=3.0,
    rows=9.6,  # fitted
    sky_residual=0.02,  # fitted
    exposures=12,
    exposure_time=900.0,
    span=(0, 4096),
)
