"""The protocol of low noise."""

import json

import numpy as np

from stargrav.data import protocol


def test_the_threshold_is_that_of_the_training_stars(tmp_path):
    rng = np.random.default_rng(0)
    snr = {"train": rng.lognormal(2, 0.5, 5000), "test": rng.lognormal(3, 0.5, 1000)}
    (tmp_path / protocol.FILE).write_text(json.dumps(protocol.written(snr)))
    least = protocol.threshold(tmp_path)
    assert abs((snr["train"] >= least).mean() - 0.2) < 0.001
    assert (snr["test"] >= least).mean() > 0.5  # brighter ones are not cut by their own quantile


def test_without_snr_there_is_no_threshold(tmp_path):
    assert protocol.threshold(tmp_path) is None
    (tmp_path / protocol.FILE).write_text(json.dumps(protocol.written({"train": None})))
    assert protocol.threshold(tmp_path) is None
