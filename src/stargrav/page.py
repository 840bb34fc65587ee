"""The results as one HTML page that needs nothing beside it: no network, no script, no file.

Figures stand in it as data URIs, reduced to a palette, which their few colours bear.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from stargrav.experiments.advice import GROUPS, missing_experiments, next_runs
from stargrav.experiments.evidence import Evidence, Found, Walk, answer
from stargrav.experiments.results import Result
from stargrav.experiments.rules import Proposition
from stargrav.experiments.verdicts import verdict_rows

ABOUT_EFFICIENCY = (
    "Efficiency is R2 over that of the exact posterior mean on the same stars, which no estimator "
    "passes that sees their flux alone; it stands where the experiment measured it."
)
COLOURS = 128
UI = "http://127.0.0.1:5000"  # where `make ui` serves
ABOUT_LINKS = (
    "A link from an experiment's name leads to its runs in the MLflow UI of the clone that the "
    "results were made in, while `make ui` runs there."
)


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        title: what it shows.
        path: of the PNG file; one that is not there is named as missing.
        experiments: whose results it shows.
    """

    title: str
    path: Path
    experiments: Sequence[str]

    @property
    def drawn(self) -> bool:
        """Whether there were results to draw it from."""
        return self.path.is_file()


def page(
    introduction: str,
    evidence: Evidence,
    trees: Sequence[tuple[Walk, Path]],
    pictures: Sequence[Picture],
) -> str:
    """The page as text.

    Args:
        introduction: how the numbers are to be read.
        evidence: the stored results.
        trees: ways through the decision trees, each with its picture.
        pictures: the main figures.
    """
    environment = Environment(
        loader=PackageLoader("stargrav"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    contents = {"introduction": introduction, "trees": trees}
    contents |= _decided(evidence, [walk for walk, _ in trees]) | _measured(evidence, pictures)
    return environment.get_template("results.html").render(contents)


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


def _decided(evidence: Evidence, walks: Sequence[Walk]) -> dict[str, Any]:
    """What is decided and what is to be run next, for the template."""
    return {
        "experiments": evidence.experiments,
        "next": next_runs(walks, evidence),
        "missing": missing_experiments(evidence),
        "groups": {
            title: [_judged(proposition, evidence) for proposition in propositions]
            for title, propositions in GROUPS.items()
        },
    }


def _measured(evidence: Evidence, pictures: Sequence[Picture]) -> dict[str, Any]:
    """What was measured, with the links to its runs, for the template."""
    experiments, found = evidence.experiments, evidence.results
    programmes = list(dict.fromkeys(e.programme for e in experiments.values()))
    links = {
        name: runs_link(name, 1 + programmes.index(experiments[name].programme)) for name in found
    }
    return {
        "about_links": ABOUT_LINKS,
        "about_efficiency": ABOUT_EFFICIENCY,
        "measured_under": _measured_under(found),
        "links": links,
        "verdicts": [
            (experiment, verdict_rows(experiment, found.get(name)))
            for name, experiment in experiments.items()
        ],
        "pictures": [picture for picture in pictures if picture.drawn],
        "undrawn": [picture.title for picture in pictures if not picture.drawn],
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
