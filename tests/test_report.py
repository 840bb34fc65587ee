"""The verdict page says what the stored results say, and says what is missing."""

import json

import numpy as np
import pytest

from stargrav import report
from stargrav.errors import InputError
from stargrav.experiments import registry
from stargrav.experiments.decisions import TREES
from stargrav.experiments.results import write
from stargrav.experiments.table import Prediction, Score, over
from stargrav.metrics.regression import regression_scores
from stargrav.report import write_report


@pytest.fixture
def results(tmp_path):
    """A stored result of `encoder_mlp`, as if measured; `linear_probe` was not run."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 200)
    stars = {"T_eff": rng.uniform(4e3, 6e3, 200), "M_H": -truth / 4, "snr": 7 + truth}
    history = [
        {"epoch": e, "train_loss": 1 / e, "valid_loss": 2 / e, "valid_r2": e / 9} for e in (1, 2)
    ]
    table = over(model=["ridge", "mlp"])
    for case, spread in zip(table, (0.9, 0.6), strict=True):
        value = truth + rng.normal(0, spread, 200)
        found = Prediction("log_g", truth, value, stars)
        scores = regression_scores(truth, value, seed=1)
        case.record(Score(scores, {"n_train": 9}, found, history if case.model == "mlp" else ()))
    folder = tmp_path / "results" / "encoder_mlp"
    folder.mkdir(parents=True)
    conditions = {"profile": "laptop", "seed": 1, "parameters": {"alpha": 0.001}}
    write(folder, registry()["encoder_mlp"], table, conditions)
    return tmp_path / "results"


def test_page_holds_verdict_intervals_and_published_values(results, tmp_path):
    page = write_report(results, tmp_path / "docs" / "results.md").read_text()
    summary = json.loads((results / "encoder_mlp" / "metrics.json").read_text())
    (criterion,) = summary["criteria"]
    row = next(line for line in page.splitlines() if "r2[mlp] - r2[ridge] > 0" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    low, high = (f"{criterion[end]:.3f}" for end in ("low", "high"))
    assert cells[3] == f"{criterion['value']:.3f} [{low}, {high}]"
    assert cells[4:] == ["0.0601", "", f"**{criterion['verdict']}**"]
    assert f"{summary['metrics']['rmse[mlp]']['value']:.3f} [" in page and "0.7436" in page


def test_missing_evidence_is_named(results, tmp_path):
    page = write_report(results, tmp_path / "docs" / "results.md").read_text()
    assert "No result yet" in page and "`linear_probe` (distill 1.1)" in page


def test_every_figure_that_is_named_is_there(results, tmp_path):
    out = write_report(results, tmp_path / "docs" / "results.md")
    named = {
        line.split("](")[1].rstrip(")") for line in out.read_text().splitlines() if "![" in line
    }
    drawn = {p.relative_to(out.parent).as_posix() for p in out.parent.rglob("*.png")}
    assert named == drawn and len(drawn) == len(registry()["encoder_mlp"].figures) + len(TREES)


def test_the_same_results_give_the_same_bytes(results, tmp_path):
    pages = [write_report(results, tmp_path / name / "results.md").parent for name in "ab"]
    files = [{p.name: p.read_bytes() for p in page.rglob("*") if p.is_file()} for page in pages]
    assert files[0] == files[1]


def test_an_interrupted_report_leaves_the_old_page(results, tmp_path, monkeypatch):
    out = write_report(results, tmp_path / "docs" / "results.md")
    before = out.read_bytes()
    monkeypatch.setattr(report, "_section", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(results, out)
    assert out.read_bytes() == before
    assert len(list((out.parent / "figures" / "encoder_mlp").iterdir())) == 4


def test_what_cannot_be_read_is_named(results, tmp_path):
    with pytest.raises(InputError, match="no results"):
        write_report(tmp_path / "nothing", tmp_path / "results.md")
    (results / "encoder_mlp" / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="encoder_mlp/metrics.json: content"):
        write_report(results, tmp_path / "results.md")
