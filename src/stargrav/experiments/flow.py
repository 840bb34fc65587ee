"""The decision trees of `decisions`, with what the evidence says, as figures."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure

from stargrav.experiments.evidence import MISSING, Evidence, Walk, branch
from stargrav.experiments.rules import Leaf, Node
from stargrav.experiments.spec import FAIL, INCONCLUSIVE, PASS
from stargrav.plots.style import STYLE
from stargrav.plots.tree import WIDTH, Exit, Question, height, tree


def flow(walk: Walk, evidence: Evidence) -> Figure:
    """A decision tree: every question with its state, the way taken drawn heavily.

    Args:
        walk: as far as the evidence leads.
        evidence: also says what is known of the questions that were not reached.
    """
    questions = _questions(walk, evidence)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height(questions)))
        tree(questions, figure.add_axes((0, 0, 1, 1)))
    return figure


def _questions(walk: Walk, evidence: Evidence) -> list[Question]:
    numbers = {name: number for number, name in enumerate(walk.tree.nodes)}
    reached = {step.name for step in walk.steps}
    questions = []
    for name, node in walk.tree.nodes.items():
        state, found = evidence.decide(node.findings)
        exits = _exits(node, state if name in reached else None, numbers)
        if name in reached and walk.leaf is None and name == walk.steps[-1].name:
            runs = ", ".join(run for run, _ in walk.next_runs())
            exits.append(Exit(MISSING, f"run first: {runs}", taken=True))
        said = [text for one in found for text in (f"{one.experiment}: {one.asked}", one.said)]
        questions.append(Question(node.asks, said, state, name in reached, exits))
    return questions


def _exits(node: Node, state: str | None, numbers: dict[str, int]) -> list[Exit]:
    """The answers of a node, those that lead to the same place taken together."""
    answers: dict[str | Leaf, list[str]] = {}
    for answer in (PASS, FAIL, INCONCLUSIVE):
        place = branch(node, answer, ())
        answers.setdefault(place, []).append(answer)
    return [
        Exit(
            " / ".join(labels),
            numbers[place] if isinstance(place, str) else place.concludes,
            taken=state in labels,
        )
        for place, labels in answers.items()
    ]
