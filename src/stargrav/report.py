"""The verdict pages: what each experiment claims, what was found, what that decides.

Written from the stored results alone, as Markdown with all tables and figures and as one HTML
page with the decisions; the same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stargrav.errors import InputError
from stargrav.experiments.advice import GROUPS, next_runs
from stargrav.experiments.decisions import TREES
from stargrav.experiments.directions import conclusion
from stargrav.experiments.evidence import Evidence, Walk, answer
from stargrav.experiments.figures import draw
from stargrav.experiments.flow import flow
from stargrav.experiments.origins import LADDER, ORIGINS, origins
from stargrav.experiments.present import conditions_text, rows
from stargrav.experiments.results import Result
from stargrav.experiments.spec import Experiment
from stargrav.experiments.verdicts import verdict_rows
from stargrav.files import whole
from stargrav.page import Picture, page
from stargrav.plots.style import save

INTRODUCTION = """\
A value stands with its 95 % bootstrap interval over the test stars; differences and ratios of
models are paired, star by star. Networks are trained once, with one seed; how much another one
would differ is in the intervals of transformers and of `training_seeds` alone. A verdict is
pass where the whole interval meets the criterion, fail where none of it does, inconclusive in
between; runs of the quick profile are not judged. Published is what earlier work reached on
the real BOSZ-PFS data set at full size: a mark to pass, not a value to reproduce. Seconds are
what a case took where it was measured, on one thread of a processor unless settings say
otherwise; those of an early result were not kept."""

WHOLE_SPECTRA = """\
`plain` and `whitened_mlp` are one network, on whitened principal components: the baseline that the
others have to beat to be worth having. Seconds are those of the fit on one thread, without reading
spectra and making features. Parameters of what corrects a ridge do not count the ridge's own."""

DECISIONS = "decisions"  # the folder of their figures
MAIN_FIGURES = (  # title, experiment, figure of it
    ("Predicted against true log g", "encoder_mlp", "predicted"),
    ("R2 against noise, for latent and flux", "noise_robustness", "noise"),
    ("R2 by layer and pooling", "latent_extraction", "layers"),
    ("R2 against the number of labelled stars", "sample_efficiency", "sizes"),
    ("R2 of models of whole spectra", "flux_baselines", "scores"),
    ("A noisy spectrum as denoisers give it back", "conditional_ddpm", "denoised"),
    ("Lines that were removed or doubled: what comes back", "hallucination", "kept"),
    ("Where the true log g lies in posteriors", "amortized_posterior", "pit"),
)
OVER_SEVERAL = {  # name -> title and sources
    "origins": ("Where log g comes from", ORIGINS),
    "ladder": ("How much of log g is read, up to the most that the flux can tell", LADDER),
}


def write_report(results_dir: Path, out: Path) -> Path:
    """Write the verdict pages and their figures.

    Args:
        results_dir: holds one result folder per experiment, by name.
        out: the Markdown page, such as docs/results.md; the HTML page goes beside it under the
            same name, figures to `figures/`, whose content is replaced.

    Raises:
        InputError: no experiment has a result, or one cannot be read.
    """
    evidence = Evidence(results_dir)
    experiments, found = evidence.experiments, evidence.results
    if not found:
        raise InputError(results_dir, "folder", "no results", "folders with a metrics.json")
    head = "# Results\n\nWritten by `stargrav report` from the stored results; do not edit. "
    head += f"[One page with the decisions]({out.stem}.html).\n\n{INTRODUCTION}\n"
    sections = [head, _verdicts(experiments, found), _missing(experiments, found)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out.parent / "figures") as folder:
        trees = _trees(evidence, folder / DECISIONS)
        pictures = _pictures(evidence, folder)
        sections += [_decisions(evidence, trees), *map(_shown, pictures[-len(OVER_SEVERAL) :])]
        sections += [_whole_spectra(found), _variants(found)]
        for name, result in found.items():
            draw(result, experiments[name].figures, folder / name)
            sections.append(_section(experiments[name], result))
        html = page(INTRODUCTION, evidence, trees, pictures)
    _write(out, "\n".join(section for section in sections if section))
    _write(out.with_suffix(".html"), html)
    return out


def _trees(evidence: Evidence, folder: Path) -> list[tuple[Walk, Path]]:
    """The ways through the decision trees, each with its picture."""
    folder.mkdir()
    found = []
    for walk in (evidence.walk(tree) for tree in TREES):
        found.append((walk, folder / f"{walk.tree.name}.png"))
        save(flow(walk, evidence), found[-1][1])
    return found


def _pictures(evidence: Evidence, folder: Path) -> list[Picture]:
    """The main figures, drawn or not; those over several experiments, the last, are drawn here."""
    pictures = [
        Picture(title, folder / name / f"{figure}.png", [name])
        for title, name, figure in MAIN_FIGURES
    ]
    for name, (title, wanted) in OVER_SEVERAL.items():
        figure, shown = origins(evidence, wanted)
        pictures.append(Picture(title, folder / DECISIONS / f"{name}.png", shown))
        if figure is not None:
            save(figure, pictures[-1].path)
    return pictures


def _verdicts(experiments: Mapping[str, Experiment], found: Mapping[str, Result]) -> str:
    header = ("plan", "experiment", "criterion", "found", "published", "efficiency", "verdict")
    lines = [
        (
            experiments[name].plan,
            f"[`{name}`](#{name})",
            f"`{row.criterion}`",
            row.ours,
            row.published,
            row.efficiency,
            f"**{row.verdict}**",
        )
        for name, result in found.items()
        for row in verdict_rows(experiments[name], result)
    ]
    return "## Verdicts\n\n" + _markdown(header, lines)


def _missing(experiments: dict[str, Experiment], found: dict[str, Result]) -> str:
    missing = [f"`{name}` ({e.plan})" for name, e in experiments.items() if name not in found]
    return f"No result yet, so nothing is said about: {', '.join(missing)}.\n" if missing else ""


def _decisions(evidence: Evidence, trees: Sequence[tuple[Walk, Path]]) -> str:
    """The trees as pictures, what they come to, what to run next; then sentence by sentence."""
    parts = ["## Decisions\n"]
    for walk, path in trees:
        last = walk.steps[-1].node.asks
        said = walk.leaf.concludes if walk.leaf else f"open, evidence is missing for “{last}”"
        parts += [f"**{walk.tree.asks}** {said}.\n"]
        parts += [f"![{walk.tree.asks}](figures/{DECISIONS}/{path.name})\n"]
    todo = next_runs([walk for walk, _ in trees], evidence)
    listed = [f"- `stargrav run {run}`: {'; '.join(why)}" for run, why in todo.items()]
    parts += ["What to run next:\n", *(listed or ["- nothing"])]
    parts += ["", f"Directions of programme `logg_1m` (D4): {conclusion(evidence)}."]
    lines = []
    for propositions in GROUPS.values():
        for proposition in propositions:
            state, found = evidence.decide(proposition.rests_on)
            on = "<br>".join(f"{f.experiment}: {f.said}" for f in found)
            state = f"**{answer(proposition, state)}**"
            lines.append((proposition.name, proposition.says, on, state))
    return "\n".join([*parts, "", _markdown(("", "says", "found", "state"), lines)])


def _shown(picture: Picture) -> str:
    return (
        f"![{picture.title}](figures/{DECISIONS}/{picture.path.name})\n" if picture.drawn else ""
    )


def _whole_spectra(found: Mapping[str, Result]) -> str:
    """All models of programme `towers` by noise level, the best first; empty without results.

    Seconds are those of the fit alone, for models that were fitted.
    """
    columns = ("n_train", "parameters", "r2", "r2 published", "efficiency", "seconds")
    lines = []
    for name, result in found.items():
        summary = result.summary
        at = {"noise": summary["conditions"]["parameters"].get("noise_level")}
        if summary["programme"] != "towers" or "noise" not in summary["axes"] and not at["noise"]:
            continue
        for record, shown in zip(result.table.to_dict("records"), rows(result), strict=True):
            if record["r2"] == "":  # no model
                continue
            noise = float({**at, **record}["noise"])
            model = ", ".join(record[axis] for axis in summary["axes"] if axis != "noise")
            cells = (shown.get(column, "") for column in columns)
            line = (f"{noise:g}", f"[`{name}`](#{name})", model, *cells)
            lines.append((noise, -float(record["r2"]), line))
    if not lines:
        return ""
    header = ("noise", "experiment", "model", *columns)
    table = _markdown(header, [line for *_, line in sorted(lines)])
    return f"## Models of whole spectra\n\n{WHOLE_SPECTRA}\n\n{table}"


def _variants(found: Mapping[str, Result]) -> str:
    """All variants of the transformer and the plain network beside them, the best first.

    What several experiments show, such as the base, stands here once, under the first of them.
    """
    columns = ("efficiency", "outliers", "bias")
    header = ("experiment", "model", "parameters", "r2", "r2 at low noise", *columns)
    lines, met = [], set()
    for name, result in found.items():
        summary, table = result.summary, result.table
        if summary["programme"] != "logg_1m" or summary["axes"] != ["model", "stars"]:
            continue
        cases = zip(table["model"], table["stars"], strict=True)
        shown = dict(zip(cases, rows(result), strict=True))
        for record in table[table["stars"] == "all"].to_dict("records"):
            same = tuple(record[column] for column in ("parameters", "r2", "mae"))
            if same in met:
                continue
            met.add(same)
            of_all = shown[record["model"], "all"]
            of_low = shown.get(
                (record["model"], "low"), {"r2": ""}
            )  # other people's may tell no SNR
            cells = (of_all.get(column, "") for column in columns)
            own = (of_all.get("parameters", ""), of_all["r2"], of_low["r2"], *cells)
            lines.append((-record["r2"], (f"[`{name}`](#{name})", record["model"], *own)))
    if not lines:
        return ""
    table = _markdown(header, [line for _, line in sorted(lines)])
    return "## Variants of the transformer\n\n" + table


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


def _write(path: Path, text: str) -> None:
    """Write a file aside, then give it its name."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(text)
    aside.replace(path)
