"""Programme `distill`, tuning: how much more do searched settings read than those of the plan?

The search sees train and valid stars only (`training.objectives`), tries the untuned settings
first and leaves its trials in the result; test stars are read once, by both models at the end. The
settings found for the network of `encoder_mlp`, and for LightGBM on the pixels of
`flux_baselines`, are an overlay for params.yaml, which `stargrav adopt` lays over it. Those found
for LightGBM on latents are for nobody: probes that compare inputs keep the same settings for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import Field

from stargrav import ranks
from stargrav.experiments.inputs import NEEDS, Parts
from stargrav.experiments.spec import Count, Noise, at_least, experiment
from stargrav.experiments.steps import Mlp, current, fit, latents, over, score, spectra
from stargrav.experiments.table import Table
from stargrav.models.pooling import READOUT
from stargrav.training.objectives import (
    UNTUNED_HEAD,
    UNTUNED_TREES,
    HeadObjective,
    Labelled,
    TreesObjective,
    head_settings,
    trees,
)
from stargrav.training.plan import Plan
from stargrav.training.search import Found, Objective, search

Rounds = Annotated[int, Field(ge=UNTUNED_TREES["trees"])]

WARMUP_EPOCHS, WARMUP_REPORTS = 4, 3  # before a trial may be given up


@experiment(
    plan="distill tuning",
    claim="Searched settings of LightGBM read at least as much log g as those of the plan",
    accept=[
        at_least("r2[latent,best] - r2[latent,untuned]", 0.0),
        at_least("r2[flux,best] - r2[flux,untuned]", 0.0),
    ],
    needs=NEEDS,
    figures=("scores", "trials"),
)
def tune_lgbm(
    trials: Count = 20,
    rounds: Rounds = 400,
    stars: Count = 32_000,
    workers: Count = 1,
    noise_level: Noise = 1.0,
) -> Table:
    """LightGBM on latents and on flux of the same stars, untuned and with the best settings."""
    table = over(input=("latent", "flux"), model=("untuned", "best"))
    for case in table:
        if case.input == "latent":
            seen = latents(*READOUT, noise_level, stars=stars, draws=1)
        else:
            seen = spectra("flux", noise_level=noise_level, stars=stars)
        settings, rows = UNTUNED_TREES, []
        if case.model == "best":
            objective = TreesObjective(*_labelled(seen), rounds, current().seed)
            about = {"input": case.input, "stars": stars, "rounds": rounds, "noise": noise_level}
            settings, rows = _search(
                objective, trials, UNTUNED_TREES, WARMUP_REPORTS, workers, about
            )
        found = score(fit(trees(settings), seen.train, seen.valid), seen.test)
        overlay = {}
        if case.key == "flux,best":
            overlay = {"flux_baselines": {f"pixel_{name}": x for name, x in settings.items()}}
        case.record(replace(found, trials=rows, adopt=overlay))
    return table


@experiment(
    plan="distill tuning",
    claim="Searched settings of the network read at least as much log g as those of the plan",
    accept=[at_least("r2[best] - r2[untuned]", 0.0)],
    needs=NEEDS,
    figures=("losses", "scores", "trials"),
    serves="best",
)
def tune_mlp(
    trials: Count = 25,
    search_stars: Count = 100_000,
    search_epochs: Count = 60,
    search_patience: Count = 8,
    epochs: Count = 200,
    patience: Count = 15,
    workers: Count = 1,
    noise_level: Noise = 1.0,
) -> Table:
    """The network of encoder_mlp, untuned and with the best settings; searched on fewer stars."""
    z = latents(*READOUT, noise_level)
    table = over(model=("untuned", "best"))
    for case in table:
        settings, rows = UNTUNED_HEAD, []
        if case.model == "best":
            fewer = latents(*READOUT, noise_level, stars=search_stars, draws=1)
            plan = Plan(search_epochs, monitor="valid_r2", patience=search_patience)
            plan = replace(plan, seed=current().seed, accelerator=current().accelerator)
            objective = HeadObjective(*_labelled(fewer), plan, Mlp.batch_size)
            about = {**asdict(plan), "stars": search_stars, "noise": noise_level}
            settings, rows = _search(
                objective, trials, UNTUNED_HEAD, WARMUP_EPOCHS, workers, about
            )
        mlp = Mlp(**head_settings(settings), epochs=epochs, patience=patience)
        found = score(fit(mlp, z.train, z.valid), z.test)
        overlay = {"encoder_mlp": head_settings(settings)} if case.model == "best" else {}
        case.record(replace(found, trials=rows, adopt=overlay))
    return table


def _labelled(seen: Parts) -> tuple[Labelled, Labelled]:
    """Features and log g of train, in all its draws, and of valid: all that a search sees."""
    train, valid = seen.train, seen.valid
    return (train.rows(), train.label("log_g")), (valid.features[0], valid.stars["log_g"])


def _search(
    objective: Objective,
    trials: int,
    first: Mapping[str, Any],
    warmup: int,
    workers: int,
    about: Mapping[str, Any],
) -> Found:
    """Search on the running experiment's bench; interrupted, it is gone on with."""
    found = current()
    folder = found.training_folder()
    if folder is None:
        raise RuntimeError("a search needs a folder that outlives it")
    return ranks.by_first(
        lambda: search(
            objective,
            trials,
            folder,
            seed=found.seed,
            first=first,
            warmup=warmup,
            workers=workers,
            identity={**found.hashes, **about},
            progress=f"search {folder.name}",
        )
    )
