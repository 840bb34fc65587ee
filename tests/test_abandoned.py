"""Runs of processes that were killed do not stay RUNNING; those at work are left alone."""

import subprocess
import sys
import tempfile

import pytest
from mlflow import MlflowClient

from stargrav.abandoned import at_work, end_abandoned
from stargrav.files import folder_of_marks

# MLflow's own, of how it reads its tables
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader")
WORKS = """
import sys, time
from stargrav.abandoned import at_work
with at_work(sys.argv[1]):
    print("at work", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_marks(tmp_path, monkeypatch):
    """Marks of this test's own, here and in the processes it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def store(tmp_path):
    """A client of a new store, and the experiment that runs go to."""
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return client, client.create_experiment("toy", (tmp_path / "mlruns").as_uri())


@pytest.fixture
def worker():
    """Starts a process that is at work on a run."""
    started = []

    def start(run: str) -> subprocess.Popen:
        command = [sys.executable, "-c", WORKS, run]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "at work\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def status(client, run):
    return client.get_run(run).info.status


def test_a_killed_run_is_ended_by_who_comes_next(store, worker):
    client, where = store
    run = client.create_run(where).info.run_id
    process = worker(run)
    assert end_abandoned(client) == [] and status(client, run) == "RUNNING"
    process.kill()
    process.wait()
    assert end_abandoned(client) == [run] and status(client, run) == "KILLED"
    assert end_abandoned(client) == [] and not any(folder_of_marks("runs").iterdir())


def test_a_run_lives_as_long_as_one_of_its_processes(store, worker):
    client, where = store
    run = client.create_run(where).info.run_id
    process = worker(run)
    with at_work(run):
        process.kill()
        process.wait()
        assert end_abandoned(client) == []
    assert status(client, run) == "RUNNING" and not any(folder_of_marks("runs").iterdir())


def test_a_status_that_was_set_stays(store):
    client, where = store
    run = client.create_run(where).info.run_id
    with pytest.raises(OSError, match="disk full"), at_work(run):
        raise OSError("disk full")
    client.set_terminated(run, "FAILED")
    assert end_abandoned(client) == [] and status(client, run) == "FAILED"
    assert not any(folder_of_marks("runs").iterdir())


def test_runs_of_other_stores_are_left_to_them(store, worker, tmp_path):
    client, where = store
    run = client.create_run(where).info.run_id
    process = worker(run)
    process.kill()
    process.wait()
    assert end_abandoned(MlflowClient(f"sqlite:///{tmp_path / 'other.db'}")) == []
    assert end_abandoned(client) == [run]
