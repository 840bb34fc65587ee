"""The library's builder: resumable, parallel, faithful to what the synthesiser gives."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from stargrav.labels import LABELS, RANGES
from stargrav.physics import nodes, synthesis

TINY = {"T_eff": (4500, 5500), "log_g": (2.0, 4.0), "M_H": (0.0,), "a_M": (0.0,), "C_M": (0.0,)}


class Bumps:
    """Stands for the synthesiser: a line whose depth and place are linear in the labels."""

    calls = 0

    def __init__(self, strength=1.0):
        self.strength = strength

    def __call__(self, labels):
        Bumps.calls += 1
        depth = 0.2 * self.strength + 0.1 * (labels[0] - 4500) / 1000 + 0.05 * labels[1]
        return (3e6 * (1 - depth * np.exp(-(((synthesis.WAVE - 8000) / 3) ** 2)))).astype("f4")


@pytest.fixture
def bumps():
    Bumps.calls = 0
    return {"processes": 1, "n_components": 3, "progress": False, "make_synthesizer": Bumps}


@pytest.mark.parametrize("name", list(nodes.NODES))
def test_nodes_span_the_label_ranges(name):
    for label, (low, high) in RANGES.items():
        values = nodes.NODES[name][label]
        assert list(values) == sorted(set(values))
        assert (values[0], values[-1]) == (low, high)


def test_grid_is_every_combination():
    labels = nodes.grid(nodes.NODES["quick"])
    sizes = [len(nodes.NODES["quick"][label]) for label in LABELS]
    assert labels.shape == (np.prod(sizes), 5)
    assert len(np.unique(labels, axis=0)) == len(labels)


def test_degrading_has_the_resolution_it_names():
    wave = nodes.library_wave()
    flux = np.ones(len(synthesis.WAVE))
    every = round(len(flux) / len(wave))
    at = len(flux) // 2 // every * every
    flux[at] = 50.0
    line = nodes.degrade(flux) - 1
    centre = wave[at // every]
    area = line.sum()
    sigma = np.sqrt((line * (wave - centre) ** 2).sum() / area)
    fwhm = 2 * np.sqrt(2 * np.log(2)) * sigma
    assert centre / fwhm == pytest.approx(nodes.RESOLUTION, rel=0.01)
    native = np.gradient(synthesis.WAVE)[at]
    assert area * np.gradient(wave)[at // every] == pytest.approx(49.0 * native, rel=1e-3)


def test_library_returns_the_nodes(bumps, tmp_path):
    library = nodes.build_library(TINY, tmp_path, **bumps)
    labels = nodes.grid(TINY)
    expected = np.stack([nodes.degrade(Bumps()(row)) for row in labels])
    found = library.flux_at(torch.from_numpy(labels)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    between = torch.tensor([[5000.0, 3.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    straight = nodes.degrade(Bumps()(between[0].numpy()))
    np.testing.assert_allclose(library.flux_at(between)[0].numpy(), straight, atol=1e-4)


def test_build_goes_on_where_it_stopped(bumps, tmp_path):
    whole = nodes.build_library(TINY, tmp_path / "a", **bumps)
    assert Bumps.calls == 4
    nodes.build_library(TINY, tmp_path / "a", **bumps)
    assert Bumps.calls == 4, "a finished build computes nothing"
    files = sorted((tmp_path / "a").iterdir())
    files[1].unlink()
    files[0].with_suffix(".1.tmp").write_bytes(b"cut short")
    again = nodes.build_library(TINY, tmp_path / "a", **bumps)
    assert Bumps.calls == 4 + 4 // len(files)
    assert torch.equal(whole.coefficients, again.coefficients)
    assert torch.equal(whole.components, again.components)


def test_failure_leaves_only_whole_parts(bumps, tmp_path, monkeypatch):
    def fail(self, labels):
        if labels[0] > 5000:
            raise ArithmeticError("no atmosphere")
        return np.ones(len(synthesis.WAVE), dtype="f4")

    monkeypatch.setattr(Bumps, "__call__", fail)
    with pytest.raises(ArithmeticError, match="no atmosphere"):
        nodes.build_library(TINY, tmp_path, **bumps)
    parts = list(tmp_path.iterdir())
    assert [part.suffix for part in parts] == [".npy"] * 2
    assert all(np.isfinite(np.load(part)).all() for part in parts)


def test_other_physics_or_nodes_are_other_parts(bumps, tmp_path, monkeypatch):
    nodes.build_library(TINY, tmp_path, **bumps)
    monkeypatch.setattr(nodes, "physics_version", lambda: "changed")
    nodes.build_library(TINY, tmp_path, **bumps)
    assert Bumps.calls == 8
    nodes.build_library({**TINY, "T_eff": (4500, 5600)}, tmp_path, **bumps)
    assert Bumps.calls == 10, "only the new temperature is computed"


@pytest.mark.parametrize(
    ("file", "is_physics"),
    [
        ("constants.py", True),
        ("labels.py", True),
        ("physics/opacity.py", True),
        ("physics/tables/abundances.csv", True),
        ("physics/grid.py", False),
        ("errors.py", False),
    ],
)
def test_version_follows_what_a_spectrum_follows_from(file, is_physics, tmp_path, monkeypatch):
    source = Path(nodes.__file__).parents[1]
    shutil.copytree(source / "physics", tmp_path / "physics")
    for name in ("constants.py", "labels.py", "errors.py"):
        shutil.copy(source / name, tmp_path)
    version = nodes.physics_version.__wrapped__  # the one that keeps nothing
    expected = version()
    monkeypatch.setattr(nodes, "files", lambda name: tmp_path.joinpath(*name.split(".")[1:]))
    assert version() == expected
    with (tmp_path / file).open("a") as changed:
        changed.write("# changed\n")
    assert (version() != expected) == is_physics


def test_version_follows_how_spectra_are_degraded(monkeypatch):
    version = nodes.physics_version.__wrapped__
    expected = version()
    monkeypatch.setattr(nodes, "RESOLUTION", 10_000.0)
    coarser = version()
    monkeypatch.setattr(nodes, "degrade", lambda flux: flux[::2])
    assert len({expected, coarser, version()}) == 3


def test_other_synthesiser_is_other_parts(bumps, tmp_path):
    one, two = (partial(Bumps, strength) for strength in (1.0, 0.5))
    for make in (one, two, one):
        nodes.build_library(TINY, tmp_path, **{**bumps, "make_synthesizer": make})
    assert Bumps.calls == 8


def test_processes_give_what_one_gives(tmp_path):
    few = {**TINY, "log_g": (4.0,)}
    make = partial(synthesis.Synthesizer, molecules=False)
    before = dict(os.environ)
    parallel = nodes.build_library(few, tmp_path / "two", 2, 1, False, make)
    assert dict(os.environ) == before
    one = nodes.build_library(few, tmp_path / "one", 1, 1, False, make)
    torch.testing.assert_close(parallel.coefficients, one.coefficients, rtol=1e-4, atol=1e-4)
    assert {p.name for p in (tmp_path / "two").iterdir()} == {
        p.name for p in (tmp_path / "one").iterdir()
    }
    spectrum = one.flux_at(torch.tensor([[5500.0, 4.0, 0, 0, 0]], dtype=torch.float64))[0]
    triplet = torch.argmin(torch.abs(one.wave - 8544.44))
    assert spectrum[triplet] < 0.7 < 0.9 < spectrum.median() < 1.1


def test_spectra_of_several_processes_come_in_the_order_of_their_labels():
    labels = np.array([[t, 4.0, 0, 0, 0] for t in (6000, 4500, 5200, 4800)])
    make = partial(synthesis.Synthesizer, synthesis.WAVE[10_000:10_040], molecules=False)
    expected = np.stack([make()(row) for row in labels])
    for processes in (1, 2):
        found = np.stack(list(nodes.spectra(labels, processes, make)))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected[:, 0].argsort().tolist() == [1, 3, 2, 0]
