"""What is particular to the experiments on the teacher's latent."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stargrav.errors import InputError
from stargrav.experiments import distill, shortcut
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import Bench, bench
from stargrav.experiments.table import Score
from stargrav.metrics.estimate import Estimate
from stargrav.models.blindspot import LAYERS


@pytest.fixture(autouse=True)
def on_the_bench(inputs):
    with bench(Bench(inputs, 3, "cpu")):
        yield


def ranked(place, width=60, sizes=(900, 200, 300)):
    """Features made of hidden ones that scatter less and less; the one at `place` is log g."""
    rng = np.random.default_rng(0)
    mixing = np.linalg.qr(rng.standard_normal((width, width)))[0]

    def part(n):
        hidden = rng.standard_normal((1, n, width)) * np.geomspace(4.0, 0.2, width)
        log_g = hidden[0, :, place]
        return Part(hidden @ mixing, {"log_g": log_g}, ("enc", "seg"), np.arange(n), None)

    return Parts(*(part(n) for n in sizes))


@pytest.mark.parametrize(("place", "enough"), [(2, "16"), (24, "32"), (58, "full")])
def test_as_many_components_are_needed_as_scatter_more_than_what_tells(monkeypatch, place, enough):
    """Components of most scatter come first, and none is left out of `full`."""
    monkeypatch.setattr(distill, "latents", lambda *_: ranked(place))
    found = distill.latent_dim.function()
    r2 = {case.key: case.score.metrics["r2"].value for case in found.cases}
    order = list(r2)
    assert order == ["16", "32", "full"]
    for name, value in r2.items():
        assert value > 0.95 if order.index(name) >= order.index(enough) else value < 0.5


@pytest.mark.parametrize("best", distill.POOLINGS)
def test_the_pooling_is_chosen_on_valid_stars_in_each_layer(monkeypatch, best):
    def missed(model, part):
        assert part.path.stem == "valid"
        return 0.5 if part.readout[1] == best else 1.0

    monkeypatch.setattr(distill, "missed", missed)
    found = distill.latent_extraction.function()
    r2 = {case.key: case.score.metrics["r2"].value for case in found.cases}
    for layer in (*LAYERS, "all"):
        assert r2[f"{layer},chosen"] == r2[f"{layer},{best}"]
        assert len({r2[f"{layer},{pooling}"] for pooling in distill.POOLINGS}) == 4


def test_layers_side_by_side_are_all_of_them():
    for pooling in distill.POOLINGS:
        whole = distill._all_layers(pooling, 1.0, draws=1)
        parts = [distill.latents(layer, pooling, 1.0, draws=1) for layer in LAYERS]
        expected = np.concatenate([part.test.features for part in parts], axis=-1)
        np.testing.assert_array_equal(whole.test.features, expected)


def test_flux_and_latents_are_read_of_the_same_stars_by_the_same_heads(monkeypatch):
    seen = []

    def scored(heads, parts):
        seen.append((tuple(heads), parts))
        return Score({"r2": Estimate.exact(0.0)})

    monkeypatch.setattr(distill, "score_by_best", scored)
    found = distill.latent_vs_flux.function(stars=200, epochs=1)
    assert len({heads for heads, _ in seen}) == 1
    stars = [[part.stars["log_g"].tolist() for part in parts] for _, parts in seen]
    assert all(each == stars[0] for each in stars) and len(stars[0][0]) == 200
    told = dict(zip((case.key for case in found.cases), (parts for _, parts in seen), strict=True))
    assert told["flux"].train.readout[0] == "spectrum"
    latent = {name: parts.test.features for name, parts in told.items() if name != "flux"}
    names = list(latent)
    for i, one in enumerate(names):  # each of another teacher, or of other layers
        for other in names[i + 1 :]:
            same_shape = latent[one].shape == latent[other].shape
            assert not same_shape or not np.array_equal(latent[one], latent[other])


def test_each_teacher_is_read_by_its_own_probe(monkeypatch):
    """A probe fitted to one teacher's latents means nothing in another's."""
    asked = []

    def latents(*where, teacher, draws):
        part = replace(ranked(0).train, readout=(teacher, "latent"))
        return Parts(part, part, part)

    def fit(model, train, valid):
        asked.append((train.readout[0], valid.readout[0]))
        return train.readout[0]

    def score(model, part):
        assert model == part.readout[0]
        return Score({"r2": Estimate.exact(0.0)})

    for name, one in {"latents": latents, "fit": fit, "score": score}.items():
        monkeypatch.setattr(shortcut, name, one)
    shortcut.teacher_no_error.function()
    teachers = ("teacher", "teacher_observed", "teacher_no_error")
    assert asked == [(name, name) for name in teachers for _ in ("ridge", "lightgbm")]


def test_the_error_alone_is_all_that_is_seen_of_a_star(monkeypatch):
    """Each kind of error in its turn, as its logarithm, without the flux."""
    asked = []

    def spectra(*inputs, error, stars):
        asked.append((inputs, error))
        return ranked(0, width=8)

    monkeypatch.setattr(shortcut, "spectra", spectra)
    shortcut.error_only.function(stars=100, trees=2)
    assert asked == [(("log_error",), kind) for kind in shortcut.ERRORS]


def test_limits_of_other_stars_are_refused(inputs, tmp_path):
    """As those are that were made before the data set was made anew."""
    folder = tmp_path / "limits"
    shutil.copytree(inputs.folder("limits"), folder)
    for path in folder.glob("*.parquet"):
        frame = pd.read_parquet(path)
        frame.assign(id=frame["id"] + 1).to_parquet(path, index=False)
    other = replace(inputs, folders={**inputs.folders, "limits": folder})
    assert inputs.latents("enc_last", "global_mean").test.limits is not None
    with pytest.raises(InputError, match="id: found other stars"):
        other.latents("enc_last", "global_mean")
