"""Fits on two worker processes against those on one machine."""

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster

from stargrav.data import store
from stargrav.errors import InputError
from stargrav.inference.draws import StreamedPixels
from stargrav.labels import LABELS, from_unit
from stargrav.models import trees
from stargrav.models.ridge import Sums, near_mean
from stargrav.training import cluster

STARS, PIXELS = 4000, 24
GIVEN = {"leaves": 7, "rate": 0.1, "share": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def client():
    local = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **local) as running,
        cluster.connected(running.scheduler_address) as client,
    ):
        client.wait_for_workers(2)
        yield client


@pytest.fixture(scope="module")
def portions(tmp_path_factory):
    """Stars of a file in three parts of different length, one of their lines told by log g."""
    rng = np.random.default_rng(0)
    unit = rng.uniform(size=(STARS, len(LABELS)))
    stars = pd.DataFrame(from_unit(unit), columns=LABELS)
    wave = np.linspace(8500, 8510, PIXELS)
    line = np.exp(-(((wave - 8505) / 2) ** 2))
    flux = (1 - (0.2 + 0.5 * unit[:, [LABELS.index("log_g")]]) * line).astype(np.float32)
    path = tmp_path_factory.mktemp("stars") / "train.h5"
    batch = [(flux, np.full_like(flux, 0.1))]
    store.write_spectra(path, wave, batch, stars, {"error": "noiseless"})
    rows = np.split(rng.permutation(STARS), [500, 2000])
    read = [StreamedPixels(path, part, ("flux",), 1.0, 42) for part in rows]
    return [(x, stars["log_g"].to_numpy()[part]) for x, part in zip(read, rows, strict=True)]


def held(portions):
    return (np.concatenate(each) for each in zip(*((x[:], y) for x, y in portions), strict=True))


def test_sums_of_the_workers_are_those_of_one_machine(client, portions):
    assert cluster.threads(client) == 2
    x, y = held(portions)
    origin = near_mean(portions[0][0])
    found, known = cluster.summed(client, portions, origin), Sums.of(x, y, origin)
    assert found.stars == STARS
    for alpha in (1.0, 100.0):
        (ours,), (theirs,) = (each.solutions([alpha]) for each in (found, known))
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-9)
        assert ours[2] == pytest.approx(theirs[2], rel=1e-9)


def test_trees_of_the_workers_tell_what_those_of_one_machine_do(client, portions):
    """Each worker finds the bins of some features from its own stars, hence other trees."""
    x, y = held(portions)
    found = cluster.boost(client, portions, trees=40, **GIVEN).predict(x)
    known = trees.boost(x, y, trees=40, **GIVEN).predict(x)
    assert np.std(found - known) < 0.1 * np.std(known)
    left, left_by_one = np.var(y - found), np.var(y - known)
    assert left == pytest.approx(left_by_one, rel=0.05) and left < 0.1 * np.var(y)


def test_what_the_workers_cannot_hold_is_refused(client):
    cluster.require_memory(client, STARS, PIXELS)
    with pytest.raises(
        InputError, match="memory of the workers: found .* expected 34[0-9]{3}.* GiB"
    ):
        cluster.require_memory(client, 10**9, 4096)


def test_an_address_where_nothing_runs_is_refused(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(InputError, match="127.0.0.1:1 .*expected the address of a Dask"):
        with cluster.connected("tcp://127.0.0.1:1"):
            pass


def test_an_error_of_what_is_done_there_stays_what_it_is(client):
    with pytest.raises(InputError, match="^stars"):
        with cluster.connected(client.scheduler.address):
            raise InputError("stars", "label", "one", "two")
