"""Scripts of bench/: that they still run; what they measure stands in docs/bench."""

import runpy
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from stargrav.data import store
from stargrav.labels import LABELS, RANGES

BENCH = Path(__file__).parents[1] / "bench"
SMALL = {
    "bayes_limit": "--stars 8 --points 1024 --least-ess 20 --library GRID",
    "predict_faults": "--stars 2 --faults none --source GRID",
    "ridge": "--stars 60 --pixels 16 --penalties 2",
    "simulate_speed": "--n 100 --source GRID --folder FOLDER",
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A small library in which each label has a line."""
    wave = np.arange(7080.0, 8870.0, 0.5)
    corners = product(*(RANGES[name] for name in LABELS))
    labels = np.array(list(corners))
    low, high = np.array([RANGES[name] for name in LABELS]).T
    centres = np.linspace(7300, 8700, len(LABELS))[:, None]
    lines = np.exp(-0.5 * ((wave - centres) / 5) ** 2)
    flux = 1 - (0.1 + 0.5 * (labels - low) / (high - low)) @ lines
    path = tmp_path_factory.mktemp("library") / "grid.h5"
    store.write_grid(path, wave, flux, labels, 5000.0)
    return path


@pytest.mark.parametrize("script", sorted(BENCH.glob("*.py")), ids=lambda path: path.stem)
def test_script_runs(script, grid, tmp_path, monkeypatch, capsys):
    """Small, where that takes seconds; else as far as its --help."""
    words = SMALL.get(script.stem, "--help").split()
    places = {"GRID": str(grid), "FOLDER": str(tmp_path)}
    monkeypatch.setattr(sys, "argv", [str(script), *(places.get(word, word) for word in words)])
    threads = torch.get_num_threads()
    try:
        if words == ["--help"]:
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(script), run_name="__main__")
            assert ended.value.code == 0
        else:
            runpy.run_path(str(script), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    assert capsys.readouterr().out.strip()
