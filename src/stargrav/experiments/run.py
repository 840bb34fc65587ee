"""The runner: one experiment from its claim to its stored result and its MLflow run.

All that MLflow gets is read back from the stored result, so that a result which is reused shows
the same metrics, table, figures and verdict as when it was measured.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from sklearn.pipeline import Pipeline

import stargrav
from stargrav import ranks
from stargrav.abandoned import at_work, end_abandoned
from stargrav.data import store
from stargrav.data.loader import Clean
from stargrav.experiments import figures, results
from stargrav.experiments.inputs import Inputs
from stargrav.experiments.present import criterion_text, text
from stargrav.experiments.results import FIGURES, Result
from stargrav.experiments.spec import Experiment
from stargrav.experiments.steps import Bench, Fitted, bench
from stargrav.files import alone, whole
from stargrav.inference import served
from stargrav.inference.draws import pixels
from stargrav.models.probes import as_head

MADE_UP_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")  # by MLflow, for a run without one
PIPELINE = "pipeline"  # MLflow's experiment of the stages
DIGEST_LENGTH = 36  # what MLflow's tables hold
SERVING = ("lightgbm", "numpy", "safetensors", "scikit-learn", "skops", "torch")


def run(
    experiment: Experiment,
    parameters: Mapping[str, Any],
    inputs: Inputs,
    out_dir: Path,
    profile: str,
    seed: int,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    tracking_uri: str | None,
) -> Result:
    """Run an experiment, store its result, log it and print its table.

    Args:
        experiment: of the registry.
        parameters: overrides of its defaults.
        inputs: where its data lie.
        out_dir: the result's folder; one that exists is replaced once the new one is whole.
        profile: `quick` is never judged.
        seed: of everything random in it.
        settings: resolved settings, to be logged.
        hashes: name -> hash of the data and the code that it depends on.
        tracking_uri: MLflow's store; none: nothing is logged.

    Raises:
        InputError: a parameter or an input cannot be used.
    """
    resolved = experiment.resolve(parameters)
    inputs = inputs.of(experiment.needs)
    scratch = out_dir.with_name(f".{out_dir.name}.training")
    accelerator = settings.get("accelerator", "auto")
    with _mlflow_run(experiment.programme, experiment.name, tracking_uri):
        started = time.perf_counter()
        identity = {**hashes, "parameters": repr(sorted(resolved.items()))}
        ranks.meet(experiment.stage)
        with bench(Bench(inputs, seed, accelerator, scratch, identity)):
            table = experiment.function(**resolved)
        seconds = time.perf_counter() - started
        conditions = {"profile": profile, "seed": seed, "parameters": resolved}
        conditions |= _conditions(settings, inputs)
        with whole(out_dir) as folder:
            result = results.write(folder, experiment, table, conditions)
            figures.draw(result, experiment.figures, folder / FIGURES)
            if experiment.serves is not None:
                _store_model(table.case(experiment.serves).score.model, inputs, folder / "model")
        shutil.rmtree(scratch, ignore_errors=True)
        result = Result(out_dir)
        if tracking_uri is not None:
            _log(result, experiment, inputs, settings, hashes, reused=False)
            mlflow.log_metric("seconds", seconds)
            _log_model(result, inputs)
    print(text(result))
    return result


def follow(
    experiment: Experiment,
    parameters: Mapping[str, Any],
    inputs: Inputs,
    seed: int,
    accelerator: str,
) -> None:
    """Do beside rank 0 what `run` does there, to share its trainings; nothing is stored.

    Args:
        experiment, parameters, inputs, seed: as for `run`.
        accelerator: for training: auto, cpu or gpu.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        bench(Bench(inputs, seed, accelerator, Path(scratch))),
    ):
        experiment.function(**experiment.resolve(parameters))


def log_reused(
    experiment: Experiment,
    folder: Path,
    inputs: Inputs,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    tracking_uri: str | None,
) -> Result:
    """Show a stored result again: on an MLflow run, tagged `reused`, and as a printed table.

    Args:
        experiment: whose result it is.
        folder: as `run` left it.
        inputs, settings, hashes, tracking_uri: as for `run`.

    Raises:
        InputError: the folder holds no result.
    """
    result, inputs = Result(folder), inputs.of(experiment.needs)
    shown = text(result)
    figures.draw(result, experiment.figures, folder / FIGURES)  # no part of what DVC stores
    if tracking_uri is not None:
        with _mlflow_run(experiment.programme, experiment.name, tracking_uri):
            _log(result, experiment, inputs, settings, hashes, reused=True)
            _log_model(result, inputs)
    print(shown)
    return result


def log_stage(
    name: str,
    folder: Path,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    reused: bool,
    tracking_uri: str,
) -> None:
    """Log a stage of the pipeline that was asked for by itself, in MLflow's experiment `pipeline`.

    Args:
        name: of the stage.
        folder: what it made; its `history.csv`, if there is one, gives metrics per epoch, and
            figures in folders of it are shown under the same names.
        settings: those that it depends on.
        hashes: name -> hash of what it read, of its code and of what it made.
        reused: whether nothing had changed.
        tracking_uri: MLflow's store.
    """
    with _mlflow_run(PIPELINE, name, tracking_uri):
        mlflow.log_params({f"settings.{key}": value for key, value in _flat(settings).items()})
        mlflow.set_tags({"stage": name, "reused": str(reused).lower(), **_hash_tags(hashes)})
        history = folder / "history.csv"
        if history.is_file():
            _log_history(pd.read_csv(history).assign(case=name), name)
        _log_figures(folder)


def find_runs(found: Iterable[Result], tracking_uri: str) -> dict[str, str]:
    """The latest MLflow run that shows each stored result; none where it was logged elsewhere.

    Args:
        found: stored results.
        tracking_uri: MLflow's store; a database file that does not exist holds no runs.

    Returns:
        experiment -> run id.
    """
    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and not Path(database).is_file():
        return {}
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    client = mlflow.MlflowClient(tracking_uri)
    runs = {}
    for summary in (result.summary for result in found):
        name, where = summary["experiment"], client.get_experiment_by_name(summary["programme"])
        shown = f"tags.experiment = '{name}' and tags.verdict = '{summary['verdict']}'"
        for run in client.search_runs([where.experiment_id], shown) if where else ():
            if all(run.data.tags.get(tag) == said for tag, said in _criterion_tags(summary)):
                runs.setdefault(name, run.info.run_id)
    return runs


def _criterion_tags(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"criterion.{number}", criterion_text(criterion))
        for number, criterion in enumerate(summary["criteria"], start=1)
    ]


@contextmanager
def _mlflow_run(where: str, name: str, tracking_uri: str | None) -> Iterator[None]:
    """The run that `mlflow run` has started, or a new one in the MLflow experiment `where`."""
    if tracking_uri is None:
        yield
        return
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="mlflow.*")
        mlflow.set_tracking_uri(tracking_uri)
        adopted = "MLFLOW_RUN_ID" in os.environ
        with alone(Path(tracking_uri)):  # two processes cannot make one database
            number = None if adopted else _experiment_id(where, tracking_uri)
        end_abandoned(mlflow.MlflowClient(tracking_uri))
        with mlflow.start_run(experiment_id=number) as started, at_work(started.info.run_id):
            if MADE_UP_NAME.fullmatch(started.info.run_name or ""):
                mlflow.set_tag("mlflow.runName", name)
            yield


def _experiment_id(programme: str, tracking_uri: str) -> str:
    found = mlflow.get_experiment_by_name(programme)
    if found is not None:
        return found.experiment_id
    beside = None  # a server has its own place for artifacts, a database file has none
    if tracking_uri.startswith("sqlite:///"):
        database = Path(tracking_uri.removeprefix("sqlite:///"))
        beside = (database.resolve().parent / "mlruns" / programme).as_uri()
    try:
        return mlflow.create_experiment(programme, artifact_location=beside)
    except MlflowException:  # another process was faster
        return mlflow.get_experiment_by_name(programme).experiment_id


def _conditions(settings: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Under which conditions the stars were observed: told by the data set, not by settings."""
    spectra = store.read_spectra(inputs.folder(inputs.data) / "test.h5")
    magnitude = "not known"
    if "mag" in spectra.stars:
        low, high = spectra.stars["mag"].agg(["min", "max"])
        magnitude = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
    conditions = {"source": settings.get("source", "not known"), "magnitude": magnitude}
    conditions["error"] = spectra.error_kind
    return conditions


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _store_model(fitted: Fitted, inputs: Inputs, folder: Path) -> None:
    linear = isinstance(fitted.estimator, Pipeline)
    head = as_head(fitted.estimator) if linear else fitted.estimator
    clean = Clean(store.read_spectra(inputs.folder(inputs.data) / "valid.h5"))
    rows = np.arange(len(clean.spectra))
    seen = pixels(clean, rows, ("flux", "error"), fitted.noise_level, inputs.seed, 0)
    teacher = inputs.folder("train@teacher")
    served.store(head, fitted.readout, fitted.target, teacher, np.split(seen, 2, axis=1), folder)


def _log(
    result: Result,
    experiment: Experiment,
    inputs: Inputs,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    reused: bool,
) -> None:
    summary = result.summary
    parameters = summary["conditions"]["parameters"]
    mlflow.log_params({f"experiment.{key}": value for key, value in parameters.items()})
    mlflow.log_params({f"settings.{key}": value for key, value in _flat(settings).items()})
    tags = {key: summary[key] for key in ("experiment", "programme", "plan", "claim", "verdict")}
    tags |= _hash_tags(hashes)
    tags |= dict(_criterion_tags(summary))
    tags |= {"profile": summary["conditions"]["profile"], "reused": str(reused).lower()}
    mlflow.set_tags(tags)
    for stage in experiment.needs:
        source = LocalArtifactDatasetSource(inputs.folder(stage).resolve().as_uri())
        digest = hashes[stage][:DIGEST_LENGTH] if stage in hashes else None
        mlflow.log_input(MetaDataset(source, name=stage, digest=digest), context="experiment")
        _log_figures(inputs.folder(stage), f"figures/{stage.replace('@', '-')}/")
    _log_metrics(summary["metrics"])
    _log_history(result.history, summary["serves"])
    mlflow.log_table(result.table, "table.json")
    for path in sorted(result.folder.iterdir()):
        if path.is_file():
            mlflow.log_artifact(str(path), "result")
    for path in result.figures:
        mlflow.log_artifact(str(path), "figures")
    if len(result.table) > 1:
        for row in result.table.to_dict("records"):
            _log_case(result, row)
    for row in result.trials.to_dict("records"):
        _log_trial(row)


def _log_figures(folder: Path, under: str = "") -> None:
    """The figures that a stage has made, which lie in folders of what it made."""
    for path in sorted(folder.glob("*/*.png")):
        mlflow.log_artifact(str(path), f"{under}{path.parent.name}")


def _hash_tags(hashes: Mapping[str, str]) -> dict[str, str]:
    return {f"hash.{name.replace('@', '-')}": value for name, value in hashes.items()}


def _log_model(result: Result, inputs: Inputs) -> None:
    """The served model, as files that MLflow loads by `served._load_pyfunc`: nothing pickled."""
    if not (result.folder / "model").is_dir():
        return
    spectra = store.read_spectra(inputs.folder(inputs.data) / "test.h5")
    example = {"flux": np.array(spectra.flux[:2]), "error": np.array(spectra.error[:2])}
    _, _, target, _ = served.read(result.folder / "model")
    numbers = np.dtype(np.float32)
    pixels = (-1, len(spectra.wave))
    mlflow.pyfunc.log_model(
        name="model",
        loader_module=served.__name__,
        data_path=str(result.folder / "model"),
        code_paths=[str(Path(stargrav.__file__).parent)],
        signature=ModelSignature(
            inputs=Schema([TensorSpec(numbers, pixels, name) for name in example]),
            outputs=Schema([TensorSpec(numbers, (-1,), target)]),
        ),
        input_example=example,
        pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in SERVING],
    )


def _log_case(result: Result, row: Mapping[str, Any]) -> None:
    """A child run for one case of a sweep."""
    axes = result.summary["axes"]
    case = ",".join(row[axis] for axis in axes)
    where = mlflow.active_run().info.experiment_id
    with mlflow.start_run(experiment_id=where, run_name=case, nested=True):
        mlflow.log_params({f"case.{axis}": row[axis] for axis in axes})
        numbers = {k: v for k, v in row.items() if k not in axes and isinstance(v, int | float)}
        mlflow.log_metrics(numbers)
        if result.seconds:
            mlflow.log_metric("seconds", result.seconds[case])
        _log_history(result.history, case)


def _log_trial(row: dict[str, Any]) -> None:
    """A child run for one trial of a search: settings, state and R2 of the valid stars."""
    name = f"{row['case']} trial {row['trial']}"
    known = {key: x for key, x in row.items() if not (isinstance(x, float) and np.isnan(x))}
    where = mlflow.active_run().info.experiment_id
    with mlflow.start_run(experiment_id=where, run_name=name, nested=True):
        mlflow.set_tags({f"trial.{key}": known.pop(key) for key in ("case", "trial", "state")})
        if "valid_r2" in known:
            mlflow.log_metric("valid_r2", known.pop("valid_r2"))
        mlflow.log_params({f"trial.{key}": value for key, value in known.items()})


def _log_metrics(metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Metrics and the ends of their intervals: r2[ridge,1k] -> r2/ridge/1k, .../low, .../high."""
    logged = {}
    for key, found in metrics.items():
        name = key.replace("[", "/").replace(",", "/").rstrip("]")
        logged |= {name: found["value"]}
        logged |= {f"{name}/{end}": found[end] for end in ("low", "high")}
    mlflow.log_metrics(logged)


def _log_history(history: pd.DataFrame, case: str | None) -> None:
    """The training curves of one case, epoch by epoch."""
    for row in history[history["case"] == case].to_dict("records"):
        epoch = int(row.pop("epoch"))
        numbers = {k: v for k, v in row.items() if k != "case" and np.isfinite(v)}
        mlflow.log_metrics(numbers, step=epoch)
