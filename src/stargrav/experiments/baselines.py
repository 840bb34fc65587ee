"""Programme `towers`, baselines: what simple models read from a whole spectrum, and from less.

Whitening matters more than the model: divided by its error, all pixels of a spectrum carry the
same noise, and its leading components are signal rather than the noise of the worst pixels. A
plain network on them, with noise drawn anew in each epoch, is the model that towers, students and
transformers have to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated

import numpy as np
from lightgbm import LGBMRegressor
from pydantic import Field
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from stargrav.data import store
from stargrav.experiments.families import (
    COMPONENTS,
    LEVELS,
    annealed,
    columns,
    flux_components,
    global_families,
    plain_mlp,
    ridged,
    scored,
    side_by_side,
    whitened,
)
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.spec import (
    Count,
    NonNegative,
    Rate,
    at_least,
    between,
    evaluate,
    experiment,
    more_than,
)
from stargrav.experiments.steps import Mlp, current, fit, over, spectra
from stargrav.experiments.table import Table
from stargrav.metrics.estimate import Estimate
from stargrav.models.features import LineStrengths, Summary, components
from stargrav.models.probes import lightgbm
from stargrav.models.residual import OnRidge
from stargrav.models.ridge import SweptRidge

Share = Annotated[float, Field(gt=0, le=1)]
NEEDS = ("dataset", "limits")
SWEEP = {  # one setting at a time is moved away from the baseline, to a fourth and to four times;
    "rate": ("learning_rate", (0.0125, 0.025, 0.1, 0.2)),
    "leaves": ("num_leaves", (8, 16, 62, 124)),
    "depth": ("max_depth", (3, 4, 9, 12)),  # to half and twice: leaves double with each level
    "trees": ("n_estimators", (0.25, 0.5, 2.0, 4.0)),  # times those of the baseline
}
FREED = {  # what would else bound the setting that is moved
    "leaves": lambda _: {"max_depth": -1},
    "depth": lambda depth: {"num_leaves": 2**depth},
}
RATE, LEAVES, DEPTH = 0.05, 31, 6  # of the baseline
MODELS = (  # features (pixels where none are named) and model
    *("ridge", "lightgbm", "residual_mlp", "pca_ridge", "pca_lightgbm"),
    *("scaled_ridge", "scaled_lightgbm", "whitened_ridge", "whitened_lightgbm", "whitened_mlp"),
)


@experiment(
    plan="towers F0-F1",
    claim="T_eff and M_H alone tell nothing of log g, as the labels were drawn independently",
    accept=[between("r2[T_eff]", -0.05, 0.05), between("r2[T_eff_M_H]", -0.05, 0.05)],
    published={"r2[T_eff]": 0.0, "r2[T_eff_M_H]": 0.0},
    needs=NEEDS,
    figures=("scores",),
)
def metadata_baseline(stars: Count = 32_000, degree: Count = 3) -> Table:
    """Polynomials of the true T_eff, and of T_eff and M_H."""
    table = over(known={"T_eff": ("T_eff",), "T_eff_M_H": ("T_eff", "M_H")})
    terms = PolynomialFeatures(degree, include_bias=False)
    model = make_pipeline(StandardScaler(), terms, LinearRegression())
    everything = spectra(stars=stars)
    for case in table:
        seen = Parts(*(_labels(part, case.known) for part in everything))
        case.record(scored(fit(model, seen.train, seen.valid), seen.test))
    return table


@experiment(
    plan="towers baselines",
    claim="Whitening adds more than a better model: simple models do best on flux / error",
    accept=[
        at_least("r2[1,ridge]", 0.58),
        at_least("r2[1,whitened_lightgbm]", 0.68),
        at_least("r2[1,whitened_mlp]", 0.73),
        more_than("r2[1,whitened_lightgbm] - r2[1,pca_lightgbm]", 0.0),
        more_than("r2[1,whitened_lightgbm] - r2[1,scaled_lightgbm]", 0.0),
        more_than(
            "r2[1,whitened_lightgbm] - r2[1,pca_lightgbm]"
            " - (r2[1,whitened_mlp] - r2[1,whitened_lightgbm])",
            0.0,
        ),
        more_than("r2[1,whitened_mlp] - max(r2[1,ridge], r2[1,lightgbm])", 0.0),
    ],
    published={
        "r2[0.1,ridge]": 0.909,
        "r2[1,ridge]": 0.458,
        "r2[1,lightgbm]": 0.536,
        "r2[1,residual_mlp]": 0.498,
    },
    needs=NEEDS,
    figures=("scores",),
)
def flux_baselines(
    stars: Count = 100_000,
    count: Count = COMPONENTS,
    trees: Count = 500,
    pixel_trees: Count = 500,
    pixel_leaves: Count = LEAVES,
    pixel_learning_rate: Rate = RATE,
    pixel_min_child_samples: Count = 20,
    pixel_colsample_bytree: Share = 0.1,
    pixel_reg_lambda: NonNegative = 0.0,
    epochs: Count = 100,
    pixel_epochs: Count = 40,
    patience: Count = 10,
) -> Table:
    """Ridge, LightGBM and networks on the pixels, on their components and on whitened ones.

    `pca` are components of the flux as it is, `scaled` of pixels in units of their own scatter.
    The settings of LightGBM on pixels are those that `tune_lgbm` searches over; a tree chooses
    from a tenth of them, as neighbours tell nearly the same.
    """
    table = over(noise=LEVELS, model=MODELS)
    on_pixels = lightgbm(pixel_leaves, pixel_trees).set_params(
        learning_rate=pixel_learning_rate,
        min_child_samples=pixel_min_child_samples,
        colsample_bytree=pixel_colsample_bytree,
        reg_lambda=pixel_reg_lambda,
    )

    @lru_cache(maxsize=2)  # pixels of one noise level, and what is made of them
    def seen(features: str, level: float) -> Parts:
        if features == "whitened":
            return whitened(count, level, stars, draws=1, twins=True)
        if features == "flux":
            return spectra("flux", noise_level=level, stars=stars)
        flux = seen("flux", level)
        if features == "scaled":
            return flux_components(flux, count)
        if features == "pca":
            return columns(components(count, current().seed), flux, "flux", draws=1)
        return side_by_side(flux, ridged(flux).score)

    for case in table:
        features, _, name = case.model.rpartition("_")
        parts = seen(features or "flux", case.noise)
        models = {
            "ridge": SweptRidge(),
            "lightgbm": _boosted(trees) if features else on_pixels,
            "mlp": plain_mlp(parts.train, epochs, patience),
        }
        if features == "residual":
            models["mlp"] = OnRidge(Mlp(**annealed(pixel_epochs, patience)))
        case.record(scored(fit(models[name], parts.train, parts.valid), parts.test))
    return table


@experiment(
    plan="towers sweep",
    claim="Of the settings of LightGBM the learning rate matters most",
    accept=[more_than(f"span[1,rate] - span[1,{name}]", 0.0) for name in list(SWEEP)[1:]],
    needs=NEEDS,
    figures=("scores",),
)
def lgbm_sweep(stars: Count = 32_000, trees: Count = 500, count: Count = COMPONENTS) -> Table:
    """LightGBM on whitened components, one setting at a time moved away from the baseline.

    Leaves are moved without a limit to the depth, and the depth with as many leaves as it allows:
    of the two that which is the tighter counts alone.

    `span` is by how much R2 moves with a setting, from its worst value to its best.
    """
    settings: dict[str, dict[str, float]] = {"baseline": {}}
    for label, (name, values) in SWEEP.items():
        for value in values:
            number = round(value * trees) if label == "trees" else value
            free = FREED[label](value) if label in FREED else {}
            settings[f"{label}_{value:g}"] = {name: number, **free}
    table = over(noise=LEVELS, setting={**settings, **dict.fromkeys(SWEEP)})
    seen = lru_cache(maxsize=1)(lambda level: whitened(count, level, stars, draws=1))
    for case in table:
        if case.labels["setting"] in SWEEP:
            case.record({"span": _span(table, *case.labels.values())})
            continue
        model = _boosted(trees).set_params(**{"max_depth": DEPTH, **case.setting})
        parts = seen(case.noise)
        case.record(scored(fit(model, parts.train, parts.valid), parts.test))
    return table


def _span(table: Table, level: str, setting: str) -> Estimate:
    """By how much R2 moves with a setting of LightGBM at a noise level."""
    known = {
        f"r2[{case.key}]": case.score.metrics["r2"]
        for case in table.cases
        if case.score is not None and "r2" in case.score.metrics
    }
    values = f"r2[{level},{setting}_*], r2[{level},baseline]"
    return evaluate(f"max({values}) - min({values})", known)


@experiment(
    plan="towers F2-F3",
    claim="Summary statistics and strengths of named lines add log g to the global features",
    accept=[
        more_than("r2[1,global_F2_F3] - r2[1,global]", 0.0),
        more_than("r2[0.1,global_F2_F3] - r2[0.1,global]", 0.0),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def summary_features(stars: Count = 32_000, trees: Count = 500, count: Count = 96) -> Table:
    """LightGBM on F2 (mean, deviation, colour), on F3 (named lines), and on both with others.

    All of them in a draw of noise that no family was fitted to.
    """
    table = over(
        noise=LEVELS,
        features=("F2", "F3", "F2_F3", "global", "global_F2", "global_F3", "global_F2_F3"),
    )

    @lru_cache(maxsize=1)
    def families(level: float) -> dict[str, Parts]:
        flux = spectra("flux", noise_level=level, stars=stars)
        wave, ridge = store.read_spectra(flux.train.path).wave, ridged(flux, draws=1)
        return {
            "global": side_by_side(*global_families(flux, ridge, count, draws=1).values()),
            "F2": columns(Summary(), flux, "flux", draws=1),
            "F3": columns(LineStrengths(wave), flux, "flux", draws=1),
        }

    for case in table:
        found = families(case.noise)
        parts = side_by_side(*(found[name] for name in case.features.split("_")))
        model = _boosted(trees)
        case.record(scored(fit(model, parts.train, parts.valid), parts.test))
    return table


def _boosted(trees: int) -> LGBMRegressor:
    """LightGBM with the settings of the baseline."""
    return lightgbm(LEAVES, trees).set_params(learning_rate=RATE)


def _labels(part: Part, names: Sequence[str]) -> Part:
    """True labels as features."""
    features = np.column_stack([part.stars[name] for name in names])
    return replace(part, features=features[None])
