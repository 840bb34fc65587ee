"""Stages side by side, by DVC, in a project of three tiny stages."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from stargrav import dvc_process, pipeline, side_by_side

STAGE = """
import os, pathlib, signal, sys, time
from stargrav.dvc_process import RAN, end_with_caller, tell
signal.signal(signal.SIGTERM, signal.default_int_handler)
end_with_caller()
name, waits_for, reads = sys.argv[1:]
print("threads", os.environ["OMP_NUM_THREADS"])
pathlib.Path(f"{name}.started").write_text(str(os.getpid()))
if name == "broken":
    sys.exit(1)
until = time.monotonic() + 60
while waits_for and not pathlib.Path(f"{waits_for}.started").exists():
    if time.monotonic() > until:
        sys.exit(3)
    time.sleep(0.05)
pathlib.Path(name).write_text(name + "".join(pathlib.Path(p).read_text() for p in reads.split()))
tell(RAN + name)
"""
CALLER = """
import pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts ignore it
from stargrav import pipeline, side_by_side
pipeline.fetch_library = lambda *_: None
side_by_side.settings.load = lambda *_: None
side_by_side.make(pathlib.Path(), ["slow"], 2)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes a DVC project: stages by name, each with whom it waits for and what it reads."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW", "DVC", "STARGRAV"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "fetch_library", lambda *_: None)
    monkeypatch.setattr(side_by_side.settings, "load", lambda *_: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})

    def make(**stages):
        (tmp_path / "stage.py").write_text(STAGE)
        declared = {
            name: {
                "cmd": f"{sys.executable} stage.py {name} '{waits_for}' '{' '.join(reads)}'",
                "deps": list(reads),
                "outs": [name],
            }
            for name, (waits_for, *reads) in stages.items()
        }
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": declared}))
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc" / "config").write_text("[core]\n analytics = false\n no_scm = true\n")
        return tmp_path

    return make


def test_stages_run_at_the_same_time_each_after_what_it_reads(project, capfd):
    folder = project(left=("right",), right=("left",), sum=("", "left", "right"), other=("",))
    assert side_by_side.make(folder, ["sum"], 2) == {"left", "right", "sum"}
    assert (folder / "sum").read_text() == "sumleftright"
    assert not (folder / "other").exists()
    shown = capfd.readouterr().out
    assert "left | threads 2\n" in shown and "sum | threads 2\n" in shown
    (folder / "right").unlink()
    assert side_by_side.make(folder, ["sum", "other"], None) == {"other"}
    assert (folder / "right").read_text() == "right"  # from the cache


def test_a_failure_ends_what_runs_beside_and_starts_nothing_more(project):
    folder = project(slow=("never",), broken=("slow",), sum=("", "slow", "broken"))
    started = time.monotonic()
    with pytest.raises(dvc_process.StageError, match="broken"):
        side_by_side.make(folder, ["sum"], 2)
    assert time.monotonic() - started < 50
    assert not any((folder / name).exists() for name in ("slow", "broken", "sum", "sum.started"))


def test_an_interruption_ends_all_stages(project):
    folder = project(slow=("never",))
    source = Path(side_by_side.__file__).parents[1]
    own = {**os.environ, "PYTHONPATH": str(source)}
    caller = subprocess.Popen([sys.executable, "-c", CALLER], env=own, stderr=subprocess.DEVNULL)
    marker, patience = folder / "slow.started", threading.Event()
    while not (marker.exists() and marker.read_text()):
        assert caller.poll() is None
        patience.wait(0.05)
    caller.send_signal(2)
    assert caller.wait(30)
    until = time.monotonic() + 15
    while Path(f"/proc/{marker.read_text()}").exists() and time.monotonic() < until:
        patience.wait(0.05)
    assert not Path(f"/proc/{marker.read_text()}").exists()
