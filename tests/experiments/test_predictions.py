"""Predictions as they are stored: stars once, the rest small, and read back as they were."""

import numpy as np
import pandas as pd
import pytest

from stargrav.experiments.results import STARS, Result, write_predictions

RNG = np.random.default_rng(0)
LABELS = {
    "T_eff": RNG.uniform(3750, 7500, 40),
    "log_g": RNG.uniform(1, 5, 40),
    "mag": np.full(40, 21.5),
    "snr": RNG.uniform(2, 9, 40),
}
TOLD = pd.DataFrame({name: np.float32(values) for name, values in LABELS.items()})


def predicted(case, target, rows, **extra):
    """Predictions of some stars, in the order that they are given in."""
    stars = TOLD.iloc[rows].reset_index(drop=True)
    truth = stars[target] if target in stars else np.float32(RNG.normal(size=len(stars)))
    told = {"truth": truth, "prediction": np.float32(truth + RNG.normal(0, 1, len(stars)))}
    own = {name: np.float32(values) for name, values in extra.items()}
    return pd.DataFrame({"case": case, "target": target, **told, **stars, **own})


def test_what_was_predicted_comes_back(tmp_path):
    every, some = np.arange(40), RNG.permutation(40)[:9]
    frame = pd.concat(
        [
            predicted("a", "log_g", every, rank=RNG.uniform(size=40)),
            predicted("b", "T_eff", some, rank=RNG.uniform(size=9)),
        ],
        ignore_index=True,
    )
    write_predictions(tmp_path, frame)
    found = Result(tmp_path).predictions
    assert set(found) == set(frame)
    for name in ("case", "target"):
        assert (found[name].astype(str) == frame[name]).all()
    for name in ("truth", *TOLD):
        np.testing.assert_array_equal(found[name], frame[name])
    for name in ("prediction", "rank"):
        np.testing.assert_allclose(found[name], frame[name], rtol=1.3e-4)
        assert not np.array_equal(found[name], frame[name])


def test_a_truth_that_is_no_label_is_kept(tmp_path):
    frame = predicted("a", "residual", np.arange(40), residual=np.ones(40))
    write_predictions(tmp_path, frame)
    np.testing.assert_array_equal(Result(tmp_path).predictions["truth"], frame["truth"])


def test_the_same_stars_are_the_same_file_whoever_is_asked_besides(tmp_path):
    """In the order in which they come, which makes their numbers short to store."""
    order = RNG.permutation(40)
    for name, cases in (("first", "a"), ("second", "abc")):
        (tmp_path / name).mkdir()
        frames = [predicted(case, "log_g", order) for case in cases]
        write_predictions(tmp_path / name, pd.concat(frames, ignore_index=True))
    first, second = ((tmp_path / name / STARS).read_bytes() for name in ("first", "second"))
    assert first == second


def test_nothing_predicted_is_an_empty_table(tmp_path):
    assert Result(tmp_path).predictions.empty


@pytest.mark.parametrize("sign", [1, -1])
def test_rounding_goes_to_the_nearest(tmp_path, sign):
    frame = predicted("a", "log_g", np.arange(40))
    frame["prediction"] = np.float32(sign * np.linspace(1, 2, 40))
    write_predictions(tmp_path, frame)
    off = Result(tmp_path).predictions["prediction"] - frame["prediction"]
    assert off.abs().max() <= 2**-13 and abs(off.mean()) < 2**-15
