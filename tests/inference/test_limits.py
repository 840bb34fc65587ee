"""Stored limits are read as they were written, and told apart from none."""

import json

import pandas as pd
import pytest

from stargrav.inference.limits import MANIFEST, path, prior_variance, read_limits, read_magnitudes


def test_limits_of_a_noise_level_are_found_and_others_are_not(tmp_path):
    frame = pd.DataFrame({"id": [3, 1], "mean_log_g": [2.5, 4.0]})
    frame.to_parquet(path(tmp_path, 1.0), index=False)
    assert read_limits(tmp_path, 1).equals(frame)
    assert read_limits(tmp_path, 0.5) is None
    assert read_magnitudes(tmp_path) is None


def test_prior_is_uniform_over_the_range(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({"log_g": [1.0, 5.0]}))
    assert prior_variance(tmp_path) == pytest.approx(4 / 3)
