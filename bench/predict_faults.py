"""What `stargrav predict` says of spectra that are not quite as it takes them to be.

Simulated stars get a fault and noise, and their posteriors are compared with the truth: the mean
chi2 with its scatter from star to star, the misfit's quartiles, and of each label the mean pull,
the pulls' spread and the median error. Faults: a velocity (km/s); a continuum tilted, or bowed, by
some percent at the ends of the arm; bad pixels (percent of them, at random), or all but the red
quarter of the arm.

    python bench/predict_faults.py [--stars 1000] [--mag 21.5] [--faults none velocity_20 tilt_3]
        [--continuum 3]
"""

from __future__ import annotations

import argparse

import numpy as np

from stargrav.constants import C_KM_S
from stargrav.data.sources import open_source
from stargrav.inference.predict import predict
from stargrav.observation.simulate import Simulator, draw_stars

SHOWN = ("log_g", "M_H", "T_eff")
FAULTS = (
    "none velocity_5 velocity_10 velocity_20 velocity_40 velocity_60 tilt_3 bow_3 bad_30 red_25"
)
BAD = 1e5  # times its error


def faulty(
    fault: str, wave: np.ndarray, flux: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error (n, p) with a fault, named as ``velocity_20``."""
    kind, _, size = fault.partition("_")
    place = np.linspace(-1, 1, len(wave))
    bad = np.zeros(len(wave), bool)
    if kind == "velocity":
        moved = wave * (1 + float(size) / C_KM_S)
        flux = np.stack([np.interp(wave, moved, each) for each in flux])
    elif kind in ("tilt", "bow"):
        flux = flux * (1 + float(size) / 100 * (place if kind == "tilt" else place**2 - 1 / 3))
    elif kind == "bad":
        bad = np.random.default_rng(1).random(len(wave)) < float(size) / 100
    elif kind == "red":
        bad = place < 1 - 2 * float(size) / 100
    elif kind != "none":
        raise SystemExit(f"--faults: found {fault}, expected such as {FAULTS}")
    return flux, np.where(bad, BAD * error, error)


def main() -> None:
    """Print one line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--mag", type=float, default=21.5)
    parser.add_argument("--faults", nargs="+", default=FAULTS.split())
    parser.add_argument("--continuum", type=int, default=0, help="as of stargrav predict")
    parser.add_argument("--source", default="data/library.h5")
    given = parser.parse_args()
    rng = np.random.default_rng(42)
    simulator = Simulator(open_source(given.source))
    stars = draw_stars(given.stars, (given.mag, given.mag), simulator.library.ranges, rng)
    stars["id"] = np.arange(len(stars))
    clean, sigma = (np.asarray(x, dtype=np.float64) for x in simulator(stars)[:2])
    noise = rng.standard_normal(clean.shape)
    for fault in given.faults:
        flux, error = faulty(fault, np.asarray(simulator.wave), clean, sigma)
        noisy = (flux + error * noise).astype("f4")
        how = {"seed": 1, "continuum": given.continuum}
        found = predict(noisy, error.astype("f4"), simulator.library, **how)
        chi2, told = found["chi2"], []
        misfit = ", ".join(f"{x:.1f}" for x in np.quantile(found["misfit"], [0.25, 0.5, 0.75]))
        for label in SHOWN:
            off = found[label] - stars[label].to_numpy()
            pull = off / found[f"sd_{label}"]
            told.append(f"{label} {pull.mean():.2f}, {pull.std():.2f}, {np.abs(off).median():.3g}")
        print(
            f"{fault:11}: chi2 {chi2.mean():.3f} (scatter {chi2.std():.3f}); misfit {misfit}; "
            f"pulls, mean and spread, and median error: {'; '.join(told)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
