"""An experiment is a claim: a function, what it is to show, and what decides whether it does.

A criterion bounds an expression of metrics, such as ``r2[mlp] - r2[ridge] > 0``. Metrics are
estimates with bootstrap replicates (`metrics.estimate`), and so is every expression of them; with
[l, h] its 95 % interval,

    pass           [l, h] lies within the bounds,
    fail           [l, h] lies outside of them,
    inconclusive   otherwise: the data cannot tell.

An experiment passes when all its criteria do and fails when one of them does. Nothing is
evaluated as code: an expression holds metrics, numbers, + - * / and max() or min() over a metric
whose cases may be given as ``*``; such an extreme is judged case by case (`metrics.estimate`).
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from stargrav.errors import InputError, one_of
from stargrav.metrics.estimate import Estimate, largest, smallest

Metrics = Mapping[str, Estimate]

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
MEASURED, NOT_JUDGED = "measured", "not judged"  # nothing to decide; too small to decide

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
Noise = Annotated[float, Field(ge=0, le=2)]  # in units of the error

_METRIC = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\[[^\[\]]*\])?(?!\w|\s*\()")
_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS = {"max": largest, "min": smallest}


@dataclass(frozen=True)
class Criterion:
    """Bounds on an expression of metrics; `strict` excludes the bounds themselves."""

    expression: str
    low: float = -math.inf
    high: float = math.inf
    strict: bool = False

    def __post_init__(self) -> None:
        _parse(self.expression)  # a mistake shows when the module is read, not after an hour

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"{self.expression} {'>' if self.strict else '>='} {self.low:g}"
        if math.isinf(self.low):
            return f"{self.expression} {'<' if self.strict else '<='} {self.high:g}"
        return f"{self.low:g} <= {self.expression} <= {self.high:g}"

    def metrics(self) -> list[str]:
        """The metrics that the expression needs, cases of ``*`` as written."""
        return list(_parse(self.expression)[1].values())

    def measured(self, metrics: Metrics) -> bool:
        """Whether all its metrics are there; a foreign data set need not allow all of them."""
        try:
            return all(matching(key, metrics) for key in self.metrics())
        except KeyError:
            return False

    def judge(self, metrics: Metrics) -> Judgement:
        """Decide the criterion from measured metrics.

        Raises:
            KeyError: a metric of the expression was not measured.
        """
        estimate = evaluate(self.expression, metrics)
        return Judgement(self, estimate, self.decide(*estimate.interval()))

    def decide(self, low: float, high: float) -> str:
        """The verdict on an interval: pass, fail or inconclusive."""
        if self._inside(low) and self._inside(high):
            return PASS
        return FAIL if self._outside(low, high) else INCONCLUSIVE

    def _inside(self, x: float) -> bool:
        return self.low < x < self.high if self.strict else self.low <= x <= self.high

    def _outside(self, low: float, high: float) -> bool:
        if self.strict:
            return high <= self.low or low >= self.high
        return high < self.low or low > self.high


@dataclass(frozen=True)
class Judgement:
    """A criterion, the value of its expression and the verdict on it."""

    criterion: Criterion
    estimate: Estimate
    verdict: str


def at_least(expression: str, bound: float) -> Criterion:
    """The expression must not lie below the bound."""
    return Criterion(expression, low=bound)


def at_most(expression: str, bound: float) -> Criterion:
    """The expression must not lie above the bound."""
    return Criterion(expression, high=bound)


def more_than(expression: str, bound: float) -> Criterion:
    """The expression must lie above the bound; equality is not enough."""
    return Criterion(expression, low=bound, strict=True)


def between(expression: str, low: float, high: float) -> Criterion:
    """The expression must lie within the bounds."""
    return Criterion(expression, low=low, high=high)


def evaluate(expression: str, metrics: Metrics) -> Estimate:
    """The value of an expression with its replicates, pairing the metrics draw by draw.

    Args:
        expression: such as ``r2[a] / r2[b]`` or ``max(r2[*,seg_mean_8])``.
        metrics: estimates by key, ``name`` or ``name[case]``.

    Raises:
        KeyError: a metric is not among them.
        ValueError: the expression is none.
    """
    tree, names = _parse(expression)
    return _value(tree, names, metrics)


def verdict(judgements: Iterable[Judgement]) -> str:
    """The verdict of an experiment from those of its criteria."""
    found = {judgement.verdict for judgement in judgements}
    if not found:
        return MEASURED
    return next(v for v in (FAIL, INCONCLUSIVE, PASS) if v in found)


@dataclass(frozen=True, eq=False)
class Experiment:
    """A function with its claim; what `experiment` makes of a function.

    Args:
        function: runs the experiment and returns its table; its signature is its configuration.
        plan: programme and number in the plan.
        claim: one sentence that may turn out wrong.
        accept: the criteria that decide it; none where the plan only asks for a measurement.
        published: metric key -> what earlier work reached on the real data.
        needs: pipeline stages whose results it reads.
        figures: names in `experiments.figures` that are drawn from its stored results.
        serves: the case whose model is stored and served.
    """

    function: Callable[..., Any]
    plan: str
    claim: str
    accept: tuple[Criterion, ...]
    published: Mapping[str, float]
    needs: tuple[str, ...]
    figures: tuple[str, ...]
    serves: str | None

    @property
    def name(self) -> str:
        """The name of the function, of the entry point and of the pipeline stage."""
        return self.function.__name__

    @property
    def programme(self) -> str:
        """The first word of the plan; experiments of a programme share an MLflow experiment."""
        return self.plan.split()[0]

    @property
    def module(self) -> str:
        """The module that it stands in."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def stage(self) -> str:
        """The pipeline stage that runs it."""
        return f"{self.programme}@{self.name}"

    @property
    def parameters(self) -> dict[str, tuple[Any, Any]]:
        """Name -> (type, default) of every parameter."""
        types = get_type_hints(self.function, include_extras=True)
        signature = inspect.signature(self.function).parameters
        return {name: (types[name], parameter.default) for name, parameter in signature.items()}

    def resolve(self, overrides: Mapping[str, Any], where: object = "params.yaml") -> dict:
        """All parameters, the defaults replaced by the overrides.

        Args:
            overrides: values as parsed from YAML, or text from a command line.
            where: the file or command line to name in an error.

        Raises:
            InputError: an unknown key, a wrong type or a value out of range.
        """
        model = create_model(self.name, __base__=_Parameters, **self.parameters)
        try:
            values = model.model_validate(dict(overrides))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in (self.name, *first["loc"]))
            allowed = first["msg"].removeprefix("Input should be ")
            if first["type"] == "extra_forbidden":
                allowed = (
                    one_of(str(first["loc"][-1]), self.parameters)
                    if self.parameters
                    else "no parameters"
                )
            found = repr(first["input"])
            raise InputError(where, f"experiments.{key}", found, allowed) from None
        return {name: getattr(values, name) for name in self.parameters}


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def experiment(
    plan: str,
    claim: str,
    accept: Iterable[Criterion] = (),
    published: Mapping[str, float] | None = None,
    needs: Iterable[str] = (),
    figures: Iterable[str] = (),
    serves: str | None = None,
) -> Callable[[Callable[..., Any]], Experiment]:
    """Declare a function to be an experiment; the arguments are those of `Experiment`."""

    def declare(function: Callable[..., Any]) -> Experiment:
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.default is parameter.empty or parameter.annotation is parameter.empty:
                raise TypeError(f"{function.__name__}: {name} needs a type and a default")
        return Experiment(
            function=function,
            plan=plan,
            claim=claim,
            accept=tuple(accept),
            published=dict(published or {}),
            needs=tuple(needs),
            figures=tuple(figures),
            serves=serves,
        )

    return declare


def _parse(expression: str) -> tuple[ast.expr, dict[str, str]]:
    """The syntax tree, with metrics replaced by names m0, m1, ..., and what they stand for."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        names[f"m{len(names)}"] = match.group().replace(" ", "")
        return f"m{len(names) - 1}"

    try:
        tree = ast.parse(_METRIC.sub(name, expression), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"not an expression of metrics: {expression!r}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) not in _FUNCTIONS:
            raise ValueError(f"{expression!r}: functions are {', '.join(_FUNCTIONS)}")
        allowed = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Call, ast.Load, ast.USub)
        if not isinstance(node, (*allowed, *_OPERATIONS)):
            raise ValueError(f"{expression!r}: {type(node).__name__} is not allowed")
    return tree, names


def _value(node: ast.expr, names: Mapping[str, str], metrics: Metrics) -> Estimate:
    match node:
        case ast.Constant(value=number):
            return Estimate.exact(number)
        case ast.Name(id=name):
            return metrics[names[name]]
        case ast.UnaryOp(operand=operand):
            return -_value(operand, names, metrics)
        case ast.BinOp(left=left, op=op, right=right):
            combine = _OPERATIONS[type(op)]
            return combine(_value(left, names, metrics), _value(right, names, metrics))
        case ast.Call(func=ast.Name(id=function), args=arguments):
            values: list[Estimate] = []
            for argument in arguments:
                key = names.get(argument.id, "") if isinstance(argument, ast.Name) else ""
                if "*" in key:
                    values += [metrics[name] for name in matching(key, metrics)]
                else:
                    values.append(_value(argument, names, metrics))
            return _FUNCTIONS[function](values)
    raise ValueError(f"not an expression of metrics: {ast.unparse(node)}")


def matching(pattern: str, keys: Iterable[str]) -> list[str]:
    """The keys that a pattern such as ``r2[*,seg_mean_8]`` stands for; `*` is one whole value.

    Raises:
        KeyError: none does.
    """
    form = re.compile(re.escape(pattern).replace(r"\*", r"[^,\[\]]+"))
    found = [key for key in keys if form.fullmatch(key)]
    if not found:
        raise KeyError(pattern)
    return found
