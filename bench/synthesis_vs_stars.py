"""Compares the synthesis with co-added spectra of real dwarfs (F9, G8, K5, K7), M_H near -0.7.

For each type and log g, spectra are computed for M_H = -0.7, a_M = 0.25 and T_eff of the type
-200, -100, 0, 100, 200 K, smoothed to R = 1900 and fitted: star = synthesis x polynomial of
order 7, over 7100-8850 A without the telluric bands 7580-7720 and 8130-8350 A.  Printed: the rms
of star / fit - 1 at the best T_eff.  A dwarf should be fitted best with log g 4.5.

Beside it stands the template's own noise, the file's error per spectrum over the root of their
number (pixel to pixel, star / fit scatters as much).  K7 has .008, the others have
.002-.004, so that a rms of .010 leaves .006 to the synthesis, less than K5 leaves (.007).

No line of the K7 star but K I is stronger than in the K5 star (fitted on 28 features the
median ratio is .66), where cooling alone would make them stronger; M_H -1.5, or a third of
featureless light, brings K7 down to K5's residual beyond noise.  --dilution V adds such light, the
share V of the whole, to the synthesis.

Usage: python bench/synthesis_vs_stars.py --reference DIR [--m-h M_H] [--dilution V]
                                          [--processes N]
"""

from __future__ import annotations

import argparse
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter1d

from stargrav.physics.synthesis import RESOLUTION, WAVE, Synthesizer

FILE = "real_dwarfs.h5"
R = 1900
ORDER = 7
TELLURIC = ((7580.0, 7720.0), (8130.0, 8350.0))
M_H, ALPHA = -0.7, 0.25
LIMITS = {"F9": 0.007, "G8": 0.007, "K5": 0.010, "K7": 0.010}
LOG_G = (2.5, 3.5, 4.5)
T_EFF_OFFSETS = (-200, -100, 0, 100, 200)


def residual(
    wave: np.ndarray, star: np.ndarray, model: np.ndarray, dilution: float = 0.0
) -> float:
    """rms of star / (model x polynomial) - 1, the polynomial fitted by least squares.

    Args:
        wave: (n,) A.
        star: (n,) flux of the star, any unit.
        model: (n,) smoothed synthesis at `wave`, any unit.
        dilution: share of featureless light added to the synthesis.
    """
    smooth = np.polynomial.Legendre.fit(wave, model, 3)(wave)
    model = (1 - dilution) * model + dilution * smooth
    ratio = star / model
    polynomial = np.polynomial.Legendre.fit(wave, ratio, ORDER)
    return float(np.std(ratio / polynomial(wave)))


def template_noise(group: h5py.Group) -> float:
    """Median relative noise of a co-added template: error of one spectrum / sqrt(number)."""
    number = int(re.search(r"made from (\d+)", group.attrs["note"])[1])
    return float(np.median(group["error"][:] / group["flux"][:]) / np.sqrt(number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help=f"folder with {FILE}")
    parser.add_argument("--m-h", type=float, default=M_H, help=f"default {M_H}")
    parser.add_argument("--dilution", type=float, default=0.0, help="0 to 1, default 0")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    sigma = RESOLUTION / R / np.sqrt(8 * np.log(2))
    synthesizer = Synthesizer()
    print(f"M_H {arguments.m_h}, a_M {ALPHA}, R {R}, polynomial of order {ORDER}")
    heads = "  ".join(f"log g {g}: rms (T_eff)" for g in LOG_G)
    print(f"type   {heads}   limit  best log g  noise")
    with (
        h5py.File(arguments.reference / FILE) as file,
        ProcessPoolExecutor(arguments.processes) as pool,
    ):
        for name, limit in LIMITS.items():
            wave, star = file[name]["wave"][:], file[name]["flux"][:]
            noise = template_noise(file[name])
            use = (wave > 7100) & (wave < 8850) & np.isfinite(star) & (star > 0)
            for low, high in TELLURIC:
                use &= (wave < low) | (wave > high)
            wave, star = wave[use], star[use]
            t_type = float(file[name].attrs["T_eff of the type"])
            labels = [
                (t_type + offset, g, arguments.m_h, ALPHA, 0.0)
                for g in LOG_G
                for offset in T_EFF_OFFSETS
            ]
            fluxes = pool.map(synthesizer, np.array(labels))
            rms = np.array(
                [
                    residual(
                        wave,
                        star,
                        np.interp(wave, WAVE, gaussian_filter1d(flux, sigma)),
                        arguments.dilution,
                    )
                    for flux in fluxes
                ]
            ).reshape(len(LOG_G), -1)
            best = rms.argmin(axis=1)
            cells = [
                f"{rms[i, k]:10.4f} ({t_type + T_EFF_OFFSETS[k]:.0f})   "
                for i, k in enumerate(best)
            ]
            winner = LOG_G[rms.min(axis=1).argmin()]
            print(f"{name:4s} " + "  ".join(cells) + f"  {limit:.3f}  {winner:10}  {noise:.4f}")


if __name__ == "__main__":
    main()
