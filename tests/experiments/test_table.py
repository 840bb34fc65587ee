"""Sweeps: their cases, their names, and that none is left out."""

import pytest

from stargrav.experiments.table import Score, over
from stargrav.metrics.estimate import Estimate


def test_cases_are_the_product_of_the_axes_in_order():
    table = over(model={"ridge": 0.1, "mlp": None}, size=[1000, 32_000, 500])
    keys = []
    for case in table:
        keys.append((case.key, case.model, case.size))
        case.record({"r2": Estimate.exact(len(keys))}, n_train=case.size)
    assert keys[0] == ("ridge,1k", 0.1, 1000)
    assert [key for key, *_ in keys] == [
        f"{model},{size}" for model in ("ridge", "mlp") for size in ("1k", "32k", "500")
    ]
    assert table.metrics()["r2[mlp,1k]"].value == 4
    assert table.cases[1].score.columns == {"n_train": 32_000}


def test_one_case_without_axes_names_its_metrics_plainly():
    table = over()
    for case in table:
        case.record(Score({"r2": Estimate.exact(0.5)}))
    assert table.metrics()["r2"].value == 0.5


def test_a_case_that_records_nothing_is_noticed():
    with pytest.raises(RuntimeError, match="nothing was recorded of case b"):
        for case in over(model=["a", "b"]):
            if case.model == "a":
                case.record({"r2": Estimate.exact(0)})


def test_labels_that_would_be_confused_are_refused():
    for axis in ([], [1.0, 1], ["a,b"], ["*"]):
        with pytest.raises(ValueError, match="axis size"):
            over(size=axis)


def test_unknown_axis_is_an_attribute_error():
    (case,) = over(size=[1]).cases
    with pytest.raises(AttributeError, match="layer is no axis"):
        _ = case.layer
