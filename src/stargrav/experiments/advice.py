"""The decisions as text: what `stargrav next` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from stargrav.experiments.decisions import HYPOTHESES, QUESTIONS, RISKS, STAGES, TREES
from stargrav.experiments.directions import DECISION_POINTS, DIRECTIONS, WORTH, conclusion
from stargrav.experiments.evidence import MISSING, Evidence, Found, Walk, answer
from stargrav.experiments.rules import Proposition
from stargrav.experiments.tower_decisions import TOWERS

GROUPS = {
    "Stages": STAGES,
    "Hypotheses": HYPOTHESES,
    "Questions": QUESTIONS,
    "Risks": RISKS,
    "Towers": TOWERS,
    "Transformers": WORTH,
    "Directions": DIRECTIONS,
    "Decision points": DECISION_POINTS,
}
NOTHING_HERE = (
    "No results in artifacts/experiments yet. What was decided from the project's own stands in "
    "docs/results.html."
)
WIDTH = 13  # of a state
ANEW = "other stars: the data set, its teachers and all else that this reads are made anew"
APART = "kept apart from what decides here; to go on from it, set it in params.yaml"


def advice(
    evidence: Evidence,
    runs: Mapping[str, str],
    variant: Callable[[str], Path | None] = lambda run: None,
) -> str:
    """What is decided, on which evidence, and what to run next and why.

    Args:
        evidence: the stored results.
        runs: experiment -> id of the MLflow run that shows its result, where it is known.
        variant: where the result lies of a run with settings of its own, if it has been made.
    """
    walks = [evidence.walk(tree) for tree in TREES]
    lines: list[str] = []
    if not evidence.results:
        lines += ["", NOTHING_HERE]
    else:
        for title, propositions in GROUPS.items():
            lines += ["", title, *_propositions(propositions, evidence, runs)]
        lines += [f"  {'=>':{WIDTH}} D4: {conclusion(evidence)}"]
        for walk in walks:
            lines += ["", walk.tree.asks, *_walk(walk, runs)]
    lines += ["", "Next", *_next(next_runs(walks, evidence), evidence, variant)]
    missing = missing_experiments(evidence)
    if missing:
        lines += ["", f"Without a result that could decide: {', '.join(missing)}"]
    return "\n".join(lines[1:])


def next_runs(walks: Iterable[Walk], evidence: Evidence) -> dict[str, list[str]]:
    """What to run next, as arguments of ``stargrav run``, with the reasons, tree by tree.

    What a conclusion sends to with the default settings is left out if it has been done.
    """
    reasons: dict[str, list[str]] = {}
    for walk in walks:
        for run, why in walk.next_runs():
            if not evidence.judged(run):
                reasons.setdefault(run, []).append(why)
    return reasons


def missing_experiments(evidence: Evidence) -> list[str]:
    """Experiments that a decision rests on and that have no result to decide it."""
    named = [
        finding
        for group in GROUPS.values()
        for proposition in group
        for finding in proposition.rests_on
    ]
    named += [f for tree in TREES for node in tree.nodes.values() for f in node.findings]
    _, found = evidence.decide(named)
    return list(dict.fromkeys(one.experiment for one in found if one.state == MISSING))


def _propositions(
    propositions: Sequence[Proposition], evidence: Evidence, runs: Mapping[str, str]
) -> list[str]:
    lines = []
    for proposition in propositions:
        state, found = evidence.decide(proposition.rests_on)
        said = answer(proposition, state)
        lines.append(f"  {said:{WIDTH}} {proposition.name}: {proposition.says}")
        lines += [f"  {'':{WIDTH}}   {_with_run(one, runs)}" for one in found]
    return lines


def _walk(walk: Walk, runs: Mapping[str, str]) -> list[str]:
    lines = []
    for step in walk.steps:
        lines.append(f"  {step.state:{WIDTH}} {step.node.asks}")
        lines += [f"  {'':{WIDTH}}   {_with_run(one, runs)}" for one in step.found]
    if walk.leaf is not None:
        lines.append(f"  {'=>':{WIDTH}} {walk.leaf.concludes}")
    return lines


def _next(
    reasons: Mapping[str, Sequence[str]],
    evidence: Evidence,
    variant: Callable[[str], Path | None],
) -> list[str]:
    made = {run: variant(run) for run in reasons if "--" in run}
    lines = [
        f"  done: stargrav run {run}, {place}; {APART}" for run, place in made.items() if place
    ]
    left = {run: why for run, why in reasons.items() if made.get(run) is None}
    for number, (run, why) in enumerate(left.items(), start=1):
        built = run.split()[0] in evidence.experiments
        lines.append(f"  {number}. stargrav run {run}{'' if built else '  (not built yet)'}")
        lines += [f"     {reason}" for reason in why]
        if "--" in run:
            lines.append(f"     {APART}")
        if "--splits" in run:
            lines.append(f"     {ANEW}")
    return lines or ["  nothing: every tree has come to its end, and what follows from it is done"]


def _with_run(found: Found, runs: Mapping[str, str]) -> str:
    name = found.experiment
    return f"{found}, run {runs[name]}" if name in runs and found.state != MISSING else str(found)
