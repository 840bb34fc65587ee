"""What the commands of the command line do, each by calling the modules that know how."""

from __future__ import annotations

import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stargrav import pipeline, ranks, settings
from stargrav.dvc_process import RAN, dvc, tell
from stargrav.errors import InputError, one_of
from stargrav.files import hash_tree, require_writable
from stargrav.stages import MODULES

if TYPE_CHECKING:
    from stargrav.experiments.spec import Experiment
    from stargrav.settings import Settings

_OWN = 2**40  # stars and noise of a set of the user's are none of the pipeline's


def simulate(
    out: Path,
    count: int,
    mag: str,
    conditions: dict[str, float | None],
    velocity: tuple[float, float],
    seed: int,
    error: str,
    source: str,
) -> None:
    """An observed data set in pfsspec format."""
    from stargrav.data.dataset import write_dataset
    from stargrav.data.room import require_disk
    from stargrav.inference.velocity import FASTEST
    from stargrav.libraries import opened
    from stargrav.observation.instrument import PFS_MR
    from stargrav.observation.simulate import Simulator, draw_stars
    from stargrav.progress import Progress
    from stargrav.stages.dataset import BYTES

    given = {name: value for name, value in conditions.items() if value is not None}
    for name, value in given.items():
        low, high = {"seeing": (0.1, 5), "zenith_angle": (0, 75), "field_angle": (0, 0.7)}[name]
        if not low <= value <= high:
            key = "--" + name.replace("_", "-")
            raise InputError("command line", key, f"{value:g}", f"{low:g} to {high:g}")
    if not -FASTEST <= velocity[0] <= velocity[1] <= FASTEST:
        found = "{:g} {:g}".format(*velocity)
        allowed = f"LO <= HI within {-FASTEST:g} to {FASTEST:g} km/s"
        raise InputError("command line", "--velocity", found, allowed)
    out = require_writable(out, "OUT", makes_folders=True, inputs=(Path(source),))
    library = opened(source, PFS_MR.resolution)
    simulator = Simulator(library, error=error)
    pixels = len(simulator.wave)
    require_disk(BYTES * count * pixels, out.parent, f"{count:,} spectra of {pixels} pixels")
    rng = np.random.default_rng([seed, _OWN])
    given["velocity"] = velocity
    stars = draw_stars(count, _magnitude(mag), library.ranges, rng, **given)
    stars["id"] = np.arange(_OWN, _OWN + count)
    with Progress(total=count, unit=" spectra") as bar:
        stars = write_dataset(out, simulator, stars, seed, {"seed": seed}, bar.update)
    snr = f"median SNR {stars['snr'].median():.2f}"
    print(f"{out}: {count} spectra, {pixels} pixels, {snr}")


def stage(name: str, overrides: dict[str, str]) -> None:
    """One stage of the pipeline: by DVC, or for DVC."""
    if name not in MODULES:
        raise InputError("command line", "stage", name, one_of(name, MODULES))
    root = pipeline.project_root()
    chosen = settings.load(root / "params.yaml", overrides)
    if ranks.follows():
        if ranks.meet(name):
            with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                pipeline.follow(root, name, chosen)
        return
    with ranks.leading(name):
        _stage(root, name, chosen)


def _stage(root: Path, name: str, chosen: Settings) -> None:
    graph = pipeline.stages(root)
    if "DVC_STAGE" in os.environ:
        folders = {need: root / graph[need].out for need in graph[name].needs}
        pipeline.build(root, name, chosen, folders, root / graph[name].out)
        return
    from stargrav.experiments.run import log_stage

    folders, made = pipeline.ensure(root, chosen, name)
    values = pipeline.chosen_settings(graph[name], chosen)
    hashes = pipeline.hashes(root, graph[name], folders)
    hashes[name] = hash_tree(folders[name])
    uri = settings.tracking_uri(root)
    log_stage(name, folders[name], values, hashes, name not in made, uri)


def run(name: str, overrides: dict[str, str]) -> None:
    """One experiment, after what it needs; what has not changed is shown again."""
    from stargrav.experiments import registry

    experiments = registry()
    if name not in experiments:
        raise InputError("command line", "experiment", name, one_of(name, experiments))
    experiment = experiments[name]
    root = pipeline.project_root()
    chosen = settings.load(root / "params.yaml", _sorted_out(experiment, overrides))
    told = "command line" if overrides else "params.yaml"
    for other, values in chosen.experiments.items():
        if other not in experiments:
            allowed = one_of(other, experiments)
            raise InputError("params.yaml", f"experiments.{other}", other, allowed)
        experiments[other].resolve(values, told if other == name else "params.yaml")
    if ranks.follows():
        if ranks.meet(experiment.stage):
            _follow(root, experiment, chosen)
        return
    with ranks.leading(experiment.stage):
        _run(root, experiment, chosen)


def _run(root: Path, experiment: Experiment, chosen: Settings) -> None:
    from stargrav.experiments.inputs import Inputs
    from stargrav.experiments.run import log_reused
    from stargrav.experiments.run import run as run_experiment

    parameters = chosen.experiments.get(experiment.name, {})
    graph = pipeline.stages(root)
    target = experiment.stage
    uri = settings.tracking_uri(root)
    inside_dvc = "DVC_STAGE" in os.environ
    pipeline.fetch_library(root, chosen)
    if inside_dvc:
        folders = {need: root / graph[need].out for need in graph[target].needs}
        out = root / graph[target].out
    elif pipeline.is_default(root, chosen, graph, target):
        _run_by_dvc(root, experiment, chosen, uri)
        return
    else:
        folders, _ = pipeline.ensure(root, chosen, target)
        out = pipeline.variant_folder(root, chosen, graph, target)
    inputs = Inputs(folders, chosen.seed)
    hashes = pipeline.hashes(root, graph[target], folders)
    values = chosen.pipeline()
    if not inside_dvc and out.is_dir():
        print(f"{target}: unchanged, reused from {out.relative_to(root)}", flush=True)
        log_reused(experiment, out, inputs, values, hashes, uri)
        return
    run_experiment(
        experiment, parameters, inputs, out, chosen.profile, chosen.seed, values, hashes, uri
    )
    tell(RAN + target)


def _follow(root: Path, experiment: Experiment, chosen: Settings) -> None:
    from stargrav.experiments.inputs import Inputs
    from stargrav.experiments.run import follow

    parameters = chosen.experiments.get(experiment.name, {})
    inputs = Inputs(pipeline.locate(root, chosen, experiment.stage), chosen.seed)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        follow(experiment, parameters, inputs, chosen.seed, chosen.accelerator)


def _run_by_dvc(root: Path, experiment: Experiment, chosen: Settings, uri: str) -> None:
    from stargrav.experiments.inputs import Inputs
    from stargrav.experiments.run import log_reused

    target = experiment.stage
    if target in dvc(root, "repro", "--pull", target):
        return
    graph = pipeline.stages(root)
    print(f"{target}: up to date; the stored result is shown, nothing is trained", flush=True)
    folders = {need: root / graph[need].out for need in graph[target].needs}
    hashes = pipeline.hashes(root, graph[target], folders)
    out = root / graph[target].out
    log_reused(experiment, out, Inputs(folders), chosen.pipeline(), hashes, uri)


def experiments(name: str | None) -> None:
    """The experiments and their claims, or one with its parameters."""
    from stargrav.experiments import registry

    found = registry()
    if name is None:
        for programme in dict.fromkeys(each.programme for each in found.values()):
            print(f"\n{programme}")
            for each in found.values():
                if each.programme == programme:
                    print(f"  {each.name:24} {each.claim}")
        return
    if name not in found:
        raise InputError("command line", "experiment", name, one_of(name, found))
    experiment = found[name]
    chosen = settings.load(pipeline.project_root() / "params.yaml").experiments.get(name, {})
    print(f"{name} ({experiment.plan}): {experiment.claim}\n\n{experiment.function.__doc__}")
    for criterion in experiment.accept:
        print(f"  asks for {criterion}")
    for key, value in experiment.resolve(chosen).items():
        print(f"  --{key} {value}")


def next_steps() -> None:
    """What is decided, on which evidence, and what to run next."""
    from stargrav.experiments.advice import advice
    from stargrav.experiments.evidence import Evidence
    from stargrav.experiments.run import find_runs

    root = pipeline.project_root()
    evidence = Evidence(root / "artifacts" / "experiments")
    runs = find_runs(evidence.results.values(), settings.tracking_uri(root))

    def variant(run: str) -> Path | None:
        name, *others = run.split()
        names = (key.removeprefix("--") for key in others[::2])
        chosen = settings.load(root / "params.yaml", dict(zip(names, others[1::2], strict=True)))
        stage = evidence.experiments[name].stage
        folder = pipeline.variant_folder(root, chosen, pipeline.stages(root), stage)
        return folder.relative_to(root) if folder.is_dir() else None

    print(advice(evidence, runs, variant))


def adopt(name: str) -> None:
    """The best settings that an experiment has found, into params.yaml."""
    from stargrav.experiments import registry
    from stargrav.experiments.results import Result

    root = pipeline.project_root()
    best = Result(root / pipeline.RESULTS / name).best
    path = root / "params.yaml"
    stand = settings.load(path).experiments
    resolve = {other: registry()[other].resolve for other in best}
    known = {other: resolve[other](stand.get(other, {})) for other in best}
    better = {o: each for o, each in best.items() if resolve[o](known[o] | each) != known[o]}
    for other in best.keys() - better.keys():
        print(f"params.yaml: experiments.{other}: nothing better was found, nothing is written")
    settings.adopt(path, better)
    for other, values in better.items():
        shown = ", ".join(f"{key} {value}" for key, value in values.items())
        print(f"params.yaml: experiments.{other}: {shown}")


def programme(name: str, jobs: int | None) -> None:
    """All experiments of a programme, after what they need, several stages at a time."""
    from stargrav import side_by_side
    from stargrav.experiments import registry
    from stargrav.experiments.results import Result

    members = {each.name: each for each in registry().values() if each.programme == name}
    if not members:
        known = dict.fromkeys(each.programme for each in registry().values())
        raise InputError("command line", "programme", name, one_of(name, known))
    root = pipeline.project_root()
    started = time.monotonic()
    made = side_by_side.make(root, [each.stage for each in members.values()], jobs)
    minutes = (time.monotonic() - started) / 60
    for each in members.values():
        reused = "" if each.stage in made else ", as stored"
        verdict = Result(root / pipeline.RESULTS / each.name).summary["verdict"]
        print(f"{each.name}: {verdict}{reused}")
    print(f"{name}: {len(made)} stages made in {minutes:.1f} minutes")


def report(jobs: int | None, stored: bool = False) -> None:
    """The verdict page, after all that stands in it unless what is stored is to do."""
    from stargrav import side_by_side
    from stargrav.experiments import registry
    from stargrav.report import write_report

    root = pipeline.project_root()
    if "DVC_STAGE" not in os.environ and not stored:
        side_by_side.make(root, ["report"], jobs)
        return
    page = root / "docs" / "results.md"
    write_report(root / pipeline.RESULTS, page)
    print(f"written: {page}, {page.with_suffix('.html')}")
    known = registry()
    if without := sum(not (root / pipeline.RESULTS / name).is_dir() for name in known):
        left_out = f"{without} of {len(known)} experiments have no result here and are left out"
        hint = "`dvc pull --allow-missing` brings those that the repository holds"
        print(f"{left_out}; {hint}", file=sys.stderr)


def _sorted_out(experiment: Experiment, overrides: dict[str, str]) -> dict[str, str]:
    """Overrides with the experiment's own parameters put under its section."""
    section = f"experiments.{experiment.name}"
    chosen = {}
    for key, value in overrides.items():
        if key.split(".")[0] in settings.Settings.model_fields:
            chosen[key] = value
        elif key in experiment.parameters:
            chosen[f"{section}.{key}"] = value
        else:
            allowed = [*experiment.parameters, *settings.Settings.model_fields]
            raise InputError("command line", key, value, one_of(key, allowed))
    return chosen


def _magnitude(text: str) -> tuple[float, float]:
    parts = text.split(",")
    try:
        low, high = float(parts[0]), float(parts[-1])
    except ValueError:
        low, high = 1.0, 0.0
    if len(parts) > 2 or not 10 <= low <= high <= 30:
        raise InputError("command line", "--mag", repr(text), "M or LO,HI, within 10 to 30")
    return low, high
