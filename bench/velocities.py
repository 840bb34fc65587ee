"""How well `stargrav predict --velocity fit` measures velocities, and what labels lose by it.

Stars with radial velocities uniform within 250 km/s either way are simulated and get noise.
Printed for each magnitude: the velocities' median standard deviation, the root mean square of
their pulls and how many are wrong by more than five standard deviations, which the former leaves
out; then of log g, T_eff and M_H the spread of the pulls and the median standard deviation where
velocities are known, or fitted. (What wrong ones do: `predict_faults.py`.)

    python bench/velocities.py [--stars 500] [--mags 18 20 21.5 22.5]
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from stargrav.data.sources import open_source
from stargrav.inference.predict import predict
from stargrav.inference.velocity import Motion
from stargrav.observation.doppler import radial_velocity
from stargrav.observation.simulate import Simulator, draw_stars

SHOWN = {"log_g": "dex", "T_eff": "K", "M_H": "dex"}
WRONG = 5.0  # standard deviations


def told(found: pd.DataFrame, stars: pd.DataFrame) -> str:
    """Pulls and errors of the labels."""
    parts = [f"chi2 {found['chi2'].mean():.3f}, misfit {found['misfit'].median():5.2f}"]
    for name, unit in SHOWN.items():
        pull = (found[name] - stars[name]) / found[f"sd_{name}"]
        parts.append(
            f"{name} pulls {pull.std():.3f}, sd {found[f'sd_{name}'].median():.3g} {unit}"
        )
    return "; ".join(parts)


def main() -> None:
    """Print the velocities of one magnitude after the other, and what labels make of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=500)
    parser.add_argument("--mags", type=float, nargs="+", default=[18, 20, 21.5, 22.5])
    parser.add_argument("--source", default="data/library.h5")
    given = parser.parse_args()
    simulator = Simulator(open_source(given.source))
    for mag in given.mags:
        rng = np.random.default_rng(42)
        ranges = simulator.library.ranges
        stars = draw_stars(given.stars, mag, ranges, rng, velocity=(-250, 250))
        flux, error = (each.numpy() for each in simulator(stars))
        flux = flux + error * rng.standard_normal(flux.shape, dtype=np.float32)
        true = radial_velocity(stars["redshift"].to_numpy())
        motions = {"known": Motion(simulator.doppler, true), "fit": simulator.doppler}
        for name, motion in motions.items():
            found = predict(flux, error, simulator.library, motion=motion)
            if name == "fit":
                pull = (found["velocity"] - true) / found["sd_velocity"]
                wrong = (pull.abs() > WRONG).sum()
                print(
                    f"mag {mag:<4g} velocity: sd {found['sd_velocity'].median():.2f} km/s, pulls "
                    f"{np.sqrt((pull**2)[pull.abs() <= WRONG].mean()):.3f}, wrong {wrong}"
                )
            print(f"mag {mag:<4g} {name:5s} {told(found, stars)}", flush=True)


if __name__ == "__main__":
    main()
