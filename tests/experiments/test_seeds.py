"""What is particular to trainings with several seeds: nothing else differs between them."""

import numpy as np
import pytest

from stargrav.experiments import seeds
from stargrav.experiments.steps import Bench, bench, current, fit
from stargrav.experiments.table import Score
from stargrav.metrics.estimate import Estimate

SMALL = {
    **{"stars": 128, "few": 64, "count": 8, "segments": 4, "windows": 16, "draws": 2},
    **{"head_epochs": 1, "plain_epochs": 1, "tower_epochs": 1, "fused_epochs": 1},
}


@pytest.fixture(autouse=True)
def on_the_bench(inputs):
    with bench(Bench(inputs, 3, "cpu")):
        yield


def test_trainings_differ_by_their_seed_alone(monkeypatch):
    """The ridge, which has none, is fitted once; scores are of the experiment's own seed."""
    asked, scored_at = [], []

    def watched(model, train, valid):
        asked.append((current().seed, train, valid))
        return fit(model, train, valid)

    def scored(model, part):
        scored_at.append(current().seed)
        return own(model, part)

    own = seeds.scored
    monkeypatch.setattr(seeds, "fit", watched)
    monkeypatch.setattr(seeds, "scored", scored)
    seeds.training_seeds.function(trainings=2, **SMALL)
    assert [seed for seed, *_ in asked] == [3, *[3, 4] * len(seeds.NETWORKS)]
    assert set(scored_at) == {3}
    for (_, *first), (_, *again) in zip(asked[1::2], asked[2::2], strict=True):
        assert first[0] is again[0] and first[1] is again[1]


def test_scores_are_means_and_gains_are_paired():
    found = seeds.training_seeds.function(trainings=2, **SMALL)
    cases = {case.key: case.score for case in found.cases}
    r2 = {name: each.metrics["r2"].value for name, each in cases.items()}
    for name in seeds.NETWORKS:
        metrics = cases[name].metrics
        low, high = metrics["lowest"].value, metrics["highest"].value
        assert low < high and r2[name] == pytest.approx((low + high) / 2)
        assert metrics["seed_scatter"].value == pytest.approx((high - low) / np.sqrt(2))
        assert metrics["star_scatter"].value > 0
    for name, beside in seeds.BESIDE.items():
        assert cases[name].metrics["gain"].value == pytest.approx(r2[name] - r2[beside])
        assert "gain_seed_scatter" in cases[name].metrics


def test_a_gain_is_as_uncertain_as_what_is_compared_differs():
    """Stars that both find hard cancel, seeds do not."""
    rng = np.random.default_rng(0)
    stars = 0.1 * rng.standard_normal(2000)

    def score(value):
        return Score({"r2": Estimate(value, value + stars)})

    ours, theirs = [score(v) for v in (0.50, 0.52, 0.48)], [score(v) for v in (0.40, 0.37, 0.43)]
    found = seeds._gain(ours, theirs, "tower")
    assert found["gain"].value == pytest.approx(0.1)
    assert found["gain_star_scatter"].value == pytest.approx(0, abs=1e-12)
    assert found["gain_seed_scatter"].value == pytest.approx(np.std([0.1, 0.15, 0.05], ddof=1))
    low, high = found["gain"].interval()
    assert low < 0 < high  # Student's t of two degrees of freedom


def test_one_training_tells_no_scatter():
    found = seeds.training_seeds.function(trainings=1, **SMALL)
    named = {name for case in found.cases for name in case.score.metrics}
    assert "seed_scatter" not in named and "star_scatter" in named
