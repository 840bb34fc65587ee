"""What is particular to the experiments with students: what they are compared with, and how."""

from dataclasses import replace

import numpy as np
import pytest
from small_inputs import PIXELS

from stargrav.experiments import networks, student
from stargrav.experiments.families import flux_components
from stargrav.experiments.inputs import Parts
from stargrav.experiments.steps import Bench, bench, spectra
from stargrav.models.pooling import READOUT


@pytest.fixture
def at_bench(inputs):
    with bench(Bench(inputs, 3, "cpu")):
        yield


def test_budgets_are_numbers_of_labelled_stars(at_bench):
    """Named in thousands, the last one all; the students themselves saw no label."""
    table = student.sample_efficiency.function(stars=300, budgets=(64, 150), count=8, sets=3)
    columns = ("n_train", "sets")
    seen = {case.key: tuple(case.score.columns[name] for name in columns) for case in table.cases}
    budgets = {"0.064k": (64, 3), "0.15k": (150, 2), "all": (300, 1)}
    assert seen == {
        f"{told},{budget}": told_of
        for told in ("mlp", "conv", "teacher", "flux", "components", "student")
        for budget, told_of in budgets.items()
    }
    found = table.metrics()
    both = [found[f"r2[{kind},all]"].value for kind in ("mlp", "conv")]
    assert found["r2[student,all]"].value in both


def test_sets_of_labels_share_no_star(at_bench):
    train = spectra("flux", stars=300).train
    sets = train.apart(90, 5, seed=1)
    rows = np.concatenate([part.index for part in sets])
    assert len(sets) == 3 and len(np.unique(rows)) == 270
    assert [len(part) for part in train.apart(300, 5, seed=1)] == [300]


def test_the_budgets_that_are_judged_are_the_default():
    _, default = student.sample_efficiency.parameters["budgets"]
    assert default == (1_000, 5_000, 10_000)
    named = {key for criterion in student.sample_efficiency.accept for key in criterion.metrics()}
    inputs = ("student", "flux", "components")
    assert named == {f"r2[{told},{n}k]" for told in inputs for n in (1, 5)}


def test_components_of_the_flux_know_no_label_and_no_star_that_they_are_asked_of(at_bench):
    flux = spectra("flux", stars=300)
    marked = Parts(
        flux.train.with_label("log_g", np.zeros(len(flux.train))),
        replace(flux.valid, features=flux.valid.features + 1.0),
        flux.test,
    )
    own, other = flux_components(flux, 6), flux_components(marked, 6)
    np.testing.assert_array_equal(own.train.features, other.train.features)
    np.testing.assert_array_equal(own.test.features, other.test.features)
    assert own.test.features.shape == (1, len(flux.test), 6)


def test_the_gap_does_not_ask_how_the_stars_spread(at_bench, monkeypatch):
    """Half way to the mean latent is a quarter of its square error, on whichever stars."""
    centre = student.stored_student("mlp").label_mean.numpy()

    def half_way(_, pixels):
        z = student.latents(*READOUT, draws=1)
        return Parts(*(replace(part, features=(part.features + centre) / 2) for part in z))

    latents = student.latents

    def spread(*asked, **how):
        z = latents(*asked, **how)
        wide = centre + 1.5 * (z.valid.features - centre)
        return z._replace(valid=replace(z.valid, features=wide))

    monkeypatch.setattr(student, "read", half_way)
    monkeypatch.setattr(student, "latents", spread)
    gaps = {case.key: case.score.metrics["gap"].value for case in student.student.function().cases}
    assert gaps == pytest.approx(dict.fromkeys(("mean", "mlp", "conv"), 0.0), abs=1e-5)


@pytest.mark.parametrize("better", ["student", "joint"])
def test_the_student_is_chosen_on_valid_stars(at_bench, monkeypatch, better):
    def missed(model, part):
        assert part.path.stem == "valid"
        return float((part.readout[0] == "student") != (better == "student"))

    monkeypatch.setattr(student, "missed", missed)
    how = {"stars": 128, "label_weights": (1.0,), "count": 8, "epochs": 1}
    table = student.student_vs_flux.function(**how)
    r2 = {case.key: case.score.metrics["r2"].value for case in table.cases}
    assert r2["chosen"] == r2[better] and r2["student"] != r2["joint"]


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        ("denoised_alone", ("student", "denoised_alone", "denoised_alone")),
        ("labels", ("student", "flux", "labels")),
        ("components", ("student", "flux", "components")),
        ("joint", ("joint", "flux", "flux")),
    ],
)
def test_baselines_are_chosen_on_valid_stars(at_bench, monkeypatch, least, expected):
    """Whatever they do on test stars: the largest of several scores there is no fair one."""
    names = ("student", "joint", "flux", "components", "denoised", "denoised_alone", "labels")
    asked = iter(name for name in names for _ in range(1 + (name == "joint")))  # joint: a search

    def missed(model, part):
        name = next(asked)
        return 0.1 if name == least else 1.0 + 0.1 * names.index(name)

    monkeypatch.setattr(student, "missed", missed)
    how = {"stars": 128, "label_weights": (1.0,), "count": 8, "epochs": 1}
    table = student.student_vs_flux.function(**how)
    r2 = {case.key: case.score.metrics["r2"].value for case in table.cases}
    assert len({r2[name] for name in names}) == len(names)
    found = tuple(r2[name] for name in ("chosen", "flux_baseline", "baseline"))
    assert found == tuple(r2[name] for name in expected)


def test_the_wide_student_is_as_much_wider_as_asked(at_bench, monkeypatch):
    """And sees no more than the first; only one of the four is told the error."""
    made = []

    def taught(pixels, z, kind="mlp", **sizes):
        made.append((kind, pixels.train.features.shape[-1], sizes.get("widths")))
        return networks.taught(pixels, z, kind, **sizes)

    monkeypatch.setattr(student, "taught", taught)
    table = student.student_plus.function(factor=3)
    own = student.stored_student("mlp").config["widths"]
    assert [case.key for case in table.cases] == ["flux", "wide", "conv", "flux_error"]
    flux, both, wide = PIXELS, 2 * PIXELS, [3 * width for width in own]
    assert made[:2] == [("mlp", flux, None), ("mlp", flux, wide)]
    assert made[2:] == [("conv", flux, None), ("mlp", both, None)]


def test_a_joint_student_is_taught_by_its_weights_and_chosen_on_valid_stars(at_bench, monkeypatch):
    weights = []

    def joint(pixels, z, latent_weight, label_weight):
        weights.append((latent_weight, label_weight))
        return own(pixels, z, latent_weight, label_weight)

    own = student._joint
    monkeypatch.setattr(student, "_joint", joint)
    table = student.student_joint.function(label_weights=(0.1, 10.0))
    assert weights == [(1.0, 0.1), (1.0, 10.0), (0.0, 1.0)]
    wrong = {case.key: case.score.columns["rmse_valid"] for case in table.cases}
    r2 = {case.key: case.score.metrics["r2"].value for case in table.cases}
    assert r2["chosen"] == r2[min(("0.1", "10"), key=wrong.__getitem__)]
    assert wrong["chosen"] == min(wrong["0.1"], wrong["10"])
