"""The verdict page: what each experiment claims, what was found, what that decides.

Written from the stored results alone; the same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from stargrav.errors import InputError
from stargrav.experiments import registry
from stargrav.experiments.figures import draw
from stargrav.experiments.present import conditions_text, interval, rows
from stargrav.experiments.results import Result
from stargrav.experiments.spec import Experiment
from stargrav.files import whole

INTRODUCTION = """\
# Results

Written by `stargrav report` from the stored results; do not edit. A value stands with its 95 %
bootstrap interval over the test stars; differences and ratios of models are paired, star by star.
A verdict is *pass* where the whole interval meets the criterion, *fail* where none of it does,
*inconclusive* in between; runs of the `quick` profile are not judged. *Published* is what earlier
work reached on the real BOSZ-PFS data set at full size: a mark to pass, not a value to reproduce.
"""


def write_report(results_dir: Path, out: Path) -> Path:
    """Write the verdict page and its figures.

    Args:
        results_dir: holds one result folder per experiment, by name.
        out: the page, such as docs/results.md; figures go to `figures/` beside it, whose
            content is replaced.

    Raises:
        InputError: no experiment has a result, or one cannot be read.
    """
    experiments = registry()
    found = {
        name: Result(results_dir / name)
        for name in experiments
        if (results_dir / name / "metrics.json").is_file()
    }
    if not found:
        raise InputError(results_dir, "folder", "no results", "folders with a metrics.json")
    sections = [INTRODUCTION, _verdicts(experiments, found), _missing(experiments, found)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out.parent / "figures") as folder:
        for name, result in found.items():
            draw(result, experiments[name].figures, folder / name)
            sections.append(_section(experiments[name], result))
    aside = out.with_name(f".{out.name}.partial")
    aside.write_text("\n".join(section for section in sections if section))
    aside.replace(out)
    return out


def _verdicts(experiments: dict[str, Experiment], found: dict[str, Result]) -> str:
    lines = []
    for name, result in found.items():
        link = f"[`{name}`](#{name})"
        for criterion in result.summary["criteria"]:
            published = criterion["published"]
            lines.append(
                (
                    experiments[name].plan,
                    link,
                    f"`{criterion['criterion']}`",
                    interval(criterion),
                    "" if published is None else f"{published:.4g}",
                    f"**{criterion['verdict']}**",
                )
            )
    header = ("plan", "experiment", "criterion", "found", "published", "verdict")
    return "## Verdicts\n\n" + _markdown(header, lines)


def _missing(experiments: dict[str, Experiment], found: dict[str, Result]) -> str:
    missing = [f"`{name}` ({e.plan})" for name, e in experiments.items() if name not in found]
    return f"No result yet, so nothing is said about: {', '.join(missing)}.\n" if missing else ""


def _section(experiment: Experiment, result: Result) -> str:
    table = rows(result)
    figures = [
        f"![{experiment.name}: {figure}](figures/{experiment.name}/{figure}.png)\n"
        for figure in experiment.figures
    ]
    return "\n".join(
        [
            f"## {experiment.name}\n",
            f"{experiment.plan}. {experiment.claim}: **{result.summary['verdict']}**.\n",
            f"{conditions_text(result)}.\n",
            _markdown(list(table[0]), [tuple(row.values()) for row in table]),
            *figures,
        ]
    )


def _markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    body = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body) + "\n"
