"""An experiment that two processes share: one result, which is that of one process."""

from pathlib import Path

import pytest
from by_torchrun import by_two
from shared_run import SEED, shared

from stargrav.experiments.results import Result
from stargrav.experiments.run import run


def test_two_processes_make_one_result(inputs, tmp_path):
    script = Path(__file__).with_name("shared_run.py")
    root, out = inputs.folder("dataset").parent, tmp_path / "two"
    by_two(script, root, out)
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    found = Result(out)
    accelerator = {"accelerator": "cpu"}
    one = run(shared, {}, inputs, tmp_path / "one", "laptop", SEED, accelerator, {}, None)
    r2, expected = (each.table.set_index("model")["r2"] for each in (found, one))
    assert r2["ols"] == expected["ols"]
    assert r2["stored"] == pytest.approx(expected["stored"], abs=1e-3)
    assert r2["fresh"] == pytest.approx(expected["fresh"], abs=0.1)  # its noise is another
    assert len(found.history) == len(one.history) == 6
