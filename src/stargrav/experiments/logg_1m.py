"""Programme `logg_1m`, the yardstick: how much log g a flux can tell, and to whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stargrav.errors import InputError
from stargrav.experiments.spec import at_least, at_most, between, experiment
from stargrav.experiments.steps import current, over
from stargrav.experiments.table import Prediction, Score, Table
from stargrav.inference.limits import prior_variance, read_limits, read_magnitudes
from stargrav.labels import LABELS
from stargrav.metrics.calibration import average, coverage, pull_spread, pulls, uniformity
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.fisher import quantile, r2_max
from stargrav.metrics.regression import UNBOUNDED, error_ratio, regression_scores

NOISE_LEVELS = (1.0, 1.5, 0.5, 0.1)
SNR_EDGES = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 1e3)
RARE = 1e-3  # chance of a rank histogram: five labels at several noise levels are looked at
FEWEST = 20  # stars, for a median with an interval
# R2_max of the median star by magnitude, and how far ours may lie from it
PUBLISHED_BOUNDS = {18: 0.9993, 20: 0.9892, 21.5: 0.8742, 22: 0.6983, 22.5: 0.2647, 23: 0.0}
NEAR = 0.1


@experiment(
    plan="logg_1m 1.1",
    claim="The Cramer-Rao bounds of log g are the published ones, and the same by either route",
    accept=[
        *(
            between(f"r2_max[mag_{mag:g}]", bound - NEAR, bound + NEAR)
            for mag, bound in PUBLISHED_BOUNDS.items()
        ),
        between("sigma[neighbours] / sigma[test]", 0.8, 1.25),
    ],
    published={f"r2_max[mag_{mag:g}]": bound for mag, bound in PUBLISHED_BOUNDS.items()},
    needs=("dataset", "limits"),
    figures=("limit_magnitude",),
)
def fisher_limit() -> Table:
    """Cramer-Rao bounds of log g at noise level 1: per magnitude, per SNR, from neighbours."""
    folder = current().inputs.folder("limits")
    prior = prior_variance(folder)
    table = over(stars=_groups(_limits(1.0), read_magnitudes(folder)))
    for case in table:
        case.record(_bounds(case.stars, prior), n_test=case.stars["id"].nunique())
    return table


@experiment(
    plan="logg_1m bayes",
    claim="The exact posterior over the library is calibrated, and so is the R2 that none passes",
    accept=[
        at_least("min(min_ess[*])", 100),
        between("pull_spread[survey]", 0.95, 1.05),
        at_least("min(pull_spread_all[*])", 0.95),
        at_most("max(pull_spread_all[*])", 1.05),
        at_least("min(rank_p[*])", 0.01),
        *(between(f"pull_spread_of_{name}[survey]", 0.95, 1.05) for name in LABELS),
        *(at_least(f"min(rank_p_of_{name}[*])", RARE) for name in LABELS),
    ],
    needs=("dataset", "limits", "survey_limits"),
    figures=("predicted", "ranks", "sigma_snr"),
)
def bayes_limit() -> Table:
    """R2_Bayes of the test stars at each noise level, and whether its posteriors are true.

    `survey` are the stars of many magnitudes, ten times as many, which decide label by label.
    """
    table = over(stars=_posteriors())
    for case in table:
        case.record(_posterior(case.stars))
    return table


def _posteriors() -> dict[float | str, pd.DataFrame]:
    """The stored posteriors of test stars by noise level, the full noise first, and the survey's.

    Raises:
        InputError: there are none, as of a data set without a library.
    """
    folder = current().inputs.folder("limits")
    if "sd_log_g" not in _limits(1.0):
        raise InputError(folder, "posterior", "none", "a source that is a library")
    found = {level: read_limits(folder, level) for level in NOISE_LEVELS}
    found["survey"] = read_limits(current().inputs.folder("survey_limits"), 1.0)
    return {level: frame for level, frame in found.items() if frame is not None}


def _limits(level: float) -> pd.DataFrame:
    folder = current().inputs.folder("limits")
    frame = read_limits(folder, level)
    if frame is None:
        raise InputError(folder, "noise level", "none", f"limits at {level:g}")
    return frame


def _groups(test: pd.DataFrame, bright: pd.DataFrame | None) -> Mapping[str, pd.DataFrame]:
    """Bounds (sigma, sigma3) by the name of what the stars have in common."""
    near = test.rename(columns={"sigma_knn_log_g": "sigma", "sigma_knn3_log_g": "sigma3"})
    names = {"sigma_fisher_log_g": "sigma", "sigma_fisher3_log_g": "sigma3"}
    own = test.rename(columns=names) if "sigma_fisher_log_g" in test else near
    groups = {"test": own}
    if own is not near:
        groups["neighbours"] = near
    if bright is not None:
        bright = bright.rename(columns=names)
        groups |= {f"mag_{mag:g}": part for mag, part in bright.groupby("mag")}
    by_snr = own if bright is None else bright
    for low, high in zip(SNR_EDGES, SNR_EDGES[1:], strict=False):
        groups[f"snr_{low:g}_{high:g}"] = by_snr[by_snr["snr"].between(low, high, "left")]
    return {name: part for name, part in groups.items() if len(part) >= FEWEST}


def _bounds(stars: pd.DataFrame, prior: float) -> dict[str, Estimate]:
    """Medians and quartiles of the bounds of some stars, each at one magnitude or at several."""
    sigmas = stars[["sigma", "sigma3"]].clip(upper=UNBOUNDED)
    five, three = (sigmas[name].to_numpy() ** 2 for name in sigmas)
    share, share3 = r2_max(five, prior), r2_max(three, prior)

    def among(level: float, values: np.ndarray) -> Estimate:
        return bootstrap(quantile(level), values, seed=current().seed, stars=stars["id"])

    return {
        "r2_max": among(0.5, share),
        "r2_max_q25": among(0.25, share),
        "r2_max_q75": among(0.75, share),
        "r2_max3": among(0.5, share3),
        "sigma": among(0.5, sigmas["sigma"].to_numpy()),
        "sigma3": among(0.5, sigmas["sigma3"].to_numpy()),
    }


def _posterior(frame: pd.DataFrame) -> Score:
    """Scores of the posterior mean of log g, and the checks of the posteriors."""
    seed = current().seed
    column = {name: frame[name].to_numpy(float) for name in frame}
    truth, mean, sd = column["log_g"], column["mean_log_g"], column["sd_log_g"]
    squares = pulls(truth, mean, sd) ** 2
    free = [name for name in LABELS if (column[f"sd_{name}"] > 0).all()]
    each = {n: pulls(column[n], column[f"mean_{n}"], column[f"sd_{n}"]) ** 2 for n in free}
    every = np.mean(list(each.values()), axis=0)
    rank, bound = column["rank_log_g"], column["sigma_fisher_log_g"]
    sigma = np.minimum(bound, UNBOUNDED)
    chance = uniformity(rank)
    metrics = {
        **regression_scores(truth, mean, seed),
        "fisher_ratio": bootstrap(error_ratio, truth, mean, sigma, seed=seed),
        "min_ess": Estimate.exact(column["ess"].min()),
        "refined": bootstrap(average, column["refined"], seed=seed),
        "pull_spread": bootstrap(pull_spread, squares, seed=seed),
        "pull_spread_all": bootstrap(pull_spread, every, seed=seed),
        **{f"pull_spread_of_{n}": bootstrap(pull_spread, each[n], seed=seed) for n in free},
        "coverage_68": bootstrap(average, coverage(rank, 0.68), seed=seed),
        "coverage_95": bootstrap(average, coverage(rank, 0.95), seed=seed),
        "rank_p": Estimate.exact(min(chance.values())),
        **{
            f"rank_p_of_{n}": Estimate.exact(min(uniformity(column[f"rank_{n}"]).values()))
            for n in free
        },
        "error_over_bound": bootstrap(quantile(0.5), sd / bound, seed=seed),
    }
    kept = {name: column[name] for name in (*LABELS, "mag", "snr") if name in column}
    kept |= {"rank": rank, "sd": sd, "bound": bound, "ess": column["ess"]}
    return Score(metrics, {"n_test": len(frame)}, Prediction("log_g", truth, mean, kept))
