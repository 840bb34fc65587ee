"""Criteria: what they read, how they decide, and what they refuse."""

import numpy as np
import pytest

from stargrav.errors import InputError
from stargrav.experiments import spec
from stargrav.experiments.spec import (
    Count,
    NonNegative,
    at_least,
    at_most,
    between,
    evaluate,
    experiment,
    more_than,
    verdict,
)
from stargrav.metrics.estimate import Estimate


def around(value, spread):
    return Estimate(value, value + spread * np.random.default_rng(0).standard_normal(2000))


METRICS = {
    "r2[ridge,1k]": around(0.50, 0.01),
    "r2[ridge,all]": around(0.60, 0.01),
    "r2[mlp,all]": around(0.61, 0.01),
    "bias": Estimate.exact(-0.2),
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("bias", -0.2),
        ("r2[mlp,all] - r2[ridge,all]", 0.01),
        ("r2[ridge,1k] / r2[ridge,all]", 0.5 / 0.6),
        ("0.9 * r2[ridge, all] + 1e-1", 0.64),
        ("-(bias - 1) * 2", 2.4),
        ("max(r2[*,all])", 0.61),
        ("max(r2[ridge,*]) - min(r2[*,*])", 0.1),
        ("max(bias, 0.5)", 0.5),
    ],
)
def test_expressions(expression, value):
    assert evaluate(expression, METRICS).value == pytest.approx(value)


@pytest.mark.parametrize(
    "expression",
    ["r2[a] -", "__import__('os')", "r2.real", "r2[a] ** 2", "[1][0]", "a if b else c", "sum(a)"],
)
def test_what_is_no_expression_is_refused_when_it_is_declared(expression):
    with pytest.raises(ValueError):
        at_least(expression, 0)


def test_a_metric_that_was_not_measured_is_no_verdict():
    with pytest.raises(KeyError, match=r"r2\[tree\]"):
        at_least("r2[tree]", 0).judge(METRICS)
    with pytest.raises(KeyError):
        at_least("max(r2[*])", 0).judge(METRICS)
    assert not at_least("r2[tree] - bias", 0).measured(METRICS)
    assert at_least("max(r2[*,all]) - bias", 0).measured(METRICS)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (at_least("r2[ridge,all]", 0.5), "pass"),
        (at_least("r2[ridge,all]", 0.6), "inconclusive"),
        (at_least("r2[ridge,all]", 0.7), "fail"),
        (at_most("r2[ridge,all]", 0.7), "pass"),
        (at_most("r2[ridge,all]", 0.5), "fail"),
        (between("r2[ridge,all]", 0.5, 0.7), "pass"),
        (between("r2[ridge,all]", 0.5, 0.6), "inconclusive"),
        (between("r2[ridge,all]", 0.0, 0.5), "fail"),
        (more_than("r2[mlp,all] - r2[ridge,all]", 0), "pass"),  # the same draws: paired
        (at_least("bias - bias", 0), "pass"),
        (more_than("bias - bias", 0), "fail"),  # equal is not more
    ],
)
def test_verdict_of_a_criterion(criterion, expected):
    assert criterion.judge(METRICS).verdict == expected


def test_criterion_reads_as_it_decides():
    assert str(at_least("a", 0.5)) == "a >= 0.5"
    assert str(more_than("a - b", 0)) == "a - b > 0"
    assert str(at_most("a", 1)) == "a <= 1"
    assert str(between("a", -0.05, 0.05)) == "-0.05 <= a <= 0.05"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["inconclusive", "fail", "pass"], "fail"),
        ([], "measured"),
    ],
)
def test_verdict_of_an_experiment(found, expected):
    judgements = [spec.Judgement(at_least("a", 0), Estimate.exact(0), one) for one in found]
    assert verdict(judgements) == expected


@experiment(plan="toy 1", claim="Toys work")
def toy(alpha: NonNegative = 1e-3, hidden: tuple[Count, ...] = (256, 64), warm: bool = False):
    """A toy."""


def test_parameters_come_from_the_signature():
    assert {name: default for name, (_, default) in toy.parameters.items()} == {
        "alpha": 1e-3,
        "hidden": (256, 64),
        "warm": False,
    }
    assert toy.resolve({}) == {"alpha": 1e-3, "hidden": (256, 64), "warm": False}


def test_overrides_are_converted_from_text_and_yaml():
    resolved = toy.resolve({"alpha": "1e-2", "hidden": [32]})
    assert resolved == {"alpha": 0.01, "hidden": (32,), "warm": False}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"beta": 1}, "experiments.toy.beta: found 1, expected one of alpha, hidden, warm"),
        ({"alpha": -1}, "experiments.toy.alpha: found -1, expected greater than or equal to 0"),
        ({"alpha": "much"}, "experiments.toy.alpha: found 'much'"),
        ({"alpha": float("nan")}, "experiments.toy.alpha: found nan, expected a finite number"),
        ({"hidden": [3, 0]}, "experiments.toy.hidden.1: found 0, expected greater than"),
    ],
)
def test_wrong_parameters_are_named(overrides, told):
    with pytest.raises(InputError) as raised:
        toy.resolve(overrides, where="params.yaml")
    assert str(raised.value).startswith(f"params.yaml: {told}")


def test_a_parameter_without_default_is_refused():
    with pytest.raises(TypeError, match="alpha needs a type and a default"):

        @experiment(plan="toy 2", claim="Toys work")
        def broken(alpha: float):
            """Has no default."""
