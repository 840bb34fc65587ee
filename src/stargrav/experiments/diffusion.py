"""Programme `diffusion`: whether a diffusion model knows spectra, and denoises without inventing.

All is judged by what the spectra are, never by a loss: an earlier model had a loss of .0072 and
drew white noise.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.stats import ks_2samp
from sklearn.decomposition import PCA

from stargrav.constants import C_KM_S
from stargrav.experiments.denoisers import (
    NEEDS,
    Compared,
    Stars,
    Steps,
    clean,
    compared,
    place,
    prior,
    wavelengths,
)
from stargrav.experiments.spec import Count, at_least, at_most, between, experiment, more_than
from stargrav.experiments.steps import current, over, spectra
from stargrav.experiments.table import Score, Table
from stargrav.inference import diffused
from stargrav.metrics.calibration import average
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.lines import FARTHEST_KM_S, line_scores, measured_lines, strong_lines
from stargrav.metrics.regression import slope
from stargrav.metrics.two_sample import classifier_test, energy_test
from stargrav.named_lines import strength, within

SHOWN = 5  # spectra of a set in a figure
Samples = Annotated[int, Field(ge=40)]  # the tests are of no use with fewer


@experiment(
    plan="diffusion 0.0",
    claim="Samples of a diffusion model cannot be told from clean spectra",
    accept=[
        at_least("energy_p[samples,all]", 0.01),
        at_least("classifier_p[samples,all]", 0.01),
        at_most("energy_p[gaussian,all]", 0.01),
        at_most("classifier_p[gaussian,all]", 0.01),
        at_most("mean_off[samples,all]", 0.2),
        between("variance[samples,all]", 0.8, 1.25),
        at_most("max(depth_off[samples,*])", 0.2),
    ],
    needs=("dataset", "denoiser@prior"),
    figures=("samples", "depths"),
)
def ddpm(
    samples: Samples = 1000,
    sampler: Literal["ancestral", "ddim", "dpm_solver"] = "dpm_solver",
    steps: Steps | None = None,
    schedule: Literal["linear", "cosine"] = "linear",
    components: Count = 20,
) -> Table:
    """Samples, draws of a normal distribution and valid stars, each against the test stars.

    The tests see so many principal components of training spectra, each divided by its deviation,
    and how much lies outside of them and from pixel to pixel, where white noise would show;
    `mean_off` and `variance` are of pixels, `depth_off` of lines, in units of the test stars'.
    The normal distribution says whether the tests could tell what is nearly right, the valid stars
    what they say of spectra that are right.
    """
    network, seed = prior(), current().seed
    pixels, parts = network.config["pixels"], spectra(stars=20 * components)
    count, wave = min(samples, *map(len, parts[1:])), wavelengths(parts.test, pixels)
    data = clean(parts.test, pixels)[:count]
    axes = PCA(components, whiten=True, svd_solver="randomized", random_state=seed)
    axes.fit(clean(parts.train, pixels))
    sets = {
        "samples": diffused.drawn(network, count, seed, sampler, steps, place(), schedule),
        "gaussian": diffused.gaussian(network, count, seed),
        "valid": clean(parts.valid, pixels)[:count],
        "test": data,
    }
    lines = {name.replace(" ", "_"): at for name, at in within(wave).items()}
    table = over(set=sets, of=("all", *lines))
    for case in table:
        if case.of in lines:
            case.record(_depths(*(strength(wave, x, lines[case.of])[1] for x in (case.set, data))))
            continue
        shown = {str(number): flux for number, flux in enumerate(case.set[:SHOWN], start=1)}
        found = _moments(case.set, data)
        if case.set is not data:
            found |= _tests(*_seen(axes, case.set, data))
        case.record(Score(found, {"n_test": count}, spectra={"wave": wave, **shown}))
    return table


@experiment(
    plan="diffusion 1.0",
    claim="A diffusion model told the noisy spectrum denoises better than DnCNN",
    accept=[
        more_than("mse[dncnn,all] - mse[ddpm,all]", 0.0),
        more_than("ssim[ddpm,all] - ssim[dncnn,all]", 0.0),
        more_than("mse[gaussian,all] - mse[ddpm,all]", 0.0),
        more_than("mse[pca,all] - mse[ddpm,all]", 0.0),
    ],
    needs=NEEDS,
    figures=("denoised", "snr_thirds"),
)
def conditional_ddpm(
    stars: Count = 1000,
    draws: Count = 8,
    steps: Steps = 25,
    components: Count = 100,
    train: Count = 16_000,
) -> Table:
    """Noisy and denoised spectra against the clean ones; see `denoisers.compared`.

    `other_error` is `ddpm` told the error of another star: what it loses is what the shape of the
    error, which knows the star, tells it.
    """
    chosen = Stars(stars, train)
    found = Compared(chosen, draws, steps, components)
    others = found.given(chosen.measured[0], chosen.exchanged)
    return compared({**found.denoisers, "other_error": others["ddpm"]}, chosen)


@experiment(
    plan="diffusion 3.0",
    claim="Lines of spectra that a diffusion model has denoised keep their widths and places",
    accept=[
        at_least("min(width_bias[ddpm,*])", -0.05),
        at_most("max(width_bias[ddpm,*])", 0.05),
        at_least("min(velocity_bias[ddpm,*])", -1.0),
        at_most("max(velocity_bias[ddpm,*])", 1.0),
        at_least("min(velocity_found[ddpm,*])", 0.9),
        at_least("min(kept[ddpm,*])", 0.9),
    ],
    needs=NEEDS,
    figures=("line_biases",),
)
def line_metrics(
    stars: Count = 1000,
    draws: Count = 8,
    steps: Steps = 25,
    components: Count = 100,
    train: Count = 16_000,
) -> Table:
    """Equivalent width, depth and velocity [km/s] of each line, by denoiser.

    `width_offset` [A] is the mean difference of equivalent widths, `width_bias` the relative one,
    `kept` the slope of the widths found against the true ones: one spectrum for all stars has no
    bias, and a slope of 0. Lines that are not `strong_lines` have none of the last two and no
    velocity, which their continuum would decide, unless all lines are weak. All spectra stand in
    the rest frame: a model that always puts lines there has no velocity bias either. Where spectra
    hold none of the named lines, as a short piece may, others stand for them.
    """
    chosen, seed = Stars(stars, train), current().seed
    wave, true = chosen.wave, chosen.clean
    margin = wave[-1] * FARTHEST_KM_S / C_KM_S
    lines = measured_lines(wave) or within(wave, margin)
    denoisers = Compared(chosen, draws, steps, components).denoisers
    flux = {name: denoise() for name, denoise in denoisers.items()}
    lines = {name.replace(" ", "_"): at for name, at in lines.items()}
    strong = strong_lines(wave, true, lines)
    table = over(model=flux, line=lines)
    for case in table:
        scores = line_scores(wave, case.model, true, case.line, seed)
        if case.labels["line"] not in strong:
            scores = {"depth_bias": scores["depth_bias"]}
        found, width = (strength(wave, x, case.line)[0] for x in (case.model, true))
        if case.labels["line"] in strong:
            scores["kept"] = bootstrap(slope, found, width, seed=seed)
        scores["width_offset"] = bootstrap(average, found - width, seed=seed)
        case.record(scores, n_test=len(true))
    return table


def _moments(flux: np.ndarray, data: np.ndarray) -> dict[str, Estimate]:
    """Root mean square over pixels of what the mean is off, and the ratio of the variances.

    Each spectrum is paired with one of the data: resamples are of both.
    """
    seed, unit = current().seed, data.std(axis=0)
    apart = (flux - data) / unit

    def off(rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        weights = np.ones(len(rows)) if weights is None else weights
        mean = weights @ apart / weights.sum(axis=-1, keepdims=True)
        return np.sqrt(np.square(mean).mean(axis=-1))

    own, true = (np.square((x - x.mean(axis=0)) / unit).mean(axis=1) for x in (flux, data))
    return {
        "mean_off": bootstrap(off, np.arange(len(flux)), seed=seed),
        "variance": bootstrap(average, own, seed=seed) / bootstrap(average, true, seed=seed),
    }


def _seen(axes: PCA, flux: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the two-sample tests see of two sets of spectra (n, pixels) and (m, pixels).

    Returns:
        (n, components + 2) and (m, components + 2): the components, the logarithm of the rms
        outside of them and that of the second differences of neighbouring pixels, these two in
        deviations of `data` from its mean.
    """

    def grain(spectra: np.ndarray) -> np.ndarray:
        outside = spectra - axes.inverse_transform(axes.transform(spectra))
        bent = np.diff(spectra, 2, axis=1)
        return np.log([np.sqrt(np.square(x).mean(axis=1)) for x in (outside, bent)]).T

    true = grain(data)
    found = ((grain(x) - true.mean(axis=0)) / true.std(axis=0) for x in (flux, data))
    vectors = zip((flux, data), found, strict=True)
    return tuple(np.hstack([axes.transform(x), more]) for x, more in vectors)


def _tests(flux: np.ndarray, data: np.ndarray) -> dict[str, Estimate]:
    """Two-sample tests of vectors, (n, d) each."""
    energy = energy_test(flux, data, current().seed)
    told = classifier_test(flux, data, current().seed)
    values = {"energy": energy.value, "energy_p": energy.p}
    values |= {"accuracy": told.value, "classifier_p": told.p}
    return {name: Estimate.exact(value) for name, value in values.items()}


def _depths(found: np.ndarray, data: np.ndarray) -> dict[str, Estimate]:
    """Mean and scatter of a line's depth, and how far off they are in units of the data's."""
    seed, scatter = current().seed, data.std()
    off = (found - data) / scatter

    def distance(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.abs(average(values, weights))

    return {
        "depth": bootstrap(average, found, seed=seed),
        "scatter": Estimate.exact(found.std()),
        "depth_off": bootstrap(distance, off, seed=seed),
        "depth_p": Estimate.exact(ks_2samp(found, data).pvalue),
    }
