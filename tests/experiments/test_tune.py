"""Tuning: what the searches see and leave, and how it comes into params.yaml."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
import yaml
from lightgbm import LGBMRegressor
from mlflow.tracking import MlflowClient
from small_inputs import INSTRUMENT, READOUTS, SIZES, spectra

from stargrav import commands, models, settings
from stargrav.data import store
from stargrav.errors import InputError
from stargrav.experiments import baselines
from stargrav.experiments.baselines import flux_baselines
from stargrav.experiments.distill import encoder_mlp, linear_probe
from stargrav.experiments.inputs import Inputs
from stargrav.experiments.results import Result
from stargrav.experiments.run import run
from stargrav.experiments.steps import Bench, bench, fit
from stargrav.experiments.tune import tune_lgbm, tune_mlp
from stargrav.inference.latents import extract_latents
from stargrav.models.probes import lightgbm
from stargrav.models.ridge import SweptRidge
from stargrav.training import head
from stargrav.training.objectives import (
    UNTUNED_HEAD,
    UNTUNED_TREES,
    HeadObjective,
    TreesObjective,
    head_settings,
    trees,
)
from stargrav.training.plan import Plan

HEADS = {"trials": 3, "search_epochs": 3, "epochs": 4}
TREES = {"trials": 3, "rounds": 60}
VALUES = {"accelerator": "cpu"}
NO_LIMITS = replace(tune_mlp, needs=("dataset", "train@teacher", "latents@base"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Data set, an untrained teacher and one set of latents; no limits, which take long."""
    root = tmp_path_factory.mktemp("artifacts")
    torch.manual_seed(0)
    teacher = models.build("blindspot", channels=8, depth=4, kernel=3, hidden=(8,))
    models.save(teacher, root / "train@teacher")
    (root / "dataset").mkdir()
    splits = {}
    for seed, (split, n) in enumerate(SIZES.items()):
        splits[split] = _written(root / "dataset" / f"{split}.h5", n, seed)
    extract_latents(splits, teacher, READOUTS, root / "latents@base" / "noise-1", 1.0)
    return Inputs({stage: root / stage for stage in NO_LIMITS.needs})


def _written(path, n, seed):
    flux, error, stars = spectra(n, seed)
    store.write_spectra(path, INSTRUMENT.wave, [(flux, error)], stars)
    return store.read_spectra(path)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def heads(inputs, tracking, tmp_path_factory):
    """tune_mlp, run once and logged."""
    out = tmp_path_factory.mktemp("results") / "tune_mlp"
    return run(NO_LIMITS, HEADS, inputs, out, "laptop", 3, VALUES, {}, tracking)


@pytest.fixture(scope="module")
def boosted(inputs, tmp_path_factory):
    """tune_lgbm, run once."""
    out = tmp_path_factory.mktemp("results") / "tune_lgbm"
    return run(tune_lgbm, TREES, inputs, out, "laptop", 3, VALUES, {}, None)


def test_untuned_settings_are_those_of_the_plan():
    defaults = {name: default for name, (_, default) in encoder_mlp.parameters.items()}
    for name, value in head_settings(UNTUNED_HEAD).items():
        assert value == (list(defaults[name]) if name == "widths" else defaults[name])
    defaults = {name: default for name, (_, default) in linear_probe.parameters.items()}
    planned = lightgbm(defaults["leaves"], defaults["trees"])
    assert trees(UNTUNED_TREES).get_params() == planned.get_params()


def test_the_untuned_settings_are_tried_first_and_the_best_are_kept(heads):
    trials = heads.trials
    assert list(trials["trial"]) == [1, 2, 3] and set(trials["case"]) == {"best"}
    assert {name: trials.iloc[0][name] for name in UNTUNED_HEAD} == UNTUNED_HEAD
    complete = trials[trials["state"] == "complete"]
    best = complete.loc[complete["valid_r2"].idxmax()]
    expected = head_settings(best.to_dict())
    assert heads.best["encoder_mlp"]["widths"] == expected["widths"]
    assert heads.best["encoder_mlp"]["dropout"] == pytest.approx(expected["dropout"], rel=1e-5)
    assert encoder_mlp.resolve(heads.best["encoder_mlp"])["widths"] == tuple(expected["widths"])


def test_each_trial_is_a_child_run(heads, tracking):
    client = MlflowClient(tracking)
    where = [client.get_experiment_by_name("distill").experiment_id]
    (parent,) = client.search_runs(where, "tags.experiment = 'tune_mlp'")
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`trial.case` = 'best'"
    children = sorted(client.search_runs(where, query), key=lambda c: c.data.tags["trial.trial"])
    assert len(children) == len(heads.trials)
    for child, row in zip(children, heads.trials.to_dict("records"), strict=True):
        assert child.data.tags["trial.state"] == row["state"]
        assert child.data.metrics["valid_r2"] == pytest.approx(row["valid_r2"])
        assert float(child.data.params["trial.dropout"]) == pytest.approx(row["dropout"])


def test_both_inputs_are_searched_over(boosted):
    trials = boosted.trials
    assert trials.groupby("case").size().to_dict() == {"latent,best": 3, "flux,best": 3}
    assert (trials["trees"] <= TREES["rounds"]).all()
    assert set(boosted.table["n_train"]) == {400}


def test_the_best_trees_on_pixels_are_for_the_flux_baselines(boosted):
    """As they stand among the trials, so that they can be read from these."""
    trials = boosted.trials[boosted.trials["case"] == "flux,best"]
    best = trials.loc[trials["valid_r2"].where(trials["state"] == "complete").idxmax()]
    expected = {f"pixel_{name}": best[name] for name in UNTUNED_TREES}
    assert boosted.best == {"flux_baselines": expected}
    flux_baselines.resolve(boosted.best["flux_baselines"])


def test_the_settings_of_trees_on_pixels_are_those_that_are_fitted(inputs):
    """All six that are searched over reach LightGBM, and none but that on pixels."""
    chosen = {"leaves": 5, "trees": 7, "learning_rate": 0.3, "min_child_samples": 9}
    chosen |= {"colsample_bytree": 0.5, "reg_lambda": 2.0}
    assert chosen.keys() == UNTUNED_TREES.keys()
    fitted = []

    def noted(model, train, valid):
        fitted.append(model)
        return fit(SweptRidge(), train, valid)

    with bench(Bench(inputs, 3, "cpu")), pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "fit", noted)
        parameters = {f"pixel_{name}": x for name, x in chosen.items()}
        flux_baselines.function(**flux_baselines.resolve({**parameters, "count": 8, "trees": 6}))
    boosters = [model.get_params() for model in fitted if isinstance(model, LGBMRegressor)]
    given = [p for p in boosters if p == trees(chosen).get_params()]
    assert len(given) == 2 and {p["num_leaves"] for p in boosters} == {5, baselines.LEAVES}
    assert len(boosters) == 8


def test_a_result_without_a_search_has_nothing_to_adopt(tmp_path):
    with pytest.raises(InputError, match=r"best\.yaml: found nothing"):
        Result(tmp_path).best  # noqa: B018


def test_a_search_does_not_see_the_test_stars(boosted, inputs, tmp_path):
    """With other test stars the same is tried, with the same success, and scored otherwise."""
    folder = tmp_path / "dataset"
    shutil.copytree(inputs.folder("dataset"), folder)
    _written(folder / "test.h5", SIZES["test"], seed=77)
    other = Inputs({**inputs.folders, "dataset": folder}, inputs.seed)
    found = run(tune_lgbm, TREES, other, tmp_path / "out", "laptop", 3, VALUES, {}, None)
    assert found.trials.equals(boosted.trials)
    assert not found.table["r2"].equals(boosted.table["r2"])


def test_an_interrupted_search_goes_on(heads, inputs, tmp_path, monkeypatch):
    """Ctrl-C in the second trial: run again, the first is not trained again, and all is equal."""
    trained = []
    train_head = head.train_head

    def interrupted(*arguments, **settings):
        if "tell" in settings:  # it is a trial's
            trained.append(settings["widths"])
            if len(trained) == 2:
                raise KeyboardInterrupt
        return train_head(*arguments, **settings)

    monkeypatch.setattr(head, "train_head", interrupted)
    out = tmp_path / "tune_mlp"
    with pytest.raises(KeyboardInterrupt):
        run(NO_LIMITS, HEADS, inputs, out, "laptop", 3, VALUES, {}, None)
    again = run(NO_LIMITS, HEADS, inputs, out, "laptop", 3, VALUES, {}, None)
    assert len(trained) == 1 + HEADS["trials"]
    for name in ("trials.csv", "best.yaml", "metrics.json"):
        assert (again.folder / name).read_bytes() == (heads.folder / name).read_bytes()


class Hopeless(optuna.pruners.BasePruner):
    """Gives up after the second report."""

    def prune(self, study, trial):
        return len(trial.intermediate_values) >= 2


def test_what_is_given_up_is_not_trained_to_its_end():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)).astype(np.float32)
    y = x[:, 0] + 0.1 * rng.normal(size=90)
    parts = (x[:60], y[:60]), (x[60:], y[60:])
    plan = Plan(epochs=50, monitor="valid_r2", accelerator="cpu")
    for objective, first in (
        (HeadObjective(*parts, plan, batch_size=32), UNTUNED_HEAD),
        (TreesObjective(*parts, rounds=50, seed=1), UNTUNED_TREES),
    ):
        study = optuna.create_study(direction="maximize", pruner=Hopeless())
        study.enqueue_trial(first)
        study.optimize(objective, n_trials=1)
        (trial,) = study.trials
        assert trial.state.name == "PRUNED" and list(trial.intermediate_values) == [1, 2]
        assert max(trial.intermediate_values.values()) < 1


def test_trees_are_compared_where_they_have_learnt_as_much():
    """By rate times rounds: a tenth of the rate, ten times the rounds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)).astype(np.float32)
    y = x[:, 0].copy()
    parts = (x[:60], y[:60]), (x[60:], y[60:])
    study = optuna.create_study(direction="maximize")
    for rate, count in ((0.3, 20), (0.03, 200)):
        study.enqueue_trial(UNTUNED_TREES | {"learning_rate": rate, "trees": count})
    study.optimize(TreesObjective(*parts, rounds=200, seed=1), n_trials=2)
    fast, slow = (trial.intermediate_values for trial in study.trials)
    assert list(fast) == list(slow) == list(range(1, 13))
    assert fast[12] == pytest.approx(slow[12], abs=0.1)


def test_objectives_reach_what_they_report():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(400, 3)).astype(np.float32)
    y = 4 * x[:, 0]
    parts = (x[:300], y[:300]), (x[300:], y[300:])
    plan = Plan(epochs=20, monitor="valid_r2", accelerator="cpu")
    head = HeadObjective(*parts, plan, batch_size=64)(optuna.trial.FixedTrial(UNTUNED_HEAD))
    boosted = TreesObjective(*parts, rounds=50, seed=1)(optuna.trial.FixedTrial(UNTUNED_TREES))
    model = trees(UNTUNED_TREES).fit(*parts[0])
    residual = parts[1][1] - model.predict(parts[1][0])
    assert boosted == pytest.approx(1 - residual.var() / parts[1][1].var(), abs=0.01)
    assert head > 0.95 and boosted > 0.95


def test_the_best_settings_are_adopted_and_comments_stay(heads, tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(Path(__file__).parents[2] / "params.yaml", path)
    before = path.read_text().splitlines()
    settings.adopt(path, Result(heads.folder).best)
    after = path.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    ((old, new),) = changed
    assert old.startswith("  encoder_mlp: {") and new.startswith("  encoder_mlp: {")
    assert yaml.safe_load(new)["encoder_mlp"].items() >= heads.best["encoder_mlp"].items()
    chosen = settings.load(path, {"profile": "laptop"})
    assert chosen.experiments["encoder_mlp"]["widths"] == heads.best["encoder_mlp"]["widths"]
    with pytest.raises(InputError, match=r"params\.yaml: experiments\.absent: found no such line"):
        settings.adopt(path, {"absent": {"a": 1}})
    assert path.read_text().splitlines() == after


def test_what_has_been_adopted_is_not_adopted_again(heads, tmp_path, monkeypatch, capsys):
    """As where the search found nothing better: one line says so, and nothing is written."""
    for name in ("params.yaml", "MLproject", "dvc.yaml"):
        shutil.copy(Path(__file__).parents[2] / name, tmp_path)
    shutil.copytree(heads.folder, tmp_path / "artifacts" / "experiments" / "tune_mlp")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "params.yaml").read_text()
    found = Result(heads.folder).best["encoder_mlp"]
    monkeypatch.setattr(Result, "best", {"encoder_mlp": {**found, "dropout": 0.123}})
    commands.adopt("tune_mlp")
    adopted = (tmp_path / "params.yaml").read_text()
    assert adopted != before and "dropout 0.123" in capsys.readouterr().out
    commands.adopt("tune_mlp")
    assert (tmp_path / "params.yaml").read_text() == adopted
    assert capsys.readouterr().out.splitlines() == [
        "params.yaml: experiments.encoder_mlp: nothing better was found, nothing is written"
    ]


def test_what_is_adopted_holds_in_every_profile_but_quick(tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(Path(__file__).parents[2] / "params.yaml", path)
    before = yaml.safe_load(path.read_text())["experiments"]["flux_baselines"]
    assert before["laptop"].keys() > {"pixel_trees"} < before["quick"].keys()
    settings.adopt(path, {"flux_baselines": {"pixel_trees": 77, "pixel_leaves": 9}})
    quick = before["quick"]["pixel_trees"]
    for profile, found in (("quick", quick), ("laptop", 77), ("full", 77)):
        chosen = settings.load(path, {"profile": profile}).experiments["flux_baselines"]
        others = {k: x for k, x in before.get(profile, {}).items() if k != "pixel_trees"}
        assert chosen == {**others, "pixel_trees": found, "pixel_leaves": 9}
