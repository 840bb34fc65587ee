"""The results as one HTML page that needs nothing beside it: no network, no script, no file.

Figures stand in it as data URIs, reduced to a palette, which their few colours bear.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from stargrav.experiments.advice import GROUPS, missing_experiments, next_runs
from stargrav.experiments.decisions import Proposition
from stargrav.experiments.evidence import Evidence, Found, Walk, answer
from stargrav.experiments.results import Result
from stargrav.experiments.verdicts import verdict_rows

ABOUT_EFFICIENCY = (
    "Efficiency is R2 over that of the exact posterior mean on the same stars, which no estimator "
    "passes; it stands where the experiment measured it."
)
MAIN_FIGURES = (  # title, experiment, figure of it
    ("R2 against noise, for latent and flux", "noise_robustness", "noise"),
    ("R2 by layer and pooling", "latent_extraction", "map"),
    ("R2 against the number of labelled stars", "sample_efficiency", "efficiency"),
    ("Where log g comes from", "latent_residual", "scores"),
    ("Predicted against true log g", "encoder_mlp", "predicted"),
)


COLOURS = 128
UI = "http://127.0.0.1:5000"  # where `make ui` serves
ABOUT_LINKS = (
    "A link from an experiment's name leads to its runs in the MLflow UI of the clone that the "
    "results were made in, while `make ui` runs there."
)


def page(introduction: str, evidence: Evidence, walks: Sequence[Walk], figures: Path) -> str:
    """The page as text.

    Args:
        introduction: how the numbers are to be read.
        evidence: the stored results.
        walks: through the decision trees.
        figures: holds `trees/<tree>.png`, and `<experiment>/<figure>.png` for each result.
    """
    environment = Environment(
        loader=PackageLoader("stargrav"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    contents = _contents(evidence, walks, figures)
    return environment.get_template("results.html").render(introduction=introduction, **contents)


def data_uri(figure: Path) -> str:
    """A PNG file as a data URI.

    Args:
        figure: read as it is; only what is embedded has fewer colours.
    """
    with Image.open(figure) as image:
        reduced = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    reduced.save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def runs_link(experiment: str, number: int) -> str:
    """Where the MLflow UI shows the runs of an experiment.

    The numbers of runs differ from clone to clone, and would make the page differ that has to be
    the same for the same results; so the link searches for the runs by their tag.

    Args:
        experiment: name, as the runs are tagged.
        number: of its programme among MLflow's experiments: programmes are numbered from 1 in the
            order in which they were first run.
    """
    search = quote(f'tags.experiment = "{experiment}"')
    return f"{UI}/#/experiments/{number}/runs?searchFilter={search}"


def _contents(evidence: Evidence, walks: Sequence[Walk], figures: Path) -> dict[str, Any]:
    """What the HTML page shows."""
    experiments, found = evidence.experiments, evidence.results
    programmes = list(dict.fromkeys(e.programme for e in experiments.values()))
    links = {
        name: runs_link(name, 1 + programmes.index(experiments[name].programme)) for name in found
    }
    drawn = [
        {"title": title, "path": figures / name / f"{figure}.png", "links": {name: links[name]}}
        for title, name, figure in MAIN_FIGURES
        if (figures / name / f"{figure}.png").is_file()
    ]
    shown = {figure["title"] for figure in drawn}
    return {
        "about_links": ABOUT_LINKS,
        "about_efficiency": ABOUT_EFFICIENCY,
        "measured_under": _measured_under(found),
        "experiments": experiments,
        "next": next_runs(walks, evidence),
        "missing": missing_experiments(evidence),
        "trees": [(walk, figures / "trees" / f"{walk.tree.name}.png") for walk in walks],
        "groups": {
            title: [_judged(p, evidence) for p in propositions]
            for title, propositions in GROUPS.items()
        },
        "verdicts": [
            {
                "plan": experiment.plan,
                "name": name,
                "claim": experiment.claim,
                "link": links.get(name),
                "rows": verdict_rows(experiment, found.get(name)),
            }
            for name, experiment in experiments.items()
        ],
        "figures": drawn,
        "undrawn": [f"{title} ({name})" for title, name, _ in MAIN_FIGURES if title not in shown],
    }


def _judged(
    proposition: Proposition, evidence: Evidence
) -> tuple[Proposition, str, str, list[Found]]:
    state, found = evidence.decide(proposition.rests_on)
    return proposition, state, answer(proposition, state), found


def _measured_under(found: Mapping[str, Result]) -> str:
    """The conditions that the results share, and that they do not."""
    conditions = [result.summary["conditions"] for result in found.values()]
    said = []
    for key in ("profile", "seed", "source", "magnitude", "error"):
        values = dict.fromkeys(str(given[key]) for given in conditions if key in given)
        if values:
            said.append(f"{key} {' or '.join(values)}")
    return f"Measured with {', '.join(said)}." if said else ""
