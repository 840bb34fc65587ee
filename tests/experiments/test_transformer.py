"""How variants of the transformer are compared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stargrav.experiments import registry
from stargrav.experiments.directions import GAINS
from stargrav.experiments.steps import Bench, bench
from stargrav.experiments.transformer import (
    NEEDS,
    base,
    compared,
    plain,
    retrained,
    score,
    sensitivity,
    snr_parts,
    taken,
    variant,
)

SEED = 42


@pytest.fixture
def at_work(inputs):
    with bench(Bench(inputs.of(NEEDS), SEED, "cpu")):
        yield inputs


def test_a_variant_that_changes_nothing_is_the_base(at_work):
    """Stars, order, noise and weights are those of the stage that trained it."""
    first, again = base(), variant()
    weights = again.model.estimator.state_dict()
    for name, values in first.model.estimator.state_dict().items():
        assert torch.equal(values, weights[name]), name
    assert [row["valid_r2"] for row in first.model.history] == pytest.approx(
        [row["valid_r2"] for row in again.model.history]
    )


def test_the_token_of_the_line_of_log_g_is_the_most_sensitive(at_work):
    told = sensitivity(16)
    assert told.shape == (16,)
    assert told.argmax() == 79 // 16  # where `small_inputs` has it
    assert told.max() > 5 * np.median(told)


def test_all_models_are_judged_by_the_same_stars_in_the_same_noise(at_work):
    first, second = base().test, plain().test
    np.testing.assert_array_equal(first.index, second.index)
    assert first.limits is not None and second.limits is not None
    np.testing.assert_array_equal(first.stars["log_g"], second.stars["log_g"])


class Told:
    """Answers with the truth and an error."""

    coef_ = np.zeros(1)

    def __init__(self, part, error):
        noise = np.random.default_rng(0).normal(size=len(part))
        self.value = np.asarray(part.stars["log_g"]) + error * noise

    def predict(self, x):
        return self.value[: len(x)]


def test_the_chosen_variant_is_that_of_the_best_valid_stars(at_work, monkeypatch):
    """Even if another one does better on test stars."""
    monkeypatch.setattr("stargrav.experiments.transformer.TEST_SETS", ("all", "all_again"))
    monkeypatch.setattr("stargrav.experiments.transformer.taken", lambda test, stars: test)
    first = base()

    def maker(error, valid):
        history = [{"epoch": 1, "valid_r2": valid - 0.1}, {"epoch": 2, "valid_r2": valid}]
        model = replace(first.model, estimator=Told(first.test, error), history=history)
        return lambda: replace(first, model=model)

    makers = {"base": maker(0.3, 0.9), "lucky": maker(0.1, 0.2), "good": maker(0.2, 0.5)}
    table = compared(makers, choose=("lucky", "good"))
    found = {case.key: case.score for case in table.cases}
    assert list(found) == [
        f"{model},{stars}"
        for model in ("base", "lucky", "good", "chosen", "plain")
        for stars in ("all", "all_again")
    ]
    assert found["chosen,all"].metrics["r2"].value == found["good,all"].metrics["r2"].value
    assert found["lucky,all"].metrics["r2"].value > found["chosen,all"].metrics["r2"].value
    assert found["good,all"].history and not found["chosen,all"].history


def test_low_noise_is_what_the_protocol_says(at_work):
    test = base().test
    low = taken(test, "low")
    assert 0 < len(low) < len(test)
    left = np.setdiff1d(test.index, low.index)
    assert test.stars["snr"][np.isin(test.index, left)].max() < low.stars["snr"].min()
    assert taken(test, "all") is test


def test_further_labels_and_spreads_are_measured(at_work):
    judged = variant(labels=("log_g", "T_eff"), answer="gaussian")
    metrics = score(judged.model, judged.test).metrics
    assert {"outliers", "bias", "pull_spread", "r2_T_eff", "mae_T_eff"} <= metrics.keys()
    thirds = [metrics[f"pull_spread_snr_{n}"].value ** 2 for n in (1, 2, 3)]
    stars = [len(rows) for rows in snr_parts(judged.test.stars["snr"], 3)]
    whole = np.average(thirds, weights=stars)
    assert metrics["pull_spread"].value ** 2 == pytest.approx(whole)
    truth = np.asarray(judged.test.stars["T_eff"])
    told = judged.model.estimator.told(np.array(judged.test.features[0]))[0][:, 1]
    expected = 1 - ((told - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert metrics["r2_T_eff"].value == pytest.approx(expected)


def test_intervals_of_transformers_contain_what_another_seed_changes(at_work):
    """As much of it as the base's own trainings differ by, and none of the plain network's."""
    again = retrained()
    assert len(again.models) == 3
    reached = [score(one, base().test).metrics["r2"].value for one in again.models]
    assert len(set(reached)) == 3
    table = compared({"base": base, "same": base})
    found = {case.key: case.score.metrics for case in table.cases}
    judged = base()
    alone = score(judged.model, judged.test).metrics["r2"]
    wide = found["base,all"]["r2"]
    assert wide.value == alone.value
    added = np.var(wide.draws - alone.draws)
    assert np.sqrt(added) > 0.7 * np.std(reached, ddof=1)
    low, high = found["same,all"]["gain"].interval()
    assert low < 0 < high
    again.widen(score(judged.model, judged.test), "base", "all", judged.test)
    assert again.scatter("all")["scatter"].value == pytest.approx(np.std(reached, ddof=1))
    plain_alone = score(plain().model, plain().test).metrics["r2"]
    np.testing.assert_array_equal(found["plain,all"]["r2"].draws, plain_alone.draws)


@pytest.mark.parametrize("name", GAINS)
def test_every_variant_has_to_beat_the_plain_network(name):
    asked = [str(criterion) for criterion in registry()[name].accept]
    assert any(criterion.endswith("- r2[plain,all] > 0") for criterion in asked)
