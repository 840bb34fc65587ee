"""What is particular to the experiments with students: how many labels their heads see."""

from stargrav.experiments.steps import Bench, bench
from stargrav.experiments.student import sample_efficiency


def test_budgets_are_numbers_of_labelled_stars(inputs):
    """Named in thousands, the last one all; the students themselves saw no label."""
    with bench(Bench(inputs, 3, "cpu")):
        table = sample_efficiency.function(stars=300, budgets=(64, 150))
    seen = {case.key: case.score.columns["n_train"] for case in table.cases}
    budgets = {"0.064k": 64, "0.15k": 150, "all": 300}
    assert seen == {
        f"{told},{budget}": stars
        for told in ("student", "teacher", "flux")
        for budget, stars in budgets.items()
    }


def test_the_budgets_that_are_judged_are_the_default():
    _, default = sample_efficiency.parameters["budgets"]
    assert default == (1_000, 5_000, 10_000)
    named = {key for criterion in sample_efficiency.accept for key in criterion.metrics()}
    assert named == {f"r2[{told},{n}k]" for told in ("student", "flux") for n in (1, 5)}
