"""The pipeline as dvc.yaml declares it, and the whole of it at `quick` in a fresh clone."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import warm_start
import yaml

from stargrav import pipeline, settings
from stargrav.errors import InputError
from stargrav.experiments import registry
from stargrav.stages import MODULES

ROOT = Path(__file__).parents[1]
WHOLE_PIPELINE = 1080  # seconds, at most, on a busy machine

pytestmark = pytest.mark.timeout(WHOLE_PIPELINE)


def test_stages_entry_points_and_parameters_agree():
    graph = pipeline.stages(ROOT)
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    commands = {body["command"] for body in entry_points.values()}
    for name in MODULES:
        assert name in graph
        assert f"PYTHONPATH=src stargrav stage {name}" in commands
    for name, experiment in registry().items():
        assert experiment.stage in graph
        assert entry_points[name]["command"] == f"PYTHONPATH=src stargrav run {name}"
        assert name in yaml.safe_load((ROOT / "params.yaml").read_text())["experiments"]


def test_every_profile_has_the_sections_that_stages_depend_on():
    """DVC refuses to run a stage one of whose parameters is missing."""
    named = set(re.findall(r"profiles\.\$\{profile\}\.(\w+)", (ROOT / "dvc.yaml").read_text()))
    assert named == set(settings.PROFILED)  # what else a profile said, DVC would not see
    for profile, sections in yaml.safe_load((ROOT / "params.yaml").read_text())[
        "profiles"
    ].items():
        assert named <= set(sections), profile


def test_every_code_dependency_exists():
    for stage in pipeline.stages(ROOT).values():
        for path in stage.code:
            assert (ROOT / path).exists(), f"{stage.name}: {path}"


# What decides whether a stage works, not what it makes; what draws a result, which is no part of
# it; and stages that are declared themselves.
DECLARED = {"stages.splits", "stages.teacher"}  # the code of these is named by their own stages
DRAWS = "experiments.figures"
NEUTRAL = {
    *DECLARED,
    DRAWS,
    *("abandoned", "errors", "files", "settings", "stages", "spectrum"),
    *("processes", "progress", "ranks"),
    *("data.room", "data.validate", "training.device", "physics.grid"),
    *("models", "models.heads", "models.probes", "models.student", "models.towers"),
    *("models.spectral", "models.channels", "models.vit", "models.answers"),
    *("models.dncnn", "models.flow", "models.gaussian", "models.unet1d"),
    *("experiments", "experiments.present"),
}


@cache
def named(path):
    """Names of the modules of stargrav, or of things in them, that a file imports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stargrav"):
            name = node.module.removeprefix("stargrav").removeprefix(".")
            found += [name, *(f"{name}.{alias.name}".strip(".") for alias in node.names)]
    return [name for name in found if name]


def imported(module, seen):
    """Names of the modules of stargrav that a module needs, itself included."""
    path = ROOT / "src" / "stargrav" / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in seen or not path.exists():
        return
    seen.add(module)
    if module in (*DECLARED, DRAWS) and len(seen) > 1:
        return
    for name in named(path):
        imported(name, seen)


def test_stages_depend_on_the_code_that_they_import():
    graph = pipeline.stages(ROOT)
    roots = {name: f"stages.{module}" for name, module in MODULES.items()}
    roots |= {e.stage: f"experiments.{e.module}" for e in registry().values()}
    for name, module in roots.items():
        seen = set()
        imported(module, seen)
        declared = [path.removeprefix("src/stargrav/") for path in graph[name].code]
        for item in seen - NEUTRAL:
            path = item.replace(".", "/")
            covered = any(path == d.removesuffix(".py") or path.startswith(d) for d in declared)
            folder = (ROOT / "src" / "stargrav" / path).is_dir()
            assert covered or folder, f"{name} imports {item}, which dvc.yaml does not name"


def test_a_stage_that_reads_another_depends_on_it():
    graph = pipeline.stages(ROOT)
    assert graph["latents@base"].needs == ("dataset", "train@teacher")
    assert graph["latents@observed"].needs == ("dataset", "train@teacher_observed")
    assert graph["dataset"].needs == ("splits",)
    assert graph["train@teacher"].reads_source


def test_key_follows_what_a_stage_depends_on_and_nothing_else(tmp_path):
    library = tmp_path / "library.h5"
    library.write_bytes(b"one")

    def keys(**overrides):
        chosen = settings.load(ROOT / "params.yaml", {"source": str(library), **overrides})
        graph = pipeline.stages(ROOT)
        return {name: pipeline.stage_key(ROOT, chosen, graph, name) for name in MODULES}

    before = keys()
    assert keys() == before
    other_teacher = keys(**{"teacher.epochs": "77"})
    assert {n for n in before if before[n] != other_teacher[n]} == {
        name for name in MODULES if name.startswith(("train@", "latents@", "students"))
    }
    library.write_bytes(b"two")
    assert all(before[name] != key for name, key in keys().items())


def test_stage_is_the_default_one_until_something_it_depends_on_differs():
    def own(**overrides):
        chosen = settings.load(ROOT / "params.yaml", overrides)
        graph = pipeline.stages(ROOT)
        return {n for n in MODULES if not pipeline.is_default(ROOT, chosen, graph, n)}

    if not (ROOT / "data" / "library.h5").exists():
        pytest.skip("the library has not been pulled")
    assert own() == own(accelerator="cpu") == set()
    assert own(**{"latents.base.draws": "7"}) == {"latents@base", "students"}
    survey = {"survey", "survey_limits", "vit"}  # has stars of its own
    assert own(**{"splits.test": "7"}) == set(MODULES) - survey
    assert own(**{"survey.test": "70"}) == survey


def test_the_remote_in_the_repository_is_small():
    """Library, teachers and results; `dvc gc --workspace --cloud` drops what was replaced."""
    files = [path for path in (ROOT / ".dvcremote").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15e6


def test_root_is_found_from_below_and_its_absence_is_told(tmp_path):
    assert pipeline.project_root(ROOT / "src" / "stargrav") == ROOT
    with pytest.raises(InputError, match="MLproject"):
        pipeline.project_root(tmp_path)


class Clone:
    """A fresh clone in which the quick pipeline runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        params = folder / "params.yaml"
        text = params.read_text()
        assert "\nprofile: laptop\n" in text
        params.write_text(text.replace("\nprofile: laptop\n", "\nprofile: quick\n"))
        (folder / "dvc.lock").unlink()  # of laptop stages, and rewritten after every stage

    @property
    def environment(self):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        left_out = ("MLFLOW", "DVC", "OMP")
        own = {key: v for key, v in os.environ.items() if not key.startswith(left_out)}
        return {
            **own,
            "PATH": path,
            "PYTHONPATH": str(self.folder / "src"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def start(self, *command, environment=None):
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment or self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, expect=0, environment=None):
        process = self.start(*command, environment=environment)
        output, _ = process.communicate(timeout=WHOLE_PIPELINE)
        assert process.returncode == expect, output
        return output

    def forget(self, stage):
        """Remove what a stage has made, and all that it could be restored from; its folder."""
        out = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"][stage]["outs"][0]
        cache = self.folder / ".dvc" / "cache"
        (cache / "files" / "md5" / out["md5"][:2] / out["md5"][2:]).unlink()
        shutil.rmtree(cache / "runs", ignore_errors=True)
        shutil.rmtree(self.folder / out["path"])
        return self.folder / out["path"]

    def files(self, *folders):
        return {
            path.relative_to(self.folder): path.read_bytes()
            for folder in folders
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return Clone(tmp_path_factory.mktemp("clone") / "stargrav")


@pytest.fixture(scope="module")
def built(clone, tmp_path_factory):
    """The whole pipeline; its stages, and they alone, are started warm."""
    folder = tmp_path_factory.mktemp("warm")
    start, address = [sys.executable, warm_start.__file__], str(folder / "socket")
    command = folder / "stargrav"
    command.write_text(f'#!/bin/sh\nexec {start[0]} -I -S {start[1]} "$@"\n')
    command.chmod(0o755)
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment = {**clone.environment, **threads, warm_start.SOCKET: address}
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    serve = [*start, "serve", address]
    with subprocess.Popen(serve, env=environment, start_new_session=True) as server:
        try:
            clone.run("dvc", "repro", "--pull", environment=environment)
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # its forks as well
    return clone


def test_repro_goes_from_library_to_report(built):
    for name in registry():
        assert name in (built.folder / "docs" / "results.md").read_text()
        table = pd.read_csv(built.folder / "artifacts" / "experiments" / name / "table.csv")
        assert len(table)
    assert "up to date" in built.run("dvc", "status")


def test_second_repro_reuses_everything(built):
    lock = (built.folder / "dvc.lock").read_bytes()
    output = built.run("dvc", "repro")
    assert "didn't change, skipping" in output
    assert "Running stage" not in output
    assert (built.folder / "dvc.lock").read_bytes() == lock


def test_killed_stage_is_made_again_and_is_the_same(built):
    lock = (built.folder / "dvc.lock").read_bytes()
    latents = built.forget("latents@base")
    process = built.start("dvc", "repro", "latents@base")
    partial = latents.with_name(".base.partial")
    deadline = time.monotonic() + 120
    while not partial.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not latents.exists()
    built.run("dvc", "repro")
    assert (built.folder / "dvc.lock").read_bytes() == lock
    assert not list((built.folder / "artifacts").rglob(".*.partial"))


def test_stages_side_by_side_make_the_same_bytes_as_one_after_the_other(built):
    """On one thread each: sums that several share differ in their last bit. (Results of
    experiments also hold the seconds that they took.)"""
    lock = (built.folder / "dvc.lock").read_bytes()
    for name in ("limits", "students"):
        built.forget(name)
    make = "from stargrav import pipeline, side_by_side as s; root = pipeline.project_root()"
    code = f"{make}; print(sorted(s.make(root, ['limits', 'students'], 2)))"
    assert "['limits', 'students']" in built.run(sys.executable, "-c", code)
    assert (built.folder / "dvc.lock").read_bytes() == lock


def test_figures_are_drawn_whenever_a_result_is_shown_and_not_versioned(built):
    figures = built.folder / "artifacts" / "experiments" / "encoder_mlp" / "figures"
    shutil.rmtree(figures)
    assert "up to date" in built.run("dvc", "status")
    built.run("stargrav", "run", "encoder_mlp")
    assert {path.stem for path in figures.iterdir()} == set(registry()["encoder_mlp"].figures)
    assert "up to date" in built.run("dvc", "status")


def test_pages_of_the_results_at_hand_run_nothing(built):
    lock, page = built.folder / "dvc.lock", built.folder / "docs" / "results.md"
    result = built.folder / "artifacts" / "experiments" / "encoder_mlp"
    before, whole_page = lock.read_bytes(), page.read_bytes()
    result.rename(result.with_name("elsewhere"))
    try:
        told = built.run("stargrav", "report", "--stored")
        assert "1 of " in told and "dvc pull --allow-missing" in told
        assert "said about: `encoder_mlp` (" in page.read_text() and not result.exists()
    finally:
        result.with_name("elsewhere").rename(result)
    built.run("stargrav", "report", "--stored")
    assert (lock.read_bytes(), page.read_bytes()) == (before, whole_page)


def test_mlflow_run_shows_a_stored_result_again(built):
    output = built.run("mlflow", "run", ".", "-e", "encoder_mlp", "--env-manager", "local")
    assert "the stored result is shown" in output
    assert "verdict: not judged" in output
    assert "ridge" in output and "mlp" in output


def test_mlflow_run_with_other_settings_keeps_to_itself(built):
    before = built.files("artifacts/latents", "artifacts/experiments", "docs")
    command = ("mlflow", "run", ".", "-e", "linear_probe", "--env-manager", "local")
    output = built.run(*command, "-P", "alpha=10", "-P", "splits.test=64")
    assert "building" in output
    assert built.files("artifacts/latents", "artifacts/experiments", "docs") == before
    assert "unchanged, reused" in built.run(*command, "-P", "alpha=10", "-P", "splits.test=64")


def test_mistake_under_dvc_is_one_line_and_exit_code_2(built):
    teacher = built.folder / "artifacts" / "teacher" / "weights.safetensors"
    whole = teacher.read_bytes()
    teacher.unlink()
    teacher.write_bytes(whole[:100])
    try:
        environment = {**built.environment, "DVC_STAGE": "latents@base"}
        done = subprocess.run(
            ["stargrav", "stage", "latents@base"],
            cwd=built.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    finally:
        teacher.unlink()
        teacher.write_bytes(whole)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "weights.safetensors" in done.stderr
