"""The decisions, made from the stored results.

A finding is decided by the 95 % interval of its expression. Where the experiment has judged the
same expression, that interval is taken: it is paired, star by star. Else the resamples are drawn
again from the stored predictions, and are the same ones, paired too. Where there are none, the
interval is spanned by the ends of the metrics' own, which is wider, so that it can leave open what
a paired one would decide, but not decide it wrongly. With several findings, one that fails
decides; then one that is missing, then one that is inconclusive.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stargrav.experiments import registry
from stargrav.experiments.present import interval
from stargrav.experiments.results import OF_STARS, Result
from stargrav.experiments.rules import Finding, Leaf, Node, Proposition, Tree
from stargrav.experiments.spec import (
    FAIL,
    INCONCLUSIVE,
    NOT_JUDGED,
    PASS,
    Criterion,
    Experiment,
    evaluate,
    matching,
)
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.regression import SCORES

MISSING = "missing"
ORDER = (FAIL, MISSING, INCONCLUSIVE, PASS)  # the first that is found decides
ANSWERS = {
    "H": {PASS: "supported", FAIL: "refuted", INCONCLUSIVE: "undecided"},
    "Q": {PASS: "yes", FAIL: "no", INCONCLUSIVE: "open"},
    "R": {PASS: "averted", FAIL: "real", INCONCLUSIVE: "open"},
    "D": {PASS: "go on", FAIL: "another way", INCONCLUSIVE: "open"},
    **dict.fromkeys("TVW", {PASS: "yes", FAIL: "no", INCONCLUSIVE: "open"}),
}
MORE_STARS = "The test stars cannot tell: more of them"
MORE_TEST_STARS = 10_000
MOST_METRICS = 16  # of one expression that was not judged
WIDER = 1.1  # than what the choice of stars alone tells, rounding apart


@dataclass(frozen=True)
class Found:
    """What the stored results say of a finding.

    Attributes:
        experiment: whose results were asked.
        asked: the criterion, as text.
        state: pass, fail, inconclusive or missing.
        found: value, low and high of its expression; empty where it is missing.
        paired: whether the interval is the experiment's own.
        why: what is missing.
    """

    experiment: str
    asked: str
    state: str
    found: Mapping[str, float]
    paired: bool = True
    why: str = ""

    @property
    def said(self) -> str:
        """What was found: value, interval and state, or what is missing."""
        if self.state == MISSING:
            return f"missing, {self.why}"
        wide = "" if self.paired else " (unpaired)"
        return f"{interval(self.found)}{wide}, {self.state}"

    def __str__(self) -> str:
        return f"{self.experiment}: {self.asked}: {self.said}"


class Evidence:
    """The stored results, asked for findings.

    Args:
        results_dir: holds one result folder per experiment, by name.
    """

    def __init__(self, results_dir: Path) -> None:
        self.experiments: dict[str, Experiment] = registry()
        self.results = {
            name: Result(results_dir / name)
            for name in self.experiments
            if (results_dir / name / "metrics.json").is_file()
        }

    def judged(self, name: str) -> bool:
        """Whether an experiment has a result that can decide; one of profile `quick` cannot."""
        return name in self.results and self.results[name].summary["verdict"] != NOT_JUDGED

    def find(self, finding: Finding) -> list[Found]:
        """What is known of a finding: of its criterion, or of each that the experiment judges.

        Raises:
            InputError: the experiment's stored result cannot be read.
        """
        name, criterion = finding.experiment, finding.criterion
        why = self._why_missing(name)
        if why:
            return [
                Found(
                    name,
                    "its claim" if criterion is None else str(criterion),
                    MISSING,
                    {},
                    why=why,
                )
            ]
        summary = self.results[name].summary
        if criterion is None:
            return [
                Found(name, one["criterion"], one["verdict"], one) for one in summary["criteria"]
            ] or [Found(name, "its claim", MISSING, {}, why="it judges nothing")]
        return [_found(self.results[name], criterion)]

    def decide(self, findings: Iterable[Finding]) -> tuple[str, list[Found]]:
        """The state of several findings together, and each of them."""
        found = [one for finding in findings for one in self.find(finding)]
        states = {one.state for one in found}
        return next(state for state in ORDER if state in states), found

    def _why_missing(self, name: str) -> str:
        if name not in self.experiments:
            return "not built yet"
        if name not in self.results:
            return "not run yet"
        conditions = self.results[name].summary["conditions"]
        return "" if self.judged(name) else f"only a run of profile {conditions['profile']}"

    def walk(self, tree: Tree) -> Walk:
        """Follow a tree from its first question as far as the evidence reaches."""
        steps: list[Step] = []
        place: str | Leaf | None = next(iter(tree.nodes))
        while isinstance(place, str):
            node = tree.nodes[place]
            state, found = self.decide(node.findings)
            steps.append(Step(place, node, state, found))
            place = branch(node, state, found)
        return Walk(tree, steps, place)


@dataclass(frozen=True)
class Step:
    """A question of a tree that was reached, and what the evidence says to it."""

    name: str
    node: Node
    state: str
    found: Sequence[Found]


@dataclass(frozen=True)
class Walk:
    """A way through a tree: the questions answered, and where it ended; no leaf: for want of
    evidence."""

    tree: Tree
    steps: Sequence[Step]
    leaf: Leaf | None

    def next_runs(self) -> list[tuple[str, str]]:
        """What to run next, as arguments of ``stargrav run``, each with the reason."""
        if self.leaf is not None:
            return [(run, self.leaf.concludes) for run in self.leaf.run]
        last = self.steps[-1]
        missing = [one.experiment for one in last.found if one.state == MISSING]
        return [(name, f"it decides: {last.node.asks}") for name in dict.fromkeys(missing)]


def branch(node: Node, state: str, found: Sequence[Found]) -> str | Leaf | None:
    """Where a state leads from a node; nowhere if evidence is missing."""
    if state == MISSING:
        return None
    to = {PASS: node.passed, FAIL: node.failed, INCONCLUSIVE: node.unclear}[state]
    if to is not None:
        return to
    unclear = dict.fromkeys(f.experiment for f in found if f.state == INCONCLUSIVE)
    return Leaf(MORE_STARS, tuple(f"{name} --splits.test {MORE_TEST_STARS}" for name in unclear))


def _found(result: Result, criterion: Criterion) -> Found:
    summary = result.summary
    name, asked, paired = summary["experiment"], str(criterion), True
    try:
        found = judged(criterion.expression, summary) or drawn_again(criterion, result)
        if found is None:
            found = spanned(criterion, summary["metrics"])
            paired = len(criterion.metrics()) == 1
    except KeyError as error:
        return Found(name, asked, MISSING, {}, why=f"it reports no {error.args[0]}")
    return Found(name, asked, criterion.decide(found["low"], found["high"]), found, paired)


def answer(proposition: Proposition, state: str) -> str:
    """A state in the words of a hypothesis, a question or a risk; of a stage, as it is."""
    return ANSWERS.get(proposition.name[0], {}).get(state, state)


def judged(expression: str, summary: Mapping[str, Any]) -> Mapping[str, float] | None:
    """Value and interval of an expression that the experiment has judged itself, if it has."""
    wanted = expression.replace(" ", "")
    for criterion in summary["criteria"]:
        parts = re.split(r"[<>]=?", criterion["criterion"].replace(" ", ""))
        if wanted in parts:
            return {key: criterion[key] for key in ("value", "low", "high")}
    return None


def drawn_again(criterion: Criterion, result: Result) -> dict[str, float] | None:
    """Value and paired interval of an expression, from the stored predictions.

    Returns:
        none where a metric is no score of stored predictions, or they are of other stars, or its
        interval holds more than the choice of stars, such as seeds.

    Raises:
        KeyError: a metric of the expression was not measured.
    """
    needed = _needed(criterion, result.summary["metrics"])
    stored, seed = result.predictions, result.summary["conditions"].get("seed")
    known = [name for name in OF_STARS if name in stored]
    pairs, first = {}, None
    for key in needed:
        name, _, case = key.rstrip("]").partition("[")
        rows = stored[stored["case"] == case]
        if name not in SCORES or seed is None or rows.empty:
            return None
        pairs[key] = SCORES[name], *(rows[c].to_numpy(float) for c in ("truth", "prediction"))
        stars = rows[known].to_numpy()
        first = stars if first is None else first
        if not np.array_equal(stars, first, equal_nan=True):
            return None
    estimates = {key: bootstrap(*pair, seed=seed) for key, pair in pairs.items()}
    for key, estimate in estimates.items():
        (low, high), whole = estimate.interval(), result.summary["metrics"][key]
        if whole["high"] - whole["low"] > WIDER * (high - low):
            return None
    found = evaluate(criterion.expression, estimates)
    low, high = found.interval()
    return {"value": found.value, "low": low, "high": high}


def spanned(criterion: Criterion, metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Value of an expression, and the range that the intervals of its metrics leave it.

    Args:
        criterion: each of its metrics standing in it once, so that its extremes lie at ends.
        metrics: key -> value, low, high.

    Raises:
        KeyError: a metric of the expression was not measured.
    """
    needed = _needed(criterion, metrics)
    if len(needed) > MOST_METRICS:
        raise ValueError(f"{criterion}: of {len(needed)} metrics; the experiment should judge it")
    ends = list(
        itertools.product(*((metrics[key]["low"], metrics[key]["high"]) for key in needed))
    )
    estimates = {
        key: Estimate(metrics[key]["value"], corner)
        for key, corner in zip(needed, np.array(ends, dtype=float).T, strict=True)
    }
    found = evaluate(criterion.expression, estimates)
    low, high = float(found.draws.min()), float(found.draws.max())
    if "/" in criterion.expression and any(_holds_zero(metrics[key]) for key in needed):
        low, high = -math.inf, math.inf  # what is divided by may be nothing
    return {"value": found.value, "low": low, "high": high}


def _needed(criterion: Criterion, metrics: Mapping[str, Any]) -> list[str]:
    return sorted({key for name in criterion.metrics() for key in matching(name, metrics)})


def _holds_zero(metric: Mapping[str, float]) -> bool:
    return metric["low"] <= 0 <= metric["high"]
