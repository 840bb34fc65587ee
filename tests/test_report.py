"""The verdict page says what the stored results say, and says what is missing."""

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

from stargrav import report
from stargrav.errors import InputError
from stargrav.experiments import registry
from stargrav.experiments.advice import GROUPS
from stargrav.experiments.decisions import TREES
from stargrav.experiments.evidence import MISSING
from stargrav.experiments.results import SECONDS, write
from stargrav.experiments.spec import INCONCLUSIVE, PASS, at_least
from stargrav.experiments.table import Prediction, Score, over
from stargrav.experiments.verdicts import verdict_rows
from stargrav.metrics.regression import regression_scores
from stargrav.report import write_report

ROOT = Path(__file__).parents[1]
PROPOSITIONS = [proposition for group in GROUPS.values() for proposition in group]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
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
    folder = tmp_path_factory.mktemp("results") / "encoder_mlp"
    folder.mkdir()
    conditions = {"profile": "laptop", "seed": 1, "parameters": {"alpha": 0.001}}
    write(folder, registry()["encoder_mlp"], table, conditions)
    return folder.parent


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    """The Markdown page of these results; figures and HTML page lie beside it."""
    return write_report(results, tmp_path_factory.mktemp("docs") / "results.md")


@pytest.fixture
def own(results, tmp_path):
    """A copy of the results, to be changed."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def test_page_holds_verdict_intervals_and_published_values(results, written):
    page = written.read_text()
    summary = json.loads((results / "encoder_mlp" / "metrics.json").read_text())
    (criterion,) = summary["criteria"]
    row = next(line for line in page.splitlines() if "r2[mlp] - r2[ridge] > 0" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    low, high = (f"{criterion[end]:.3f}" for end in ("low", "high"))
    assert cells[3] == f"{criterion['value']:.3f} [{low}, {high}]"
    assert cells[4:] == ["0.0601", "", f"**{criterion['verdict']}**"]
    assert f"{summary['metrics']['rmse[mlp]']['value']:.3f} [" in page and "0.7436" in page


class Reader(HTMLParser):
    """Tags that are open, what is linked, embedded and named, and the text."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.sources, self.names, self.words = [], [], [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []
        self.names += [found["id"]] if "id" in found else []
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def page(written):
    return Reader(written.with_suffix(".html").read_text())


def test_html_page_is_whole_and_needs_nothing_beside_it(page):
    assert page.open == []
    assert page.sources and all(s.startswith("data:image/png;base64,") for s in page.sources)
    inner = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert len(set(page.names)) == len(page.names)
    assert inner <= set(page.names)
    outer = [link for link in page.links if not link.startswith("#")]
    assert all(link.startswith("http://127.0.0.1:5000/#/experiments/1/runs?") for link in outer)
    assert any("encoder_mlp" in unquote(link) for link in outer)


def test_html_page_holds_every_decision_and_verdict(results, page):
    (criterion,) = json.loads((results / "encoder_mlp" / "metrics.json").read_text())["criteria"]
    ends = [f"{criterion[end]:.3f}" for end in ("value", "low", "high")]
    assert f"r2[mlp] - r2[ridge] > 0 {ends[0]} [{ends[1]}, {ends[2]}] 0.0601" in page.text
    for proposition in PROPOSITIONS:
        assert f"{proposition.name} {proposition.says}" in page.text
    for experiment in registry().values():
        assert f"{experiment.name} {experiment.claim}" in page.text
    assert "r2[log_g,ridge,all] >= 0.5 … missing" in page.text
    assert "stargrav run linear_probe it decides:" in page.text
    assert "Predicted against true log g" in page.text and "Not drawn" in page.text
    assert len(page.sources) == len(TREES) + 2  # predicted, and the ladder, of two of its rows


def test_efficiency_stands_where_it_was_measured(own, tmp_path):
    path = own / "encoder_mlp" / "metrics.json"
    summary = json.loads(path.read_text())
    summary["metrics"]["efficiency[mlp]"] = {"value": 0.7, "low": 0.6, "high": 0.8}
    path.write_text(json.dumps(summary))
    out = write_report(own, tmp_path / "docs" / "results.md")
    assert "| 0.0601 | 0.700 [0.600, 0.800] (mlp) |" in out.read_text()


def test_what_is_asked_and_was_not_measured_cannot_pass(tmp_path):
    claim = registry()["encoder_mlp"]
    (gain,) = claim.accept
    asked = replace(claim, accept=(gain, at_least("r2[other]", 0.0)))
    rng, table = np.random.default_rng(0), over(model=["ridge", "mlp"])
    truth = rng.uniform(1, 5, 200)
    for case, spread in zip(table, (0.9, 0.3), strict=True):
        value = truth + rng.normal(0, spread, 200)
        scores = regression_scores(truth, value, seed=1)
        case.record(Score(scores, {}, Prediction("log_g", truth, value, {})))
    found = write(tmp_path, asked, table, {"profile": "laptop", "seed": 1})
    assert found.summary["verdict"] == INCONCLUSIVE
    assert [row.verdict for row in verdict_rows(asked, found)] == [PASS, MISSING]


def test_missing_evidence_is_named(written):
    page = written.read_text()
    assert "No result yet" in page and "`linear_probe` (distill 1.1)" in page


def test_every_figure_that_is_named_is_there(written):
    lines = (line for line in written.read_text().splitlines() if "![" in line)
    named = {line.split("](")[1].rstrip(")") for line in lines}
    drawn = {p.relative_to(written.parent).as_posix() for p in written.parent.rglob("*.png")}
    own = len(registry()["encoder_mlp"].figures)
    assert named == drawn and len(drawn) == own + len(TREES) + 1  # the ladder


def test_main_figures_are_those_of_the_experiments():
    for _, name, figure in report.MAIN_FIGURES:
        assert name not in registry() or figure in registry()[name].figures


def test_the_report_comes_after_every_experiment_and_owns_its_pages():
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["report"]
    assert {f"artifacts/experiments/{name}" for name in registry()} <= set(stage["deps"])
    assert {path for out in stage["outs"] for path in out} == {
        "docs/results.md",
        "docs/results.html",
        "docs/figures",
    }


def test_the_same_results_give_the_same_bytes(own, written, tmp_path):
    """Read from another place, written to another."""
    pages = [written.parent, write_report(own, tmp_path / "docs" / "results.md").parent]
    files = [
        {p.relative_to(page): p.read_bytes() for p in page.rglob("*") if p.is_file()}
        for page in pages
    ]
    assert files[0] == files[1] and len(files[0]) > len(TREES) + 2


def test_an_interrupted_report_leaves_the_old_pages(own, written, tmp_path, monkeypatch):
    docs = Path(shutil.copytree(written.parent, tmp_path / "docs"))
    before = {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    path = own / "encoder_mlp" / "metrics.json"
    path.write_text(path.read_text().replace("laptop", "full"))  # there is something new to say
    monkeypatch.setattr(report, "_section", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(own, docs / written.name)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_what_cannot_be_read_is_named(own, tmp_path):
    with pytest.raises(InputError, match="no results"):
        write_report(tmp_path / "nothing", tmp_path / "results.md")
    (own / "encoder_mlp" / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="encoder_mlp/metrics.json: content"):
        write_report(own, tmp_path / "results.md")


def test_models_of_whole_spectra_stand_in_one_table_the_best_first(own, tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.uniform(1, 5, 200)
    for name, axes, parameters in (
        ("lgbm_sweep", {"noise": (0.1, 1.0), "setting": "baseline leaves_7 depth_3".split()}, {}),
        ("latent_tower", {"features": ("global", "both")}, {"noise_level": 1.0}),
    ):
        experiment = registry()[name]
        table = over(**axes)
        for number, case in enumerate(table, start=1):
            value = truth + rng.normal(0, number / 5, 200)
            found = Prediction("log_g", truth, value, {})
            columns = {"n_train": 9, "parameters": number}
            score = Score(regression_scores(truth, value, seed=1), columns, found)
            case.record(score, seconds=10 * number)
        folder = own / name
        folder.mkdir()
        conditions = {"profile": "laptop", "seed": 1, "parameters": parameters}
        written = registry()[name]
        marks = {"r2[1,baseline]": 0.321} if name == "lgbm_sweep" else {}
        unjudged = {**vars(written), "accept": (), "published": marks}
        write(folder, type(experiment)(**unjudged), table, conditions)
    (own / "latent_tower" / SECONDS).unlink()  # an early result, which kept none
    frame = report._whole_spectra(
        {name: report.Result(own / name) for name in ("encoder_mlp", "lgbm_sweep", "latent_tower")}
    )
    shown = frame.split(report.WHOLE_SPECTRA)[1].strip().splitlines()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown]
    assert lines[0] == [
        "noise",
        "experiment",
        "model",
        "n_train",
        "parameters",
        "r2",
        "r2 published",
        "efficiency",
        "seconds",
    ]
    found = [(line[0], line[2], line[4], line[6], line[8]) for line in lines[2:]]
    assert [noise for noise, *_ in found] == ["0.1"] * 3 + ["1"] * 5
    assert found[3:] == [
        ("1", "global", "1", "", ""),
        ("1", "both", "2", "", ""),
        ("1", "baseline", "4", "0.321", "40"),
        ("1", "leaves_7", "5", "", "50"),
        ("1", "depth_3", "6", "", "60"),
    ]
    assert report._whole_spectra({"encoder_mlp": report.Result(own / "encoder_mlp")}) == ""


def test_variants_stand_in_one_table_with_both_test_sets(own):
    rng = np.random.default_rng(1)
    truth = rng.uniform(1, 5, 200)
    written = registry()["multitask"]
    table = over(model=("one", "three", "plain"), stars=("all", "low"))
    for number, case in enumerate(table, start=1):
        value = truth + rng.normal(0, 1 / number, 200)
        found = Prediction("log_g", truth, value, {})
        case.record(Score(regression_scores(truth, value, seed=1), {"parameters": number}, found))
    folder = own / "multitask"
    folder.mkdir()
    conditions = {"profile": "laptop", "seed": 1, "parameters": {}}
    write(folder, type(written)(**{**vars(written), "accept": ()}), table, conditions)
    result = report.Result(folder)
    frame = report._variants(
        {"encoder_mlp": report.Result(own / "encoder_mlp"), "multitask": result}
    )
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in frame.splitlines()[4:]]
    assert [line[1] for line in lines] == ["plain", "three", "one"]
    low = result.summary["metrics"]["r2[plain,low]"]["value"]
    assert lines[0][2] == "5" and lines[0][4].startswith(f"{low:.3f}")
    rows = (folder / "table.csv").read_text().splitlines()
    (folder / "table.csv").write_text("\n".join(row for row in rows if ",low," not in row))
    frame = report._variants({"multitask": report.Result(folder)})
    (line,) = (row for row in frame.splitlines() if "| plain |" in row)
    assert [cell.strip() for cell in line.split("|")][5] == ""  # stars whose SNR is not told
    assert report._variants({"encoder_mlp": report.Result(own / "encoder_mlp")}) == ""
