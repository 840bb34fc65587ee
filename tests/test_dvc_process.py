"""DVC in a process of its own: who ends with whom, and what is warned of; with tiny stages."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stargrav import dvc_process
from stargrav.errors import InputError

STAGE = """
import os, pathlib, signal, sys, time
from stargrav.dvc_process import MISTAKE, RAN, end_with_caller, tell
signal.signal(signal.SIGTERM, signal.default_int_handler)
end_with_caller()
pathlib.Path("pid").write_text(str(os.getpid()))
kind = sys.argv[1]
if kind == "mistaken":
    tell(MISTAKE, '["file", "field", "1", "2"]')
    sys.exit(2)
if kind == "slow":
    try:
        time.sleep(60)
    finally:
        pathlib.Path("tidied").touch()
pathlib.Path(kind).write_text("made")
tell(RAN + kind)
"""
TOLD = "signal.signal(signal.SIGTERM, signal.default_int_handler)"
CALLER = "import sys, pathlib; from stargrav.dvc_process import dvc; dvc(pathlib.Path(), 'repro')"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes a DVC project of one stage, `quick`, `slow` or `mistaken`."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW", "DVC", "STARGRAV"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def make(kind):
        (tmp_path / "stage.py").write_text(STAGE)
        command = f"{sys.executable} stage.py {kind}"
        (tmp_path / "dvc.yaml").write_text(f"stages: {{one: {{cmd: {command}, outs: [{kind}]}}}}")
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc" / "config").write_text(
            "[core]\n analytics = false\n no_scm = true\n remote = near\n"
            "['remote \"near\"']\n url = ../remote\n"
        )
        return tmp_path

    return make


def appears(path, seconds=30):
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return path.exists()


def ends(pid, seconds=15):
    until = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def number_in(path):
    assert appears(path)
    while not path.read_text():
        time.sleep(0.05)
    return int(path.read_text())


def test_a_stage_ends_when_its_caller_is_killed(project):
    folder = project("slow")
    caller = subprocess.Popen([sys.executable, "-c", CALLER])
    stage = number_in(folder / "pid")
    time.sleep(0.3)
    assert Path(f"/proc/{stage}").exists() and not (folder / "tidied").exists()
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert ends(stage)
    assert (folder / "tidied").exists() and not (folder / "slow").exists()


def test_a_stage_ends_when_its_caller_is_told_to_end_in_the_background(project):
    """There, Ctrl-C is ignored."""
    folder = project("slow")
    deaf = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {TOLD}; {CALLER}"
    caller = subprocess.Popen([sys.executable, "-c", deaf])
    stage = number_in(folder / "pid")
    caller.send_signal(signal.SIGTERM)
    assert caller.wait(10) and ends(stage, 1)
    assert (folder / "tidied").exists()


@pytest.mark.parametrize("by_mlflow", [True, False])
def test_what_mlflow_has_started_ends_with_it_and_what_a_shell_has_does_not(project, by_mlflow):
    folder = project("slow")
    own = {"MLFLOW_RUN_ID": "1"} if by_mlflow else {}
    start = "import subprocess, sys; subprocess.run([sys.executable, 'stage.py', 'slow'])"
    starter = subprocess.Popen([sys.executable, "-c", start], env={**os.environ, **own})
    started = number_in(folder / "pid")
    starter.kill()
    starter.wait()
    try:
        assert ends(started, 10 if by_mlflow else 3) == by_mlflow
    finally:
        if not by_mlflow:
            os.kill(started, signal.SIGKILL)


def test_a_mistake_and_a_failure_are_told(project):
    folder = project("mistaken")
    with pytest.raises(InputError, match="file: field: found 1, expected 2"):
        dvc_process.dvc(folder, "repro")
    with pytest.raises(dvc_process.StageError, match="repro nothing"):
        dvc_process.dvc(folder, "repro", "nothing")


def test_a_second_command_waits_for_the_first(project, capfd):
    folder = project("quick")
    made = []
    with dvc_process.undisturbed(folder):
        second = threading.Thread(target=lambda: made.append(dvc_process.dvc(folder, "repro")))
        second.start()
        second.join(1.0)
        assert second.is_alive() and not (folder / "pid").exists()
    second.join(60)
    assert made == [{"quick"}] and dvc_process.BUSY in capfd.readouterr().out


def test_an_output_that_the_remote_lacks_is_made_without_a_warning(project, capfd):
    folder = project("quick")
    assert dvc_process.dvc(folder, "repro") == {"quick"}
    assert dvc_process.dvc(folder, "repro") == set()
    (folder / "quick").unlink()
    shutil.rmtree(folder / ".dvc" / "cache")
    capfd.readouterr()
    assert dvc_process.dvc(folder, "repro", "--pull") == {"quick"}
    shown = "".join(capfd.readouterr())
    assert "Running stage 'one'" in shown
    for text in dvc_process.MISSING:
        assert text not in shown
    # DVC by itself does warn, in these words
    (folder / "quick").unlink()
    shutil.rmtree(folder / ".dvc" / "cache")
    plain = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--pull"], capture_output=True, text=True
    )
    for text in dvc_process.MISSING:
        assert text in plain.stdout + plain.stderr
