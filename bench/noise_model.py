"""The noise model against the published SNR and the public exposure time calculator.

    python bench/noise_model.py [--reference ../shared/reference/pfs_mr_noise.h5] [--source ...]

Prints the median SNR per pixel at the published magnitudes, for the stars of a library (uniform
labels) or, without one, for a source of constant AB magnitude; and how signal, sky and variance of
one exposure compare with the calculator's in shape. Its present throughput is lower than the one
behind the published data, by about 1.36 in signal, so ratios rather than ones are expected.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np
import torch

from stargrav.data.sources import open_source
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.noise import Conditions, NoiseModel
from stargrav.observation.simulate import Simulator, draw_stars, snr

PUBLISHED = {18.0: 87.4, 20.0: 24.0, 21.5: 7.1, 22.0: 4.6, 22.5: 3.0, 23.0: 1.9}
AT = {"seeing": 1.0, "zenith_angle": 22.5, "field_angle": 0.325}


def flat_source() -> torch.Tensor:
    """Flux per wavelength (1, pixels), median 1, of a source of constant AB magnitude."""
    flux = torch.from_numpy(PFS_MR.wave**-2.0).float()[None]
    return flux / flux.median()


def conditions(mag: float, n: int = 1) -> Conditions:
    """The published conditions for n stars."""
    return Conditions.of({key: np.full(n, value) for key, value in {"mag": mag, **AT}.items()})


def published_snr(source: str | None) -> None:
    """Median SNR per pixel at each published magnitude, in both definitions."""
    model = NoiseModel(PFS_MR)
    library = open_source(source) if source else None
    print(f"{'mag':>5} {'published':>9} {'median':>8} {'ratio':>6} {'norm':>8}")
    for mag, expected in PUBLISHED.items():
        if library is None:
            flux = flat_source()
            error = model.error(flux, conditions(mag))
        else:
            rng = np.random.default_rng(1)
            flux, error = Simulator(library)(draw_stars(1000, mag, library.ranges, rng, **AT))
        ratio = {key: float(value.median()) for key, value in snr(flux, error).items()}
        print(
            f"{mag:5.1f} {expected:9.1f} {ratio['median']:8.2f} "
            f"{ratio['median'] / expected:6.3f} {ratio['norm']:8.2f}"
        )


def shape(reference: Path) -> None:
    """Signal, sky and variance of one exposure at AB 20 against the calculator's."""
    with h5py.File(reference) as file:
        wave, signal, sky, variance = (
            file[key][:].astype(float)
            for key in (
                "wave",
                "signal_per_exposure_ab20",
                "sky_per_exposure",
                "variance_per_exposure",
            )
        )
    model, flux, at = NoiseModel(PFS_MR), flat_source(), conditions(20.0)
    electrons = model.electrons_per_flux(flux, at)
    n = PFS_MR.exposures
    ours = {
        "signal": (electrons * flux)[0].numpy() / n,
        "sky": model.sky_electrons(at)[0].numpy() / n,
        "variance": ((model.error(flux, at) * electrons) ** 2 - electrons * flux)[0].numpy() / n,
    }
    print("\nratio to the calculator in 250 A, and over percentiles of its pixels")
    for (name, mine), theirs in zip(ours.items(), (signal, sky, variance), strict=True):
        parts = [
            f"{mine[part].sum() / theirs[part].sum():5.2f}"
            for low in range(7100, 8850, 250)
            if (part := (wave >= low) & (wave < low + 250)).any()
        ]
        ranks = [
            f"{q}%: {np.percentile(mine, q) / np.percentile(theirs, q):.2f}"
            for q in (5, 25, 50, 75, 95)
        ]
        link = np.corrcoef(np.log(mine), np.log(theirs))[0, 1]
        print(f"{name:9s}", *parts, "|", *ranks, f"| correlation of logs {link:.3f}")


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", default="../shared/reference/pfs_mr_noise.h5", type=Path)
    parser.add_argument("--source", default=None)
    given = parser.parse_args()
    published_snr(given.source)
    if given.reference.is_file():
        shape(given.reference)
    else:
        print(f"\n{given.reference}: absent, shape not compared")


if __name__ == "__main__":
    main()
