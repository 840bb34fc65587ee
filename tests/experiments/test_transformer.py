"""How variants of the transformer are compared."""

import numpy as np
import pytest
import torch

from stargrav.experiments import registry
from stargrav.experiments.directions import GAINS
from stargrav.experiments.steps import Bench, bench
from stargrav.experiments.transformer import (
    NEEDS,
    base,
    chosen,
    plain,
    score,
    sensitivity,
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


def test_low_noise_is_what_the_protocol_says(at_work):
    test = base().test
    low = chosen(test, "low")
    assert 0 < len(low) < len(test)
    left = np.setdiff1d(test.index, low.index)
    assert test.stars["snr"][np.isin(test.index, left)].max() < low.stars["snr"].min()
    assert chosen(test, "all") is test


def test_further_labels_and_spreads_are_measured(at_work):
    judged = variant(labels=("log_g", "T_eff"), answer="gaussian")
    metrics = score(judged.model, judged.test).metrics
    assert {"outliers", "bias", "pull_spread", "r2_T_eff", "mae_T_eff"} <= metrics.keys()
    truth = np.asarray(judged.test.stars["T_eff"])
    told = judged.model.estimator.told(np.array(judged.test.features[0]))[0][:, 1]
    expected = 1 - ((told - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert metrics["r2_T_eff"].value == pytest.approx(expected)


@pytest.mark.parametrize("name", GAINS)
def test_every_variant_has_to_beat_the_plain_network(name):
    asked = [str(criterion) for criterion in registry()[name].accept]
    assert any(criterion.endswith("- r2[plain,all] > 0") for criterion in asked)
