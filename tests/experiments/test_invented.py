"""An edited line is kept by what looks at the data, and not by what knows how lines are."""

import pytest

from stargrav.errors import InputError
from stargrav.experiments import invented
from stargrav.experiments.denoisers import Compared, Stars
from stargrav.experiments.spec import FAIL, PASS
from stargrav.experiments.steps import Bench, bench

SIZES = {"stars": 100, "draws": 1, "steps": 2, "components": 10, "train": 200}


def run(inputs, monkeypatch, denoise, least_depth=0.05):
    """The table where the diffusion models are what `denoise` makes of noisy spectra."""
    monkeypatch.setattr(
        Compared, "given", lambda _, noisy, error: {"ddpm": lambda: denoise(noisy)}
    )
    monkeypatch.setattr(Compared, "matched", lambda _, noisy, error, iterations: denoise(noisy))
    with bench(Bench(inputs, 7)):
        return invented.hallucination.function(**SIZES, least_depth=least_depth)


@pytest.mark.parametrize(
    ("denoise", "expected", "verdict"),
    [
        (lambda noisy: noisy, 1.0, PASS),
        (lambda noisy: (noisy + noisy.mean()) / 2, 0.5, FAIL),
        (lambda noisy: 0 * noisy + 1, 0.0, FAIL),
        (lambda noisy: 1.4 * noisy - 0.4 * noisy.mean(), 1.4, FAIL),
    ],
    ids=["the data", "half of them", "what it has learnt", "more than the data"],
)
def test_what_is_kept_is_what_is_followed(denoise, expected, verdict, inputs, monkeypatch):
    metrics = run(inputs, monkeypatch, denoise).metrics()
    kept = {key: found.value for key, found in metrics.items() if key.startswith("kept")}
    assert {key.split(",")[-1] for key in kept} == {"removed]", "doubled]"}
    assert {tuple(key.split(",")[:2]) for key in kept} == {
        (f"kept[{noise}", model) for noise in ("1", "0.1") for model in ("ddpm", "matched")
    }
    assert list(kept.values()) == pytest.approx([expected] * len(kept), abs=0.06)
    found = {criterion.judge(metrics).verdict for criterion in invented.hallucination.accept}
    assert (FAIL in found) == (verdict == FAIL)


def test_edits_are_as_large_as_the_line(inputs, monkeypatch):
    metrics = run(inputs, monkeypatch, lambda noisy: noisy).metrics()
    removed, doubled = (
        metrics[f"true_change[1,ddpm,Fe_I_7132.9,{edit}]"].value for edit in invented.EDITS
    )
    assert removed < -0.05 and doubled == pytest.approx(-removed, rel=0.05)


def test_shallow_lines_are_left_out_and_named(inputs, monkeypatch, capsys):
    table = run(inputs, monkeypatch, lambda noisy: noisy, least_depth=0.1)
    left, told = {case.labels["line"] for case in table.cases}, capsys.readouterr().out
    assert "Fe_I_7132.9" in left and "left out" in told
    assert not any(name.replace("_", " ") in told for name in left)
    with pytest.raises(InputError, match="a line of depth 0.99"):
        run(inputs, monkeypatch, lambda noisy: noisy, least_depth=0.99)


def test_what_is_measured_has_the_noise_and_the_error_of_its_level(inputs):
    with bench(Bench(inputs, 7)):
        full, little = (Stars(50, noise=noise) for noise in invented.NOISES)
        (noisy, error), (close, small) = full.measured, little.measured
        clean = full.clean
    assert small == pytest.approx(0.1 * error, rel=1e-6)
    assert close - clean == pytest.approx(0.1 * (noisy - clean), abs=1e-4)
    assert ((close - clean) / small).std() == pytest.approx(1, abs=0.02)


def test_where_noise_is_little_a_guided_model_follows_the_data(inputs):
    """A normal prior told the errors weighs them: the trained network must not undo that."""
    with bench(Bench(inputs, 7)):
        table = invented.hallucination.function(**SIZES | {"draws": 2, "steps": 8})
    cases = [case for case in table.cases if case.labels["model"] == "matched"]
    kept = [[c.score.metrics["kept"].value for c in cases if c.noise == n] for n in (0.1, 1.0)]
    assert all(little > much for little, much in zip(*kept, strict=True)) and min(kept[0]) > 0.8
