"""The stored limits of the test stars: what their flux can tell at most.

For each noise level a table, one row per star,

    id, labels, mag, snr         of the star
    mean_<label>, sd_<label>     posterior mean and standard deviation (`inference.bayes`)
    rank_<label>                 posterior probability below the true label
    ess, refined                 effective sample size; whether its label vectors are its own
    sigma_fisher_log_g           Cramer-Rao bound [dex], all labels unknown
    sigma_fisher3_log_g          the same, a_M and C_M known
    sigma_knn_log_g              the two bounds from spectra of neighbouring training stars
    sigma_knn3_log_g

of which a data set without a library has only the last. `magnitudes.parquet` holds the bounds of
the same stars, moved to other magnitudes, at noise level 1; `manifest.json` the range of log g.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

MAGNITUDES = "magnitudes.parquet"
MANIFEST = "manifest.json"


def path(folder: Path, noise_level: float) -> Path:
    """The file of a noise level."""
    return Path(folder) / f"test-{noise_level:g}.parquet"


def read_limits(folder: Path, noise_level: float) -> pd.DataFrame | None:
    """Limits of the test stars, in the order of the data set; None where there are none."""
    file = path(folder, noise_level)
    return pd.read_parquet(file) if file.is_file() else None


def read_magnitudes(folder: Path) -> pd.DataFrame | None:
    """Bounds against magnitude: id, mag, snr and sigmas; None for a data set without a library."""
    file = Path(folder) / MAGNITUDES
    return pd.read_parquet(file) if file.is_file() else None


def prior_variance(folder: Path) -> float:
    """Variance [dex^2] of log g among the stars, drawn uniformly from its range."""
    low, high = json.loads((Path(folder) / MANIFEST).read_text())["log_g"]
    return (high - low) ** 2 / 12
