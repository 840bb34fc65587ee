"""What every experiment keeps: names that agree, metrics that are judged, runs that repeat."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from stargrav import pipeline, settings
from stargrav.experiments import registry
from stargrav.experiments.advice import GROUPS
from stargrav.experiments.decisions import TREES
from stargrav.experiments.figures import FIGURES
from stargrav.experiments.inputs import Inputs
from stargrav.experiments.origins import LADDER, ORIGINS
from stargrav.experiments.results import SECONDS
from stargrav.experiments.run import run
from stargrav.experiments.spec import matching

ROOT = Path(__file__).parents[2]
EXPERIMENTS = registry()
GRAPH = pipeline.stages(ROOT)


@pytest.fixture(scope="module")
def quick(inputs, tmp_path_factory):
    """Each experiment run with the quick settings of params.yaml, once or again."""
    parameters = settings.load(ROOT / "params.yaml", {"profile": "quick"}).experiments
    done = {}

    def result(name, time="first"):
        if (name, time) not in done:
            out = tmp_path_factory.mktemp(time) / name
            values = {"accelerator": "cpu"}
            done[name, time] = run(
                EXPERIMENTS[name],
                parameters.get(name, {}),
                inputs,
                out,
                "quick",
                7,
                values,
                {},
                None,
            )
        return done[name, time]

    return result


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_an_entry_point_a_stage_and_a_section(name):
    entry = read("MLproject")["entry_points"][name]["command"]
    assert entry.split() == ["PYTHONPATH=src", "stargrav", "run", name]
    assert name in read("params.yaml")["experiments"]
    stage = read("dvc.yaml")["stages"][EXPERIMENTS[name].programme]["foreach"][name]
    assert stage["module"] == EXPERIMENTS[name].module


def test_nothing_is_declared_for_experiments_that_do_not_exist():
    params = read("params.yaml")
    sections = [params, *params["profiles"].values()]
    named = {name for section in sections for name in section.get("experiments") or {}}
    programmes = {experiment.programme for experiment in EXPERIMENTS.values()}
    for programme in programmes:
        named |= set(read("dvc.yaml")["stages"][programme]["foreach"])
    commands = (entry["command"].split() for entry in read("MLproject")["entry_points"].values())
    run = {words[-1] for words in commands if "run" in words}
    assert named | run <= set(EXPERIMENTS) and len(run) == len(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=list(EXPERIMENTS))
def test_what_an_experiment_reads_is_what_its_stage_depends_on(experiment):
    assert set(experiment.needs) <= set(GRAPH[experiment.stage].needs)


@pytest.mark.parametrize("profile", settings.PROFILES)
def test_parameters_of_params_yaml_are_those_of_the_experiments(profile):
    chosen = settings.load(ROOT / "params.yaml", {"profile": profile}).experiments
    for name, parameters in chosen.items():
        resolved = EXPERIMENTS[name].resolve(parameters, "params.yaml")
        assert set(parameters) <= set(resolved), name


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=list(EXPERIMENTS))
def test_an_experiment_says_what_it_claims(experiment):
    assert experiment.claim[0].isupper() and not experiment.claim.endswith(".")
    assert set(experiment.figures) <= set(FIGURES)
    assert set(experiment.needs) <= set(settings_stages())


def settings_stages():
    stages = read("dvc.yaml")["stages"]
    several = ("train", "latents", "denoiser", "posteriors")
    return [*stages, *(f"{name}@{key}" for name in several for key in stages[name]["foreach"])]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_judged_and_published_metrics_are_reported(name, quick):
    experiment, summary = EXPERIMENTS[name], quick(name).summary
    assert [c["criterion"] for c in summary["criteria"]] == [str(c) for c in experiment.accept]
    assert summary["verdict"] == "not judged"
    for key in [k for c in experiment.accept for k in c.metrics()] + list(experiment.published):
        assert matching(key, summary["metrics"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_decisions_rest_on_metrics_that_are_reported(name, quick):
    named = [f for group in GROUPS.values() for proposition in group for f in proposition.rests_on]
    named += [f for tree in TREES for node in tree.nodes.values() for f in node.findings]
    for criterion in (finding.criterion for finding in named if finding.experiment == name):
        for key in criterion.metrics() if criterion else ():
            assert matching(key, quick(name).summary["metrics"])
    for origin in (origin for origin in (*ORIGINS, *LADDER) if origin.experiment == name):
        assert origin.metric in quick(name).summary["metrics"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_quick_run_is_finite_and_complete(name, quick):
    result, experiment = quick(name), EXPERIMENTS[name]
    for key, metric in result.summary["metrics"].items():
        assert np.isfinite(list(metric.values())).all(), key
        assert metric["low"] <= metric["high"], key
    for frame in (result.table, result.history, result.predictions):
        assert np.isfinite(frame.select_dtypes("number")).all(axis=None)
    assert [path.stem for path in result.figures] == sorted(experiment.figures)
    assert (result.folder / "model").is_dir() == (experiment.serves is not None)


# cases of noise levels that the small data set has no limits of, and what is the limit itself
NOISE_AXES, UNLIMITED = {"noise", "noise_level", "tested"}, {"0", "0.1", "0.5", "1.5"}


def limited(axes, case):
    """Whether the small data set knows how much log g the flux of a case can tell."""
    named = dict(zip(axes, case.split(","), strict=True))
    noisy = {level for axis, level in named.items() if axis in NOISE_AXES}
    return not noisy & UNLIMITED and named.get("model") != "bayes"


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "bayes_limit"])
def test_log_g_is_measured_by_its_limit_as_well(name, quick):
    """The small data set knows the limit at noise 1, where every experiment has a case."""
    result, needs = quick(name), EXPERIMENTS[name].needs
    told = result.predictions
    if not {"limits", "survey_limits"} & set(needs) or "log_g" not in set(told.get("target", ())):
        pytest.skip("predicts no log g, or of stars without limits")
    metrics = result.summary["metrics"]
    cases = told.loc[told["target"] == "log_g", "case"].unique()
    for what in ("efficiency", "fisher_ratio"):
        measured = [case for case in cases if f"{what}[{case}]" in metrics]
        assert measured, what
        for case in set(cases) - set(measured):
            assert not limited(result.summary["axes"], case), (what, case)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_same_seed_gives_the_same_bytes(name, quick):
    first, again = quick(name).folder, quick(name, "again").folder
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert files == [p.relative_to(again) for p in sorted(again.rglob("*")) if p.is_file()]
    for file in files:
        if file.name not in (SECONDS, "times.png"):
            assert (first / file).read_bytes() == (again / file).read_bytes(), file


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_predictions_do_not_depend_on_the_labels_of_test_stars(name, quick, monkeypatch):
    """Nothing is fitted to them, and no model, setting or reading chosen by them."""
    first, honest = quick(name).predictions, Inputs._part
    if first.empty:
        pytest.skip("predicts no label")

    def part(self, split, *others, **named):
        found = honest(self, split, *others, **named)
        if split == "test":
            order = np.random.default_rng(5).permutation(len(found))
            stars = {**found.stars, "log_g": found.stars["log_g"][order]}
            found = replace(found, stars=stars)
        return found

    monkeypatch.setattr(Inputs, "_part", part)
    again = quick(name, "other labels").predictions
    if first["truth"].equals(again["truth"]):
        pytest.skip("its labels come with stored posteriors")
    of_log_g = first["target"].str.startswith("log_g")
    assert (first["truth"] != again["truth"])[of_log_g].mean() > 0.5
    np.testing.assert_array_equal(again["prediction"], first["prediction"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_table_holds_what_the_metrics_say(name, quick):
    """Metrics, table and predictions are three views of one measurement."""
    result = quick(name)
    assert "r2" in result.table or result.predictions.empty
    for row in result.table.to_dict("records") if "r2" in result.table else ():
        if row["r2"] == "":  # a case that is no prediction
            continue
        case = ",".join(row[axis] for axis in result.summary["axes"])
        assert float(row["r2"]) == pytest.approx(result.summary["metrics"][f"r2[{case}]"]["value"])
        if row.get("trainings"):  # a mean of several
            continue
        stars = result.predictions[result.predictions["case"] == case]
        residual = stars["prediction"] - stars["truth"]
        close = {"rel": 1e-3, "abs": 1.3e-4 * float(stars["prediction"].abs().max())}  # as stored
        assert np.sqrt((residual**2).mean()) == pytest.approx(float(row["rmse"]), **close)
        assert len(stars) == int(row["n_test"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_time_stands_in_its_file_alone_and_no_place_anywhere(name, quick):
    result = quick(name)
    text = json.dumps(result.summary)
    assert str(result.folder.parent) not in text and "seconds" not in text
    assert "seconds" not in result.table
    axes = result.summary["axes"]
    assert list(result.seconds) == [",".join(row) for row in result.table[axes].to_numpy(str)]
    assert all(0 <= seconds < np.inf for seconds in result.seconds.values())
