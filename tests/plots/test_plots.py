"""Figures show the numbers they are given, and equal figures are equal files."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from stargrav.plots.regression import density, predicted_true, residuals, running
from stargrav.plots.scores import against, bars, costs, side_by_side
from stargrav.plots.style import axis_label, save
from stargrav.plots.training import curves, search


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def stars():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 500)
    return truth, truth + rng.normal(0, 0.5, 500)


def test_running_percentiles_follow_the_stars():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 6000)
    y = 3 * x + rng.normal(0, 0.2, 6000)
    centre, low, middle, high = running(x, y)
    assert middle == pytest.approx(3 * centre, abs=0.05)
    spread = np.sqrt(0.2**2 + (3 / len(centre)) ** 2 / 12)  # noise, and the slope in a window
    assert (high - low) / 2 == pytest.approx(spread, rel=0.1)


def test_running_percentiles_of_few_stars_use_fewer_windows():
    assert running(np.arange(20.0), np.arange(20.0)).shape == (4, 2)
    assert running(np.arange(3.0), np.arange(3.0)).shape == (4, 1)


def test_density_is_that_of_a_gaussian():
    x, y = np.random.default_rng(2).normal(size=(2, 40_000))
    expected = np.exp(-(x**2 + y**2) / 2)
    assert np.corrcoef(density(x, y), expected)[0, 1] > 0.98


def test_predicted_true_shows_every_star_and_the_identity(stars, ax):
    predicted_true(*stars, "log_g", ax)
    shown = np.array(sorted(map(tuple, ax.collections[0].get_offsets().data)))
    assert shown == pytest.approx(np.array(sorted(zip(*stars, strict=True))))
    identity = ax.lines[0].get_xydata()
    assert (identity[:, 0] == identity[:, 1]).all()
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlabel() == r"true $\log\,g$ (dex)"


def test_residuals_are_drawn_against_the_property(stars, ax):
    truth, prediction = stars
    teff = np.linspace(4000, 6000, len(truth))
    residuals(teff, prediction - truth, "T_eff", "log_g", ax)
    assert np.asarray(ax.collections[0].get_offsets())[:, 0] == pytest.approx(teff)
    assert ax.get_xlabel().endswith("(K)") and "true" in ax.get_ylabel()
    assert np.mean(np.abs(prediction - truth) < ax.get_ylim()[1]) > 0.98


def test_bars_stand_at_their_values_with_marks_beside_them(ax):
    value, low, high = np.array([[0.5, 0.6, -0.1], [0.4, 0.5, -0.2], [0.6, 0.7, 0.0]])
    published = np.array([np.nan, 0.61, np.nan])
    bars(["a", "b", "c"], ["x", "x", "y"], value, low, high, published, "R2", ax)
    widths = [patch.get_width() for patch in ax.patches]
    assert widths == pytest.approx(value)
    centres = [patch.get_y() + patch.get_height() / 2 for patch in ax.patches]
    assert centres[2] - centres[1] > centres[1] - centres[0]  # a gap between the groups
    marks = ax.collections[-1].get_offsets()
    assert marks[1].tolist() == pytest.approx([0.61, centres[1]])
    assert [text.get_text() for text in ax.texts] == ["x", "y"]


def test_what_it_costs_has_the_colours_of_what_it_gives(ax):
    x = np.array([10.0, 100.0, 1000.0])
    given = {"ridge": np.array([0.1, 0.2, 0.3]), "trees": np.array([0.2, 0.4, 0.4])}
    intervals = {name: (r2, r2 - 0.05, r2 + 0.05) for name, r2 in given.items()}
    against(x, intervals, "stars", "R2", ax, marked={"trees": 100.0})
    assert ax.collections[-1].get_offsets().tolist() == [[100.0, 0.4]]
    other = Figure().subplots()
    costs(x, {name: 50 * r2 for name, r2 in given.items()}, "stars", "seconds", other)
    assert other.get_xscale() == other.get_yscale() == "log"
    for line, cost in zip(ax.lines[:2], other.lines, strict=True):
        assert line.get_label() == cost.get_label() and line.get_color() == cost.get_color()
        np.testing.assert_allclose(cost.get_ydata(), 50 * line.get_ydata())


def test_curves_mark_the_epoch_that_was_kept(ax):
    epoch = np.arange(1, 6)
    curves(epoch, {"train": 1 / epoch, "valid": 2 / epoch}, "loss", ax, best=4)
    assert [line.get_label() for line in ax.lines[:2]] == ["train", "valid"]
    assert ax.lines[2].get_xdata()[0] == 4


def test_a_search_shows_trials_those_given_up_and_the_best_so_far(ax):
    score, given_up = np.array([0.3, 0.1, 0.5, np.nan, 0.4]), np.array([0, 1, 0, 1, 0], bool)
    search(score, given_up, "R2", ax)
    trial, pruned, best, untuned = (line.get_ydata() for line in ax.lines)
    np.testing.assert_array_equal(trial, [0.3, np.nan, 0.5, np.nan, 0.4])
    np.testing.assert_array_equal(pruned, [np.nan, 0.1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(best, [0.3, 0.3, 0.5, 0.5, 0.5])
    assert set(untuned) == {0.3}


def test_units_stand_at_the_axes():
    assert axis_label("T_eff").endswith("(K)")
    assert axis_label("log_g", "predicted").startswith("predicted")
    assert axis_label("snr") == "median S/N per pixel"


def test_equal_figures_are_equal_files(stars, tmp_path):
    for name in ("a.png", "b.png"):
        figure = Figure(figsize=(3, 3))
        predicted_true(*stars, "log_g", figure.subplots())
        save(figure, tmp_path / name)
    image = (tmp_path / "a.png").read_bytes()
    assert image == (tmp_path / "b.png").read_bytes()
    assert b"matplotlib" not in image.lower()


def test_scores_side_by_side_keep_their_order_and_intervals(ax):
    value = {"a": np.array([1.0, 3.0]), "b": np.array([2.0, -1.0])}
    scores = {name: (x, x - 0.5, x + 0.25) for name, x in value.items()}
    side_by_side(("low", "high"), scores, "score", ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["low", "high"]
    first, second = (part.lines[0].get_xydata() for part in ax.containers)
    assert (first[:, 1] == value["a"]).all() and (second[:, 1] == value["b"]).all()
    assert (first[:, 0] < second[:, 0]).all() and second[0, 0] < 0.5 < first[1, 0]
    bars_of_b = ax.containers[1].lines[2][0].get_segments()
    assert np.array(bars_of_b)[:, :, 1] == pytest.approx(np.array([[1.5, 2.25], [-1.5, -0.75]]))
