"""Figures of an experiment, each drawn from its stored result alone.

`FIGURES` names them; an experiment lists those it wants. The curves, bars and points themselves
are drawn by `plots`, which knows arrays only. No figure is part of what DVC stores of a result.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from stargrav.experiments.figures.curves import OF_CURVES
from stargrav.experiments.figures.estimates import OF_ESTIMATES
from stargrav.experiments.figures.posteriors import OF_POSTERIORS
from stargrav.experiments.figures.spectra import OF_SPECTRA
from stargrav.experiments.results import Result
from stargrav.plots.style import STYLE, save

FIGURES = {**OF_SPECTRA, **OF_CURVES, **OF_ESTIMATES, **OF_POSTERIORS}


def draw(result: Result, names: tuple[str, ...], folder: Path) -> list[Path]:
    """Draw figures of a result.

    Args:
        result: as stored.
        names: keys of `FIGURES`.
        folder: where `<name>.png` are written.
    """
    folder.mkdir(exist_ok=True)
    paths = []
    for name in names:
        with mpl.rc_context(STYLE):
            figure = FIGURES[name](result)
            figure.suptitle(_title(result), x=0.01, ha="left")
        paths.append(folder / f"{name}.png")
        save(figure, paths[-1])
    return paths


def _title(result: Result) -> str:
    conditions = result.summary["conditions"]
    return f"{result.summary['experiment']} · {conditions['profile']}"
