"""The pipeline: data.dvc -> splits -> dataset -> train@teacher -> latents -> <programme>@<name>.

`dvc.yaml` is the one place that says what a stage needs (artifacts, code, settings). With the
settings of params.yaml, DVC decides what is rebuilt. With other settings (`-P profile=quick`,
`-P source=...`) the same stages are built beside the default ones, in
`artifacts/variants/<stage>-<key>`, where the key is a hash of all that dvc.yaml says the stage
depends on: what has been built once is found again, what changed has another key.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import yaml

from stargrav import ranks
from stargrav import settings as settings_module
from stargrav.dvc_process import RAN, dvc, tell
from stargrav.errors import InputError
from stargrav.files import hash_tree, whole
from stargrav.settings import Settings
from stargrav.stages import MODULES, Work

RESULTS = "artifacts/experiments/"  # where the stages of the experiments write


@dataclass(frozen=True)
class Stage:
    """One stage as dvc.yaml declares it.

    Attributes:
        name: DVC's name, e.g. "train@teacher".
        out: the folder it writes, relative to the project's root.
        needs: names of the stages whose folders it reads.
        code: source files and folders it depends on, relative to the root.
        sections: settings it depends on (dotted keys of `Settings`).
        reads_source: whether it reads the library or data set `source`.
    """

    name: str
    out: str
    needs: tuple[str, ...]
    code: tuple[str, ...]
    sections: tuple[str, ...]
    reads_source: bool


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that holds MLproject and dvc.yaml.

    Raises:
        InputError: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "MLproject").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise InputError(here, "folder", "no MLproject", "a folder inside a clone of Stargrav")


def stages(root: Path) -> dict[str, Stage]:
    """The stages of dvc.yaml by name, those of a `foreach` one by one."""
    declared = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    flat = {}
    for name, body in declared.items():
        if "foreach" in body:
            for key, item in body["foreach"].items():
                flat[f"{name}@{key}"] = _fill(body["do"], key, item or {})
        else:
            flat[name] = body
    producer = {_path(body["outs"][0]): name for name, body in flat.items()}
    return {name: _stage(name, body, producer) for name, body in flat.items()}


def build(root: Path, name: str, settings: Settings, folders: dict[str, Path], out: Path) -> None:
    """Build one stage's folder: aside, then renamed, so that it is whole or not there.

    Args:
        root: the project's root.
        name: a stage before the experiments, e.g. "latents".
        settings: resolved settings.
        folders: stage name -> folder, for each stage that it needs.
        out: the folder to make; one that exists is replaced.
    """
    module, work = _work(root, name, settings, folders)
    ranks.meet(name)
    with whole(out) as folder:
        module.build(work, folder)
    shutil.rmtree(work.scratch, ignore_errors=True)
    tell(RAN + name)


def follow(root: Path, name: str, settings: Settings) -> None:
    """Build a stage beside rank 0, to share its trainings; nothing of what is made is kept.

    Args:
        root: the project's root.
        name: a stage before the experiments.
        settings: resolved settings.
    """
    module, work = _work(root, name, settings, locate(root, settings, name))
    with tempfile.TemporaryDirectory() as folder:
        out, scratch = Path(folder) / "out", Path(folder) / "scratch"
        out.mkdir()
        module.build(replace(work, scratch=scratch), out)


def locate(root: Path, settings: Settings, target: str) -> dict[str, Path]:
    """Where a stage and all stages above it lie, made or not.

    Args:
        root: the project's root.
        settings: resolved settings.
        target: a stage's name.

    Returns:
        stage name -> folder.
    """
    graph = stages(root)
    return {
        name: root / graph[name].out
        if is_default(root, settings, graph, name)
        else variant_folder(root, settings, graph, name)
        for name in upstream(graph, target)
    }


class Ensured(NamedTuple):
    """What `ensure` found or made.

    Attributes:
        folders: stage name -> folder.
        made: names of the stages that had to be made.
    """

    folders: dict[str, Path]
    made: set[str]


def ensure(root: Path, settings: Settings, target: str) -> Ensured:
    """Make everything that a stage needs, reusing what has not changed, and say which is which.

    Args:
        root: the project's root.
        settings: resolved settings.
        target: a stage's name; it is made too unless it is an experiment.

    Returns:
        the target and all stages above it.
    """
    graph = stages(root)
    if target not in graph:
        raise InputError("dvc.yaml", "stage", target, "one of " + ", ".join(graph))
    wanted = upstream(graph, target)
    if graph[target].out.startswith(RESULTS):
        wanted.remove(target)
    fetch_library(root, settings)
    default = [name for name in wanted if is_default(root, settings, graph, name)]
    made = dvc(root, "repro", "--pull", *default) if default else set()
    folders = {name: root / graph[name].out for name in default}
    for name in wanted:
        if name in folders:
            continue
        folder = variant_folder(root, settings, graph, name)
        if folder.is_dir():
            print(f"{name}: unchanged, reused from {folder.relative_to(root)}", flush=True)
        else:
            print(f"{name}: building {folder.relative_to(root)}", flush=True)
            build(root, name, settings, folders, folder)
            made.add(name)
        folders[name] = folder
    return Ensured(folders, made)


def is_default(root: Path, settings: Settings, graph: dict[str, Stage], name: str) -> bool:
    """Whether a stage is the one that DVC manages: nothing it depends on differs from
    params.yaml."""
    default = settings_module.load(root / "params.yaml")
    if not (root / default.source).exists():
        return False
    own = stage_key(root, settings, graph, name)
    return own == stage_key(root, default, graph, name)


def variant_folder(root: Path, settings: Settings, graph: dict[str, Stage], name: str) -> Path:
    """Where a stage lies whose settings are not those of params.yaml."""
    key = stage_key(root, settings, graph, name)[:12]
    return root / "artifacts" / "variants" / f"{name.replace('@', '-')}-{key}"


def fetch_library(root: Path, settings: Settings) -> Path:
    """The library or data set that the settings name; the built-in one is pulled if absent.

    Raises:
        InputError: there is no such file or folder.
    """
    path = root / settings.source
    if not path.exists() and settings.source.startswith("data/") and "DVC_STAGE" not in os.environ:
        dvc(root, "pull", "data.dvc")
    if not path.exists():
        expected = "a library (grid HDF5, BOSZ folder) or a pfsspec data set"
        raise InputError(settings.source, "source", "no such file or folder", expected)
    return path


def hashes(root: Path, stage: Stage, folders: dict[str, Path]) -> dict[str, str]:
    """Hashes of what a stage reads: each stage's folder, and its code."""
    found = {need: hash_tree(folders[need]) for need in stage.needs}
    code = "".join(hash_tree(root / path) for path in stage.code)
    return {**found, "code": hashlib.sha256(code.encode()).hexdigest()}


def stage_key(root: Path, settings: Settings, graph: dict[str, Stage], name: str) -> str:
    """A hash of all that dvc.yaml says a stage depends on, and of what those depend on."""
    stage = graph[name]
    parts = {
        "settings": chosen_settings(stage, settings),
        "code": {path: hash_tree(root / path) for path in stage.code},
        "needs": {need: stage_key(root, settings, graph, need) for need in stage.needs},
        "source": hash_tree(root / settings.source) if stage.reads_source else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def chosen_settings(stage: Stage, settings: Settings) -> dict[str, object]:
    """The settings that a stage depends on."""
    values = settings.model_dump(mode="json")
    return {section: _lookup(values, section) for section in stage.sections}


def _work(
    root: Path, name: str, settings: Settings, folders: dict[str, Path]
) -> tuple[ModuleType, Work]:
    """The module that builds a stage, and what it is given."""
    graph = stages(root)
    key = stage_key(root, settings, graph, name)[:12]
    scratch = root / "artifacts" / "scratch" / f"{name.replace('@', '-')}-{key}"
    needed = {need: folders[need] for need in graph[name].needs}
    work = Work(name, settings, fetch_library(root, settings), needed, scratch)
    return import_module(f"stargrav.stages.{MODULES[name]}"), work


def _lookup(values: dict, key: str) -> object:
    for part in key.split("."):
        values = values.get(part, {})
    return values


def upstream(graph: dict[str, Stage], target: str) -> list[str]:
    """A stage and all that it rests on, each after what it needs."""
    order: list[str] = []

    def visit(name: str) -> None:
        for need in graph[name].needs:
            visit(need)
        if name not in order:
            order.append(name)

    visit(target)
    return order


def _fill(body: Any, key: str, item: dict) -> Any:
    """A stage's declaration with `${key}` and `${item.<field>}` replaced wherever they stand."""
    if isinstance(body, dict):
        return {name: _fill(value, key, item) for name, value in body.items()}
    if isinstance(body, list):
        return [_fill(value, key, item) for value in body]
    if not isinstance(body, str):
        return body
    for field, value in {"key": key, **{f"item.{name}": x for name, x in item.items()}}.items():
        body = body.replace(f"${{{field}}}", str(value))
    return body


def _path(entry: str | dict) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def _stage(name: str, body: dict, producer: dict[str, str]) -> Stage:
    deps = [_path(dep) for dep in body.get("deps", [])]
    params = [param for param in body.get("params", []) if not param.startswith("profiles.")]
    return Stage(
        name=name,
        out=_path(body["outs"][0]),
        needs=tuple(dict.fromkeys(producer[dep] for dep in deps if dep in producer)),
        code=tuple(dep for dep in deps if dep.startswith("src/")),
        sections=tuple(params),
        reads_source="${source}" in deps,
    )
