"""Programme `diffusion`: whether posteriors from networks are those that the physics implies.

The exact posterior of the same stars, told the same pixels, stands beside them: it is what they
would be if they were right, and what the tests say of it is what they say of chance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stargrav.data import store
from stargrav.experiments.spec import at_least, at_most, between, experiment
from stargrav.experiments.steps import current, over
from stargrav.experiments.table import Prediction, Score, Table
from stargrav.inference.posteriors import Drawn, read_draws
from stargrav.metrics import calibration
from stargrav.metrics.calibration import average, draw_ranks, interval_widths, uniformity
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.regression import regression_scores
from stargrav.metrics.two_sample import classifier_test, relative_energy_distances

JUDGED = ("log_g", "T_eff", "M_H")
SNR_BINS = ("low", "middle", "high")
FAR = 10.0  # deviations, beyond which a draw is as far off as another


@experiment(
    plan="diffusion 2.0",
    claim="Clean spectra drawn by a diffusion model give honest 68 % intervals of log g",
    accept=[between("coverage_68[sampled,log_g]", 0.60, 0.75)],
    needs=("dataset", "posteriors@exact", "posteriors@sampled"),
    figures=("pit", "predicted"),
)
def sampled_posterior() -> Table:
    """Labels read from each of the spectra drawn for a star, beside the exact posterior."""
    return _beside_exact("sampled")


@experiment(
    plan="diffusion 2.1",
    claim="A network gives at once what the integral over the library gives",
    accept=[
        at_least("min(coverage_68[amortized,*])", 0.612),
        at_most("max(coverage_68[amortized,*])", 0.748),
        at_least("classifier_p[amortized,all]", 0.01),
        at_most("max(apart[amortized,*])", 0.02),
        at_most("max(wider[amortized,*])", 1.1),
    ],
    needs=("dataset", "posteriors@exact", "posteriors@amortized"),
    figures=("pit", "predicted"),
)
def amortized_posterior() -> Table:
    """Draws of a conditional flow, beside the exact posterior."""
    return _beside_exact("amortized")


@experiment(
    plan="diffusion 3.1",
    claim="Intervals hold as many true labels as they say, bright or faint",
    accept=[
        criterion
        for posterior in ("exact", "amortized", "sampled")
        for criterion in (
            at_least(f"min(coverage_68[{posterior},*,*])", 0.612),
            at_most(f"max(coverage_68[{posterior},*,*])", 0.748),
            at_least(f"min(coverage_95[{posterior},*,*])", 0.855),
        )
    ],
    needs=("dataset", "posteriors@exact", "posteriors@amortized", "posteriors@sampled"),
    figures=("coverages",),
)
def coverage() -> Table:
    """Coverage, widths and ranks by posterior, label and third of the SNR of the arm.

    Thirds are those of all stars; `sampled` knows the first of them only.
    """
    found = _found("exact", "amortized", "sampled")
    labels = [name for name in JUDGED if all(name in each.labels for each in found.values())]
    table = over(posterior=found, label=labels, snr=("all", *SNR_BINS))
    stars = _stars(max(len(each.values) for each in found.values()))
    for case in table:
        rows = _of_snr(case.snr, stars)
        rows = rows[rows < len(case.posterior.values)]
        draws, truth = case.posterior.of(case.label)[rows], stars[case.label][rows]
        case.record(_calibration(truth, draws), n_test=len(truth))
    return table


def _beside_exact(name: str) -> Table:
    """Calibration of a posterior and of the exact one, and what lies between the two."""
    found = _found("exact", name)
    count = min(len(each.values) for each in found.values())
    stars = _stars(count)
    labels = [label for label in JUDGED if all(label in each.labels for each in found.values())]
    exact = found.get("exact")
    table = over(posterior=found, label=(*labels, "all"))
    for case in table:
        if case.label == "all":
            case.record(_told_apart(case.posterior, exact, stars, count), n_test=count)
            continue
        draws, truth = case.posterior.of(case.label)[:count], stars[case.label]
        metrics = _calibration(truth, draws)
        if exact is not None:
            right, seed = exact.of(case.label)[:count], current().seed
            apart = _apart(draws, right, case.posterior is exact)
            width = bootstrap(average, interval_widths(right, 0.68), seed=seed)
            metrics |= {"apart": bootstrap(average, apart, seed=seed)}
            metrics |= {"wider": metrics["width_68"] / width}
        mean = draws.mean(axis=1)
        metrics |= regression_scores(truth, mean, current().seed)
        kept = {**stars, "rank": draw_ranks(truth, draws), "sd": draws.std(axis=1)}
        case.record(Score(metrics, {"n_test": count}, Prediction(case.label, truth, mean, kept)))
    return table


def _found(*names: str) -> dict[str, Drawn]:
    """The posteriors that there are; a data set without a library has no exact one."""
    read = {name: read_draws(current().inputs.folder(f"posteriors@{name}")) for name in names}
    return {name: drawn for name, drawn in read.items() if drawn is not None}


def _stars(count: int) -> dict[str, np.ndarray]:
    """Labels and SNR of the first test stars."""
    stars = store.read_spectra(current().inputs.folder("dataset") / "test.h5").stars[:count]
    return {name: stars[name].to_numpy(float) for name in (*JUDGED, "snr") if name in stars}


def _of_snr(third: str, stars: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows of the stars in a third of the SNR, all of them where it is not known."""
    count = len(stars["log_g"])
    if third == "all" or "snr" not in stars:
        return np.arange(count)
    order = np.argsort(stars["snr"], kind="stable")
    return np.sort(np.array_split(order, len(SNR_BINS))[SNR_BINS.index(third)])


def _calibration(truth: np.ndarray, draws: np.ndarray) -> dict[str, Estimate]:
    """What draws (n, m) of stars say of their true labels (n,)."""
    seed, rank = current().seed, draw_ranks(truth, draws)
    off = calibration.pulls(truth, draws.mean(axis=1), draws.std(axis=1, ddof=1))
    metrics = {"pull_spread": bootstrap(calibration.pull_spread, off**2, seed=seed)}
    for percent in (68, 95):
        level = percent / 100
        inside = calibration.coverage(rank, level, draws.shape[1])
        width = interval_widths(draws, level)
        metrics[f"coverage_{percent}"] = bootstrap(average, inside, seed=seed)
        metrics[f"width_{percent}"] = bootstrap(average, width, seed=seed)
    return {**metrics, "rank_p": Estimate.exact(min(uniformity(rank).values()))}


def _apart(draws: np.ndarray, exact: np.ndarray, same: bool) -> np.ndarray:
    """Energy distances (n,) from exact draws, of which one half is measured against the other."""
    half = exact.shape[1] // 2
    pair = (exact[:, :half], exact[:, half : 2 * half]) if same else (draws, exact)
    return relative_energy_distances(*pair)


def _told_apart(
    drawn: Drawn, exact: Drawn | None, stars: Mapping[str, np.ndarray], count: int
) -> dict[str, Estimate]:
    """Whether a classifier tells one draw for each star from one of the exact posterior.

    It sees draws and their squares in units of the exact posterior, about its mean, which are
    taken from other draws of it, and both times the SNR, so that what is too wide for faint stars
    and too narrow for bright ones does not cancel; two draws of the exact posterior say what it
    makes of nothing.
    """
    if exact is None:
        return {}
    labels = [name for name in exact.labels if name in drawn.labels]
    known, other = (
        np.stack([each.of(name)[:count] for name in labels], axis=2) for each in (exact, drawn)
    )  # (n, m, k)
    mean, sd = known[:, 2:].mean(axis=1), known[:, 2:].std(axis=1) + 1e-9
    one, two = (((x - mean) / sd).clip(-FAR, FAR) for x in (known[:, 0], other[:, 1]))
    pair = (np.hstack([z, z**2]) for z in (one, two))
    if "snr" in stars:
        snr = np.log(stars["snr"])[:, None]
        snr = (snr - snr.mean()) / (snr.std() + 1e-9)
        pair = (np.hstack([seen, snr * seen]) for seen in pair)
    told = classifier_test(*pair, current().seed, paired=True)
    return {"accuracy": Estimate.exact(told.value), "classifier_p": Estimate.exact(told.p)}
