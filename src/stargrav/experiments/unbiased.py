"""Programme `distill`: whether the teacher's denoised spectra are biased, seen in their lines.

A denoiser that is right on average may still draw what is faint towards the usual: then the mean
strength of a line is kept, but stars differ by less than they should.
"""

from __future__ import annotations

import numpy as np

from stargrav.data import store
from stargrav.experiments.inputs import NEEDS
from stargrav.experiments.networks import cleaned
from stargrav.experiments.spec import Noise, at_least, at_most, experiment
from stargrav.experiments.steps import current, over, spectra
from stargrav.experiments.table import Table
from stargrav.metrics.estimate import bootstrap
from stargrav.metrics.lines import relative_bias, strong_lines
from stargrav.metrics.regression import slope
from stargrav.named_lines import strength, within


@experiment(
    plan="distill H4",
    claim="The denoiser is unbiased: lines keep their mean strengths and their differences",
    accept=[
        at_least("min(width_bias[denoised,*])", -0.05),
        at_most("max(width_bias[denoised,*])", 0.05),
        at_least("min(kept[denoised,*])", 0.9),
    ],
    needs=NEEDS,
    figures=("widths",),
)
def denoiser_bias(noise_level: Noise = 1.0) -> Table:
    """Equivalent widths of strong lines in noisy and in denoised test spectra.

    `width_bias` is the difference of their mean from the true one, relative to it; `kept` the
    slope of what is found against the true width, star by star: 1 where differences are kept, 0
    where all stars get one line. Noisy spectra, which nothing has touched, are to have 0 and 1.
    """
    seen = spectra("flux", "error", noise_level=noise_level, stars=1, draws=1)
    part, data = seen.test, store.read_spectra(seen.test.path)
    wave, clean = data.wave, np.array(data.flux[part.index])
    flux = {
        "noisy": np.split(part.features[0], 2, axis=1)[0],
        "denoised": cleaned(seen).test.features[0],
    }
    lines = strong_lines(wave, clean, within(wave))
    table = over(spectra=flux, line={name.replace(" ", "_"): at for name, at in lines.items()})
    for case in table:
        found, true = (strength(wave, x, case.line)[0] for x in (case.spectra, clean))
        scores = {
            "width_bias": bootstrap(relative_bias, found, true, seed=current().seed),
            "kept": bootstrap(slope, found, true, seed=current().seed),
        }
        case.record(scores, width=float(true.mean()), n_test=len(true))
    return table
