"""The survey of a ready-made data set: its rows, their limits, and what counts as low noise."""

import numpy as np
import pytest
from chosen import whole

from stargrav.data import protocol, store
from stargrav.data.splits import index_splits
from stargrav.inference import limits
from stargrav.labels import LABELS
from stargrav.stages import Work, dataset, survey

ROWS, SIZES = 400, {"train": 300, "valid": 20, "test": 30}


@pytest.fixture
def build(foreign, tmp_path):
    """Builds the survey of a file and its limits; the file, and the folder of each."""

    def build(change=None):
        path = foreign(change, ROWS)
        chosen = whole(survey=SIZES, splits={"train": 7}, limits={"neighbours": 24})
        folders = {}
        for name in ("survey", "survey_limits"):
            out = tmp_path / name
            out.mkdir()
            survey.build(Work(name, chosen, path, dict(folders), tmp_path / f"{name}.parts"), out)
            folders[name] = out
        return path, folders["survey"], folders["survey_limits"]

    return build


def test_its_spectra_are_rows_of_the_file_none_in_two_splits(build):
    path, made, _ = build()
    source = store.read_spectra(path)
    rows = index_splits(ROWS, SIZES)
    for split, count in SIZES.items():
        found = dataset.read(made, split)
        assert len(found) == count
        assert set(found.ids) == set(rows[split])
        np.testing.assert_array_equal(found.flux, source.flux[found.ids])
        np.testing.assert_array_equal(found.error, source.error[found.ids])
        np.testing.assert_allclose(found.labels, source.labels[found.ids], rtol=1e-6)


def test_low_noise_is_the_brightest_fifth_of_its_training_stars(build):
    def rank(parts):
        parts["stars"]["snr"] = np.arange(ROWS, dtype=float)

    _, made, _ = build(rank)
    least = protocol.threshold(made)
    train = dataset.read(made, "train").stars["snr"]
    assert (train >= least).mean() == pytest.approx(0.2, abs=0.005)
    assert least == pytest.approx(np.quantile(train, 0.8))


def test_without_snr_no_star_counts_as_low_noise(build):
    _, made, _ = build(lambda parts: parts["stars"].pop("snr"))
    assert protocol.threshold(made) is None
    assert "snr" not in dataset.read(made, "train").stars


def test_without_a_library_neighbours_tell_its_limits(build):
    def slope(parts):
        """Each label tells in three pixels of its own, 2 % per unit; the median stays."""
        steps = np.repeat(0.02 * np.eye(len(LABELS), 14), [3] * 13 + [1], axis=1)
        parts["flux"] = 1 + parts["stars"][list(LABELS)].to_numpy() @ steps
        parts["error"] = np.full_like(parts["flux"], 0.03)

    _, made, limited = build(slope)
    test = dataset.read(made, "test")
    found = limits.read_limits(limited, 1.0)
    assert found["id"].tolist() == test.ids.tolist()
    exact = 0.03 / (0.02 * np.sqrt(3))
    assert found["sigma_knn_log_g"].median() == pytest.approx(exact, rel=0.2)
    assert not any(name.startswith(("mean_", "sigma_fisher")) for name in found)
    assert [path.name for path in limited.glob("*.parquet")] == [limits.path(limited, 1.0).name]
