"""What a decision is made of: findings, propositions that rest on them, and trees of questions.

A finding names an experiment and a criterion on its metrics; a proposition is a sentence that may
turn out wrong, with the findings that decide it; a tree asks one finding after the other, down to
a conclusion and what to run next. `decisions` fills them in, `evidence` decides them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stargrav.experiments.spec import Criterion


@dataclass(frozen=True)
class Finding:
    """A criterion on the metrics of one experiment; none: all that the experiment judges itself,
    its claim."""

    experiment: str
    criterion: Criterion | None = None


@dataclass(frozen=True)
class Proposition:
    """A sentence that the findings decide.

    When all of them pass, a hypothesis is supported, a question answered with yes, a risk averted.

    Attributes:
        name: such as H1; its letter says whether it is a hypothesis, a question (T of towers, V
            and W of transformers) or a risk.
        says: one sentence that may turn out wrong.
        rests_on: what decides it.
    """

    name: str
    says: str
    rests_on: tuple[Finding, ...]


@dataclass(frozen=True)
class Leaf:
    """Where a tree ends.

    Attributes:
        concludes: what has been decided.
        run: what to run next, as arguments of ``stargrav run``.
    """

    concludes: str
    run: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """A question of a tree, and where each answer leads: another node by name, or a leaf.

    Attributes:
        asks: the question.
        findings: all have to pass for a yes; one that fails makes a no.
        passed: where a yes leads.
        failed: where a no leads.
        unclear: where it leads when the data cannot tell; none: more test stars are asked for.
    """

    asks: str
    findings: tuple[Finding, ...]
    passed: str | Leaf
    failed: str | Leaf
    unclear: str | Leaf | None = None


@dataclass(frozen=True)
class Tree:
    """A decision: questions by name, the first of them first, each before those it leads to."""

    name: str
    asks: str
    nodes: Mapping[str, Node]


@dataclass(frozen=True)
class Origin:
    """A source of log g, and the metric that says how much it tells."""

    group: str
    label: str
    experiment: str
    metric: str
