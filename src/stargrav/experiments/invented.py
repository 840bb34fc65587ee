"""Programme `diffusion`: whether a denoiser follows the data or what it has learnt.

A model of spectra knows how deep a line is from all the others. Where one line alone is missing,
or twice as deep, nothing but the data say so: a denoiser that gives the usual line back has
invented it. What it does is right where all spectra are of the kind that it has learnt, and hides
from whoever looks at it that this one is not. Where noise is large the flux of one line tells
little beside what is known of lines; where it is small, the flux decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Annotated

from pydantic import Field

from stargrav.errors import InputError
from stargrav.experiments.denoisers import NEEDS, Compared, Denoise, Stars, Steps
from stargrav.experiments.spec import Count, at_least, at_most, experiment
from stargrav.experiments.steps import current, over
from stargrav.experiments.table import Table
from stargrav.metrics.calibration import average
from stargrav.metrics.estimate import bootstrap
from stargrav.named_lines import centre_depth, scaled, within

EDITS = {"removed": 0.0, "doubled": 2.0}  # factor of a line's depth
NOISES = (1.0, 0.1)


@experiment(
    plan="diffusion 3.2",
    claim="Lines that are removed or doubled come back from a diffusion model as they were edited",
    accept=[
        at_least("min(kept[1,ddpm,*,*])", 0.8),
        at_most("max(kept[1,ddpm,*,*])", 1.2),
        at_least("min(kept[0.1,matched,*,*])", 0.8),
        at_most("max(kept[0.1,matched,*,*])", 1.2),
    ],
    needs=NEEDS,
    figures=("kept",),
)
def hallucination(
    stars: Count = 1000,
    draws: Count = 8,
    steps: Steps = 25,
    components: Count = 100,
    train: Count = 16_000,
    iterations: Count = 10,
    least_depth: Annotated[float, Field(gt=0, lt=1)] = 0.05,
) -> Table:
    """How much of an edit is left after denoising, by noise, denoiser, line and edit.

        kept = <depth of the edited line, denoised - that of the unedited one, denoised>
               / <depth of the edited line, clean - that of the unedited one, clean>

    over the test stars: 1 follows the data, 0 gives what was learnt. Both spectra of a star have
    the same noise and error. Lines whose mean depth is below `least_depth` are left out. `matched`
    is the model of clean spectra, guided by what was measured (see `dps`). It takes errors of any
    size; the conditional models and `dncnn` have learnt at noise 1, and are told errors at .1 that
    they never saw. `pca` is fitted at each noise.
    """
    seed, levels = current().seed, {noise: Stars(stars, train, noise) for noise in NOISES}
    models = {
        noise: Compared(chosen, draws, steps, components) for noise, chosen in levels.items()
    }
    first = levels[NOISES[0]]
    wave, clean, lines = first.wave, first.clean, _deep_lines(first, least_depth)
    edited = {
        (line, edit): scaled(wave, clean, at, factor)
        for line, at in lines.items()
        for edit, factor in EDITS.items()
    }

    @cache
    def given(noise: float, *key: str) -> Mapping[str, Denoise]:
        noisy, error = levels[noise].measured
        seen = noisy + (edited.get(key, clean) - clean), error
        guided = lambda: models[noise].matched(*seen, iterations)  # noqa: E731
        return {**models[noise].given(*seen), "matched": guided}

    plain = lru_cache(maxsize=1)(lambda noise, name: given(noise)[name]())
    table = over(noise=NOISES, model=given(NOISES[0]), line=lines, edit=EDITS)
    for case in table:
        name, key = case.labels["model"], (case.labels["line"], case.labels["edit"])
        pairs = (given(case.noise, *key)[name](), plain(case.noise, name)), (edited[key], clean)
        found, true = (
            centre_depth(wave, changed, case.line) - centre_depth(wave, same, case.line)
            for changed, same in pairs
        )
        left, made = (bootstrap(average, change, seed=seed) for change in (found, true))
        case.record({"kept": left / made, "change": left, "true_change": made}, n_test=len(clean))
    return table


def _deep_lines(stars: Stars, least: float) -> dict[str, float]:
    """Name -> place [A] of the lines that are deep enough to be edited.

    Raises:
        InputError: none is.
    """
    depth = {
        name: centre_depth(stars.wave, stars.clean, at).mean()
        for name, at in within(stars.wave).items()
    }
    shallow = [f"{name} ({value:.3f})" for name, value in depth.items() if value < least]
    if len(shallow) == len(depth):
        found = ", ".join(shallow) or "no named lines"
        raise InputError(stars.parts.test.path, "flux", found, f"a line of depth {least:g}")
    if shallow:
        print(f"depth below {least:g}, left out: {', '.join(shallow)}")
    places = within(stars.wave)
    return {name.replace(" ", "_"): places[name] for name in depth if depth[name] >= least}
