"""The search: what it finds, what it gives up, and what a kill leaves of it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest

from stargrav.training.search import report, search

STEPS = 4


@dataclass(frozen=True)
class Hill:
    """R2 falls off from x = .7 and y = "b"; kept per process in a log. Trial `stop` is endless."""

    log: Path
    stop: int | None = None
    pause: float = 0.0

    def __call__(self, trial):
        x = trial.suggest_float("x", 0, 1)
        y = trial.suggest_categorical("y", ["a", "b"])
        value = 1 - (x - 0.7) ** 2 - 0.3 * (y == "a")
        with self.log.open("a") as log:
            log.write(json.dumps([trial.number, os.getpid(), x, y]) + "\n")
        time.sleep(self.pause)
        if trial.number == self.stop:
            time.sleep(60)
        for step in range(STEPS):
            report(trial, step, value * (step + 1) / STEPS)
        return value


def told(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def studied(folder):
    (path,) = folder.glob("*.db")
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    return optuna.load_study(study_name="search", storage=storage).trials


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search of 16 trials from start to end."""
    folder = tmp_path_factory.mktemp("whole")
    found = search(Hill(folder / "log"), 16, folder, seed=3, first={"x": 0.1, "y": "a"})
    return folder, found


def test_better_settings_are_found_than_the_first(whole):
    _, (best, trials) = whole
    assert best["y"] == "b" and abs(best["x"] - 0.7) < 0.2
    assert trials[0]["x"] == 0.1 and trials[0]["y"] == "a"
    assert [row["trial"] for row in trials] == list(range(1, 17))
    complete = [row["valid_r2"] for row in trials if row["state"] == "complete"]
    assert max(complete) == pytest.approx(1 - (best["x"] - 0.7) ** 2)


def test_what_falls_behind_is_given_up(whole):
    folder, (_, trials) = whole
    pruned = [trial for trial in studied(folder) if trial.state.name == "PRUNED"]
    assert {"complete", "pruned"} == {row["state"] for row in trials} and len(pruned) > 1
    assert all(len(trial.intermediate_values) < STEPS for trial in pruned)
    kept = search(Hill(folder / "log"), 9, folder, seed=3, warmup=STEPS)
    assert {row["state"] for row in kept.trials} == {"complete"}


def test_a_search_is_gone_on_with_and_not_done_again(whole):
    folder, (best, trials) = whole
    before = len(told(folder / "log"))
    again = search(Hill(folder / "log"), 16, folder, seed=3, first={"x": 0.1, "y": "a"})
    assert again == (best, trials) and len(told(folder / "log")) == before
    more = search(Hill(folder / "log"), 18, folder, seed=3, first={"x": 0.1, "y": "a"})
    assert more.trials[:16] == trials and len(told(folder / "log")) == before + 2


def test_another_search_is_another_study(tmp_path):
    for number, change in enumerate(({}, {"seed": 4}, {"identity": {"data": "x"}}), start=1):
        search(Hill(tmp_path / "log"), 2, tmp_path, **{"seed": 3, **change})
        assert len(told(tmp_path / "log")) == 2 * number


@pytest.mark.parametrize("stop", [0, 8])
def test_a_killed_search_loses_only_the_trial_under_way(whole, tmp_path, stop):
    """Run again, it tries that one's settings again and ends as the one that was not killed."""
    log = tmp_path / "log"
    script = (
        "import sys; from pathlib import Path; from test_search import Hill, search\n"
        f"search(Hill(Path({str(log)!r}), {stop}), 16, Path({str(tmp_path)!r}), seed=3, "
        "first={'x': 0.1, 'y': 'a'})"
    )
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    killed = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": here}
    )
    until = time.monotonic() + 120
    while (not log.exists() or len(told(log)) <= stop) and time.monotonic() < until:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert [trial.state.name for trial in studied(tmp_path)][stop:] == ["RUNNING"]
    found = search(Hill(log), 16, tmp_path, seed=3, first={"x": 0.1, "y": "a"})
    assert found == whole[1]
    states = [trial.state.name for trial in studied(tmp_path)]
    assert states[stop] == "FAIL" and states.count("FAIL") == 1
    retried = told(log)[stop + 1]
    assert retried[0] == stop + 1 and retried[2:] == told(log)[stop][2:]
    assert len(told(log)) == 17


def test_two_processes_share_the_trials(tmp_path):
    found = search(Hill(tmp_path / "log", pause=0.2), 9, tmp_path, seed=3, workers=2)
    lines = told(tmp_path / "log")
    by = {process: sum(line[1] == process for line in lines) for _, process, *_ in lines}
    assert sorted(by.values()) == [4, 5] and os.getpid() not in by
    assert sorted(line[0] for line in lines) == list(range(9)) and len(found.trials) == 9
    assert len({line[2] for line in lines}) == 9  # no two draw the same


def test_a_failure_is_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError):
        search(_broken, 2, tmp_path, seed=3)


def _broken(trial):
    return 1 / 0 * trial.suggest_float("x", 0, 1)
