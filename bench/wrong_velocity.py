"""What `stargrav predict` says of spectra that are not quite in the rest frame.

Simulated stars are moved by each velocity, noise is added, and their posteriors are compared with
the truth: the mean chi2 with its scatter from star to star, the misfit's quartiles, and mean and
spread of the pulls.

    python bench/wrong_velocity.py [--stars 1000] [--mag 21.5] [--velocities 0 5 10 20 40]
"""

from __future__ import annotations

import argparse

import numpy as np

from stargrav.constants import C_KM_S
from stargrav.data.sources import open_source
from stargrav.inference.predict import predict
from stargrav.observation.simulate import Simulator, draw_stars

SHOWN = ("log_g", "M_H", "T_eff")


def main() -> None:
    """Print one line for each velocity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--mag", type=float, default=21.5)
    parser.add_argument("--velocities", type=float, nargs="+", default=[0, 5, 10, 20, 40])
    parser.add_argument("--source", default="data/library.h5")
    given = parser.parse_args()
    rng = np.random.default_rng(42)
    simulator = Simulator(open_source(given.source))
    ranges = simulator.library.ranges
    stars = draw_stars(given.stars, (given.mag, given.mag), ranges, rng)
    stars["id"] = np.arange(len(stars))
    flux, error = (np.asarray(x, dtype=np.float64) for x in simulator(stars)[:2])
    noise = rng.standard_normal(flux.shape)
    wave = np.asarray(simulator.wave)
    for velocity in given.velocities:
        moved = wave * (1 + velocity / C_KM_S)
        noisy = np.stack([np.interp(wave, moved, each) for each in flux]) + error * noise
        found = predict(noisy.astype("f4"), error.astype("f4"), simulator.library, seed=1)
        chi2, told = found["chi2"], []
        misfit = ", ".join(f"{x:.1f}" for x in np.quantile(found["misfit"], [0.25, 0.5, 0.75]))
        for label in SHOWN:
            pull = (found[label] - stars[label].to_numpy()) / found[f"sd_{label}"]
            told.append(f"{label} {pull.mean():.2f}, {pull.std():.2f}")
        told = "; ".join(told)
        print(
            f"{velocity:4g} km/s: chi2 {chi2.mean():.3f} (scatter {chi2.std():.3f}); "
            f"misfit {misfit}; pulls, mean and spread: {told}",
            flush=True,
        )


if __name__ == "__main__":
    main()
