"""The runner: what MLflow gets, what a crash leaves, what is shown again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from urllib.request import Request, urlopen

import mlflow
import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient

from stargrav.data import store as data
from stargrav.data.loader import NoisySpectra
from stargrav.errors import InputError
from stargrav.experiments import run as runner
from stargrav.experiments.inputs import Inputs, Parts
from stargrav.experiments.present import rows
from stargrav.experiments.results import Result
from stargrav.experiments.run import find_runs, log_reused, log_stage, run
from stargrav.experiments.spec import at_least, experiment
from stargrav.experiments.steps import Mlp, fit, latents, over, score
from stargrav.experiments.table import Table
from stargrav.files import folder_of_marks
from stargrav.inference.served import ServedModel
from stargrav.labels import LABELS
from stargrav.models.probes import as_head, ols, ridge
from stargrav.training.tasks import RegressionTask

SETTINGS = {
    "source": "data/library.h5",
    "accelerator": "cpu",
    "dataset": {"error": "noiseless"},
    "latents": {"base": {"readouts": [["enc_last", "global_mean"]]}},
}
HASHES = {"dataset": "d" * 64, "latents@base": "l" * 64, "code": "c" * 64}


@experiment(
    plan="toy 1",
    claim="A network reads log g from the latents",
    accept=[at_least("r2[mlp]", 0.3), at_least("r2[ols]", 0.999)],
    published={"r2[mlp]": 0.5},
    needs=("dataset", "train@teacher", "latents@base"),
    figures=("losses", "times"),
    serves="mlp",
)
def toy(epochs: int = 12, fresh_noise: bool = False) -> Table:
    """Least squares and a small network on the same latents."""
    z = latents("enc_pre_latent", "seg_mean_8")
    training = {"learning_rate": 1e-2, "weight_decay": 0.0, "batch_size": 64, "patience": 5}
    mlp = Mlp((16,), 0.0, epochs=epochs, fresh_noise=fresh_noise, **training)
    table = over(model={"ols": ols(), "mlp": mlp})
    for case in table:
        case.record(score(fit(case.model, z.train, z.valid), z.test))
    return table


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A tracking database of the tests' own, with its artifacts beside it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def done(inputs, store, tmp_path_factory):
    """The toy, run once and logged."""
    out = tmp_path_factory.mktemp("results") / "toy"
    return run(toy, {"epochs": 6}, inputs, out, "laptop", 3, SETTINGS, HASHES, store)


def latest(store, **tags):
    client = MlflowClient(store)
    where = [e.experiment_id for e in client.search_experiments()]
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return client, client.search_runs(where, query)[0]


def test_a_run_shows_what_was_measured(done, store):
    client, logged = latest(store, experiment="toy")
    summary = done.summary
    assert logged.info.status == "FINISHED"
    assert client.get_experiment(logged.info.experiment_id).name == toy.programme
    assert logged.data.params["experiment.epochs"] == "6"
    assert logged.data.params["settings.dataset.error"] == "noiseless"
    assert logged.data.metrics["r2/mlp"] == summary["metrics"]["r2[mlp]"]["value"]
    assert logged.data.metrics["r2/mlp/low"] < logged.data.metrics["r2/mlp"]
    tags = logged.data.tags
    assert tags["verdict"] == summary["verdict"] and tags["reused"] == "false"
    assert tags["hash.code"] == HASHES["code"] and "r2[mlp] >= 0.3" in tags["criterion.1"]
    inputs = {i.dataset.name: i.dataset.digest for i in logged.inputs.dataset_inputs}
    assert inputs.keys() == {"dataset", "train@teacher", "latents@base"}
    assert (inputs["dataset"], inputs["latents@base"]) == ("d" * 36, "l" * 36)


def test_the_run_that_shows_a_result_is_found(done, store, tmp_path):
    _, logged = latest(store, experiment="toy")
    assert find_runs([done], store) == {"toy": logged.info.run_id}
    shutil.copytree(done.folder, tmp_path / "other")
    metrics = tmp_path / "other" / "metrics.json"
    value = done.summary["criteria"][0]["value"]
    metrics.write_text(metrics.read_text().replace(str(value), str(value - 0.1)))
    assert find_runs([Result(tmp_path / "other")], store) == {}


def test_looking_for_runs_makes_no_database(done, tmp_path):
    assert find_runs([done], f"sqlite:///{tmp_path / 'mlflow.db'}") == {}
    assert not list(tmp_path.iterdir())


def test_epochs_and_cases_are_told(done, store):
    client, logged = latest(store, experiment="toy")
    losses = client.get_metric_history(logged.info.run_id, "valid_loss")
    assert [metric.step for metric in losses] == list(range(1, len(losses) + 1))
    assert [m.value for m in losses] == pytest.approx(list(done.history["valid_loss"]))
    parent = f"tags.`mlflow.parentRunId` = '{logged.info.run_id}'"
    children = client.search_runs([logged.info.experiment_id], parent)
    assert {child.data.params["case.model"] for child in children} == {"ols", "mlp"}
    table = mlflow.artifacts.load_dict(f"{logged.info.artifact_uri}/table.json")
    assert len(table["data"]) == 2
    figures = {f.path for f in client.list_artifacts(logged.info.run_id, "figures")}
    assert figures == {f"figures/{name}.png" for name in ("losses", "times")}


def test_a_stage_shows_its_epochs_and_its_figures(store, tmp_path):
    (tmp_path / "history.csv").write_text("epoch,valid_loss\n1,0.5\n2,0.4\n")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "epoch_002.png").write_bytes(b"a figure")
    log_stage("denoiser@prior", tmp_path, SETTINGS, HASHES, False, store)
    client, logged = latest(store, stage="denoiser@prior")
    losses = client.get_metric_history(logged.info.run_id, "valid_loss")
    assert [(metric.step, metric.value) for metric in losses] == [(1, 0.5), (2, 0.4)]
    figures = [f.path for f in client.list_artifacts(logged.info.run_id, "samples")]
    assert figures == ["samples/epoch_002.png"]


def test_verdict_and_criteria(done):
    first, second = done.summary["criteria"]
    assert first["published"] == 0.5 and second["published"] is None
    assert second["verdict"] == "fail" == done.summary["verdict"]


def test_the_served_model_answers_as_the_experiment_did(done, store, inputs):
    """Teacher, pooling and head on the noisy spectra give the predictions of the test stars."""
    spectra = data.read_spectra(inputs.folder("dataset") / "test.h5")
    (batch,) = NoisySpectra(spectra, len(spectra), noise_level=1.0, seed=42)
    flux, error = (batch[key].numpy() for key in ("noisy", "error"))
    level = np.median(flux, axis=1, keepdims=True)
    mlflow.set_tracking_uri(store)
    _, logged = latest(store, experiment="toy")
    model_id = logged.outputs.model_outputs[0].model_id
    served = mlflow.pyfunc.load_model(f"models:/{model_id}")
    found = served.predict({"flux": 3 * flux / level, "error": 3 * error / level})
    stored = done.predictions.query("case == 'mlp'")["prediction"]
    assert np.corrcoef(found["log_g"], stored)[0, 1] > 0.99  # not 1: the median is a noisy one
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        served.predict({"flux": flux[:, :9], "error": error[:, :9]})
    flux[3, 2] = np.nan
    with pytest.raises(InputError, match="flux, row 3"):
        served.predict({"flux": flux, "error": error})


@pytest.fixture
def server(done, store, tmp_path):
    """Where `mlflow models serve` answers for the model of the toy's run."""
    _, logged = latest(store, experiment="toy")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    of = ["-m", f"models:/{logged.outputs.model_outputs[0].model_id}", "--env-manager", "local"]
    call = [sys.executable, "-m", "mlflow", "models", "serve", *of, "-p", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store}
    with (tmp_path / "log").open("w") as log:
        started = {"cwd": tmp_path, "env": environment, "start_new_session": True}
        process = subprocess.Popen(call, stdout=log, stderr=log, **started)
    at = f"http://127.0.0.1:{port}"
    try:
        for _ in range(360):
            try:
                urlopen(f"{at}/ping", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.5)
        yield at
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_the_model_of_a_run_answers_over_http(server, done, store, inputs):
    """As the README says: {"inputs": {"flux": [[...]], "error": [[...]]}} gives log_g."""
    spectra = data.read_spectra(inputs.folder("dataset") / "test.h5")
    asked = {"flux": spectra.flux[:3].tolist(), "error": spectra.error[:3].tolist()}
    request = Request(
        f"{server}/invocations",
        json.dumps({"inputs": asked}).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=60) as answer:
        found = json.load(answer)["predictions"]["log_g"]
    own = ServedModel(done.folder / "model").predict(asked)["log_g"]
    np.testing.assert_allclose(found, own, rtol=1e-5)


def test_a_stored_result_is_shown_again(done, inputs, store, capsys):
    log_reused(toy, done.folder, inputs, SETTINGS, HASHES, store)
    _, logged = latest(store, experiment="toy", reused="true")
    assert logged.data.metrics["r2/mlp"] == done.summary["metrics"]["r2[mlp]"]["value"]
    shown = capsys.readouterr().out
    assert "verdict: fail" in shown and "r2 published" in shown


def test_published_values_do_not_stand_beside_other_spectra_or_sizes(done, tmp_path):
    assert "r2 published" in rows(done)[0]
    for change in ({"source": "spectra.h5"}, {"profile": "quick"}):
        folder = tmp_path / next(iter(change))
        shutil.copytree(done.folder, folder)
        summary = done.summary | {"conditions": done.summary["conditions"] | change}
        (folder / "metrics.json").write_text(json.dumps(summary))
        assert "r2 published" not in rows(Result(folder))[0]


def test_figures_of_what_it_reads_are_shown_with_it(done, inputs, store, tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "epoch_010.png").write_bytes(b"a figure")
    drawn = replace(inputs, folders={**inputs.folders, "latents@base": tmp_path})
    log_reused(toy, done.folder, drawn, SETTINGS, HASHES, store)
    client, logged = latest(store, experiment="toy")
    found = client.list_artifacts(logged.info.run_id, "figures/latents-base/samples")
    assert [f.path for f in found] == ["figures/latents-base/samples/epoch_010.png"]


def test_a_run_that_mlflow_started_is_adopted(done, inputs, store, monkeypatch, tmp_path):
    """`mlflow run` passes its run on, with -P values logged as text under their own names."""
    client = MlflowClient(store)
    made = client.create_run(client.create_experiment("other", tmp_path.as_uri()))
    client.log_param(made.info.run_id, "epochs", "6.0")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    log_reused(toy, done.folder, inputs, SETTINGS, HASHES, store)
    logged = client.get_run(made.info.run_id)
    assert logged.data.tags["verdict"] == "fail"
    assert logged.data.params["epochs"] == "6.0"
    assert logged.info.run_name == "toy"  # not the name that MLflow makes up


def test_a_crash_leaves_the_old_result_and_a_failed_run(done, inputs, store, monkeypatch):
    before = (done.folder / "metrics.json").read_bytes()
    monkeypatch.setattr(runner.figures, "draw", _break)
    with pytest.raises(OSError, match="disk full"):
        run(toy, {"epochs": 1}, inputs, done.folder, "laptop", 3, SETTINGS, HASHES, store)
    assert (done.folder / "metrics.json").read_bytes() == before
    _, logged = latest(store, **{"mlflow.runName": "toy"})
    assert logged.info.status == "FAILED"


def _break(*_):
    raise OSError("disk full")


def test_the_next_run_ends_a_killed_one(done, inputs, store, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = MlflowClient(store)
    killed = client.create_run(
        client.get_experiment_by_name(toy.programme).experiment_id
    ).info.run_id
    (folder_of_marks("runs") / killed).touch()  # as a kill leaves it
    log_reused(toy, done.folder, inputs, SETTINGS, HASHES, store)
    assert client.get_run(killed).info.status == "KILLED"


def test_an_interrupted_training_goes_on(done, inputs, tmp_path, monkeypatch):
    """Ctrl-C in an epoch: run again, it passes through the same losses to the same bytes."""
    first = run(toy, {"epochs": 6}, inputs, tmp_path / "first", "quick", 3, SETTINGS, {}, None)
    out = tmp_path / "again" / "toy"
    epochs = []

    def interrupted(task, batch, index):
        epochs.append(task.current_epoch)
        if task.current_epoch == 3:
            raise KeyboardInterrupt
        return training_step(task, batch, index)

    training_step = RegressionTask.training_step
    with monkeypatch.context() as patched:
        patched.setattr(RegressionTask, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(toy, {"epochs": 6}, inputs, out, "quick", 3, SETTINGS, {}, None)
    assert not out.exists() and max(epochs) == 3
    again = run(toy, {"epochs": 6}, inputs, out, "quick", 3, SETTINGS, {}, None)
    assert (again.folder / "metrics.json").read_bytes() == (
        first.folder / "metrics.json"
    ).read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["toy"]


def test_wrong_parameters_and_missing_stages_are_named(inputs, tmp_path):
    with pytest.raises(InputError, match="experiments.toy.epochs: found 'many'"):
        run(toy, {"epochs": "many"}, inputs, tmp_path / "a", "quick", 3, SETTINGS, {}, None)
    folders = {**inputs.folders, "latents@base": tmp_path / "nowhere"}
    with pytest.raises(InputError, match="nowhere: latents@base"):
        run(toy, {}, Inputs(folders), tmp_path / "a", "quick", 3, SETTINGS, {}, None)
    assert not list(tmp_path.iterdir())


def test_latents_of_another_data_set_are_refused(inputs, tmp_path):
    (tmp_path / "train.h5").symlink_to(inputs.folder("dataset") / "test.h5")
    folders = {**inputs.folders, "dataset": tmp_path}
    with pytest.raises(InputError, match="found 400 latents, expected 150, as stars"):
        Inputs(folders).latents("enc_last", "global_mean")


def test_a_label_that_is_the_same_for_all_stars_is_refused(inputs):
    z = inputs.latents("enc_last", "global_mean")
    model = fit(ols(), z.train, z.valid)
    for split, steps in (
        ("train", lambda changed: fit(ols(), changed.train, changed.valid)),
        ("valid", lambda changed: fit(ols(), changed.train, changed.valid)),
        ("test", lambda changed: score(model, changed.test)),
    ):
        changed = _constant(z, split, "log_g")
        message = (
            f"{split}.h5: dataset/params/log_g: found 2.5 for all {len(getattr(z, split))} stars"
        )
        for refused in (steps, Parts.varying_labels):
            with pytest.raises(InputError, match=message):
                refused(changed)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_another_label_that_is_the_same_for_all_stars_is_left_out(inputs, split, capsys):
    z = inputs.latents("enc_last", "global_mean")
    assert z.varying_labels() == LABELS and not capsys.readouterr().out
    found = _constant(z, split, "a_M").varying_labels()
    assert found == tuple(name for name in LABELS if name != "a_M")
    assert "left out: a_M" in capsys.readouterr().out


def _constant(z, split, label):
    part = getattr(z, split)
    stars = {**part.stars, label: np.full(len(part), 2.5)}
    return z._replace(**{split: replace(part, stars=stars)})


def test_smaller_samples_are_part_of_larger_ones(inputs):
    train = inputs.latents("enc_last", "global_mean").train
    small, large = (set(train.sample(n, seed=5).stars["log_g"]) for n in (50, 200))
    assert len(small) == 50 and small < large
    sample = train.sample(50, seed=5)
    row = int(np.flatnonzero(train.stars["T_eff"] == sample.stars["T_eff"][7])[0])
    assert np.array_equal(sample.features[1, 7], train.features[1, row])
    assert train.sample(10_000, seed=5) is train
    # rows and labels stay side by side over the draws
    assert np.array_equal(sample.rows()[57], sample.features[1, 7])
    assert sample.label("T_eff")[57] == sample.stars["T_eff"][7]


def test_fresh_latents_are_the_stored_ones_in_other_noise(inputs):
    """Noise differs from pass to pass, the spectra beneath do not; the same seed repeats it."""
    train = inputs.latents("enc_pre_latent", "seg_mean_8").train.sample(40, seed=1)
    fresh = inputs.fresh_latents(train, "log_g", 16, torch.device("cpu"))

    def one_pass(seed):
        fresh.generator.manual_seed(seed)
        batches = list(fresh)
        assert [len(batch["x"]) for batch in batches] == [16, 16, 8] and len(fresh) == 3
        x, y = (torch.cat([batch[key] for batch in batches]).numpy() for key in "xy")
        order = np.argsort(y[:, 0])
        return x[order], y[order, 0]

    (first, labels), (again, _), (other, _) = (one_pass(seed) for seed in (1, 1, 2))
    assert labels == pytest.approx(np.sort(train.stars["log_g"]), abs=1e-5)
    assert np.array_equal(first, again) and not np.isclose(first, other).any(axis=1).all()
    stored = train.features[:, np.argsort(train.stars["log_g"])]
    apart = np.abs(stored[0] - stored[1]).mean()
    assert np.abs(first - stored[0]).mean() == pytest.approx(apart, rel=0.1)


def test_a_network_trains_on_fresh_noise(inputs, tmp_path):
    given = {"epochs": 3, "fresh_noise": True}
    found = run(toy, given, inputs, tmp_path / "toy", "quick", 3, SETTINGS, {}, None)
    assert found.summary["metrics"]["r2[mlp]"]["value"] > 0.5


def test_a_linear_probe_as_head_answers_the_same(inputs):
    z = inputs.latents("enc_pre_latent", "seg_mean_8")
    probe = ridge(0.5).fit(z.train.rows(), z.train.label("log_g"))
    features = np.array(z.test.features[0])
    expected = probe.predict(features)
    assert as_head(probe).predict(features) == pytest.approx(expected, abs=1e-4)


def test_two_processes_may_make_the_database_at_once(tmp_path):
    code = "import sys; from stargrav.experiments.run import _mlflow_run\n"
    code += "with _mlflow_run('distill', sys.argv[1], sys.argv[2]): pass"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen([*command, name, uri], stderr=subprocess.PIPE) for name in "ab"]
    for process in both:
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told.decode()
    names = {run.info.run_name for run in MlflowClient(uri).search_runs(["1"])}
    assert names == {"a", "b"}
