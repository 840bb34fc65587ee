"""A decision tree as a picture: questions in a column, answers leading down or out to conclusions.

Each question says its state by word, mark and colour; the way that the evidence takes is drawn
heavily. Lengths are inches, so that type and boxes fit each other.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline

from stargrav.plots.style import COLORS, MUTED

LOOKS = {  # state -> mark, colour
    "pass": ("✓", COLORS[2]),
    "fail": ("✗", COLORS[1]),
    "inconclusive": ("?", COLORS[0]),
    "missing": ("…", MUTED),
}
WIDTH = 9.0
QUESTION, EXIT = (0.75, 4.75), (6.15, 8.9)  # left and right ends of the columns
SIZE, LINE, PAD, GAP = 8.5, 0.155, 0.09, 0.34  # points; then inches
PER_INCH, BOLD_PER_INCH = 16.6, 13.6  # characters


@dataclass(frozen=True)
class Exit:
    """An answer to a question and where it leads.

    Attributes:
        label: the answer.
        to: the number of another, later question, or a conclusion.
        taken: whether the evidence takes it.
    """

    label: str
    to: int | str
    taken: bool


@dataclass(frozen=True)
class Question:
    """A question of a tree.

    Attributes:
        text: the question.
        evidence: lines that say what was found.
        state: pass, fail, inconclusive or missing.
        reached: whether the evidence leads to it.
        exits: the answers, from top to bottom.
    """

    text: str
    evidence: Sequence[str]
    state: str
    reached: bool
    exits: Sequence[Exit]


def height(questions: Sequence[Question]) -> float:
    """The height of a picture of `WIDTH`, inches."""
    return sum(_row(question) + GAP for question in questions) + PAD


def tree(questions: Sequence[Question], ax: Axes) -> Axes:
    """Questions from top to bottom, joined by arrows, conclusions at their right.

    Args:
        questions: in an order in which every exit leads downwards.
        ax: filling a figure of `WIDTH` by `height(questions)`; drawn into.
    """
    ax.set(xlim=(0, WIDTH), ylim=(-height(questions), 0), aspect="equal")
    ax.set_axis_off()
    tops, top = [], -GAP / 2
    for question in questions:
        tops.append(top)
        top -= _row(question) + GAP
    for number, question in enumerate(questions):
        _draw_question(question, tops[number], ax)
        inner = tops[number]
        for way in question.exits:
            if isinstance(way.to, str):
                _draw_conclusion(way, inner, ax)
                inner -= _box(way.to, EXIT) + PAD
            else:
                _draw_way(way, number, tops, tops[number] - _row(question), ax)
    return ax


def _lines(text: str, column: tuple[float, float], per_inch: float = PER_INCH) -> list[str]:
    text = text.replace("log g", "log\u00a0g")
    return textwrap.wrap(text, int((column[1] - column[0] - 2 * PAD) * per_inch))


def _box(text: str, column: tuple[float, float]) -> float:
    return len(_lines(text, column)) * LINE + 2 * PAD


def _question_lines(question: Question) -> tuple[list[str], list[str]]:
    found = [line for said in question.evidence for line in _lines(said, QUESTION)]
    return _lines(question.text, QUESTION, BOLD_PER_INCH), found


def _row(question: Question) -> float:
    asked, found = _question_lines(question)
    own = (1 + len(asked) + len(found)) * LINE + 2 * PAD
    ends = [_box(way.to, EXIT) + PAD for way in question.exits if isinstance(way.to, str)]
    return max(own, sum(ends) - PAD)


def _draw_question(question: Question, top: float, ax: Axes) -> None:
    asked, found = _question_lines(question)
    mark, color = LOOKS[question.state]
    edge, width = ("black", 1.6) if question.reached else (MUTED, 0.6)
    _draw_box(QUESTION, top, _row(question), f"{color}26", edge, width, ax)
    text = {"va": "top", "ha": "left", "fontsize": SIZE, "linespacing": 1.25}
    x, y = QUESTION[0] + PAD, top - PAD
    ax.text(x, y, f"{mark} {question.state.upper()}", color=color, fontweight="bold", **text)
    if not question.reached:
        ax.text(QUESTION[1] - PAD, y, "not reached", color=MUTED, **{**text, "ha": "right"})
    ax.text(x, y - LINE, "\n".join(asked), color="black", fontweight="bold", **text)
    ax.text(x, y - (1 + len(asked)) * LINE, "\n".join(found), color="#374151", **text)


def _draw_conclusion(way: Exit, top: float, ax: Axes) -> None:
    tall = _box(way.to, EXIT)
    edge, width = ("black", 1.6) if way.taken else (MUTED, 0.6)
    _draw_box(EXIT, top, tall, "#FEF3C7" if way.taken else "white", edge, width, ax)
    lines = "\n".join(_lines(way.to, EXIT))
    ax.text(EXIT[0] + PAD, top - PAD, lines, va="top", fontsize=SIZE, linespacing=1.25)
    y = top - min(tall / 2, 0.25)
    _draw_arrow([(QUESTION[1], y), (EXIT[0], y)], way.taken, ax)
    _draw_label(way, (QUESTION[1] + EXIT[0]) / 2 - 0.05, y, ax)


def _draw_way(way: Exit, number: int, tops: Sequence[float], below: float, ax: Axes) -> None:
    """An arrow to a later question: straight down to the next, else round at the left."""
    if way.to == number + 1:
        x = (QUESTION[0] + QUESTION[1]) / 2
        _draw_arrow([(x, below), (x, tops[way.to])], way.taken, ax)
        _draw_label(way, x, (below + tops[way.to]) / 2 + 0.03, ax)
        return
    aside = QUESTION[0] - 0.17 * (way.to - number)
    start, end = below + 0.16, tops[way.to] - 0.16 - 0.05 * (way.to - number)
    corners = [(QUESTION[0], start), (aside, start), (aside, end), (QUESTION[0], end)]
    _draw_arrow(corners, way.taken, ax)
    _draw_label(way, QUESTION[0] + 0.02, start - 0.16 - GAP / 2, ax, "left")


def _draw_arrow(points: Sequence[tuple[float, float]], taken: bool, ax: Axes) -> None:
    look = {"edgecolor": "black" if taken else MUTED, "linewidth": 2.0 if taken else 0.8}
    outline = Outline(points)
    if len(points) > 2:
        ax.add_patch(PathPatch(Outline(points[:-1]), fill=False, capstyle="butt", **look))
        outline = Outline(points[-2:])
    ax.add_patch(
        FancyArrowPatch(
            path=outline, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0,
            facecolor=look["edgecolor"], **look,
        )
    )  # fmt: skip


def _draw_label(way: Exit, x: float, y: float, ax: Axes, ha: str = "center") -> None:
    ax.text(
        x, y, way.label, ha=ha, va="center", fontsize=SIZE - 1,
        fontweight="bold" if way.taken else "normal", color="black" if way.taken else MUTED,
        bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"},
    )  # fmt: skip


def _draw_box(
    column: tuple[float, float],
    top: float,
    tall: float,
    face: str,
    edge: str,
    width: float,
    ax: Axes,
) -> None:
    shape = "round,pad=0,rounding_size=0.06"
    corner, wide = (column[0], top - tall), column[1] - column[0]
    ax.add_patch(
        FancyBboxPatch(corner, wide, tall, shape, facecolor=face, edgecolor=edge, linewidth=width)
    )
