"""Programme `diffusion`: whether a denoiser follows the data or what it has learnt.

A model of spectra knows how deep a line is from all the others. Where one line alone is missing,
or twice as deep, nothing but the data say so: a denoiser that gives the usual line back has
invented it. What it does is right where all spectra are of the kind that it has learnt, and hides
from whoever looks at it that this one is not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import Field

from stargrav.errors import InputError
from stargrav.experiments.denoisers import NEEDS, Compared, Stars, Steps
from stargrav.experiments.spec import Count, at_least, at_most, experiment
from stargrav.experiments.steps import current, over
from stargrav.experiments.table import Table
from stargrav.metrics.calibration import average
from stargrav.metrics.estimate import bootstrap
from stargrav.named_lines import centre_depth, scaled, within

EDITS = {"removed": 0.0, "doubled": 2.0}  # factor of a line's depth


@experiment(
    plan="diffusion 3.2",
    claim="Lines that are removed or doubled come back from a diffusion model as they were edited",
    accept=[
        at_least("min(kept[ddpm,*,*])", 0.8),
        at_most("max(kept[ddpm,*,*])", 1.2),
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
    least_depth: Annotated[float, Field(gt=0, lt=1)] = 0.05,
) -> Table:
    """How much of an edit is left after denoising, by denoiser, line and edit.

        kept = <depth of the edited line, denoised - that of the unedited one, denoised>
               / <depth of the edited line, clean - that of the unedited one, clean>

    over the test stars: 1 follows the data, 0 gives what was learnt. Both spectra of a star have
    the same noise and error. Lines whose mean depth is below `least_depth` are left out.
    """
    chosen, seed = Stars(stars, train), current().seed
    models = Compared(chosen, draws, steps, components)
    noisy, error = chosen.measured
    wave, clean, lines = chosen.wave, chosen.clean, _deep_lines(chosen, least_depth)
    edited = {
        (line, edit): scaled(wave, clean, at, factor)
        for line, at in lines.items()
        for edit, factor in EDITS.items()
    }
    given = {key: models.given(noisy + (flux - clean), error) for key, flux in edited.items()}
    plain = lru_cache(maxsize=1)(lambda denoise: denoise())
    table = over(model=models.denoisers, line=lines, edit=EDITS)
    for case in table:
        name, key = case.labels["model"], (case.labels["line"], case.labels["edit"])
        pairs = (given[key][name](), plain(case.model)), (edited[key], clean)
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
