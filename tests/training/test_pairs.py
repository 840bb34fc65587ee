"""Visits of LAMOST as batches: the better one stands for the clean one, stars are kept apart."""

import numpy as np
import pytest
import torch
from lamost_files import CLEAN, WAVE, write

from stargrav.errors import InputError
from stargrav.training.dncnn import train_dncnn
from stargrav.training.pairs import paired_batches
from stargrav.training.plan import Plan

GRID = np.linspace(7200, 7400, 128)
STARS, WORSE, BETTER = 20, 8.0, 40.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two visits of each star, in both layouts; the first star has a third."""
    folder = tmp_path_factory.mktemp("lamost")
    for number in range(STARS):
        star = {"star": f"LAMOST J{number:02d}"}
        level = 10.0 + number
        write(folder / f"{number}a.fits", "image", snr=WORSE, seed=number, level=level, **star)
        write(folder / f"{number}b.fits", "table", snr=BETTER, seed=100 + number, **star)
    write(folder / "third.fits", "table", "LAMOST J00", snr=WORSE / 2, seed=999)
    return folder


def rows(batches):
    parts = list(batches)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def test_the_better_visit_is_the_clean_one(folder):
    train, valid = paired_batches(folder, GRID, 4, most=1000)
    clean = torch.from_numpy(np.interp(GRID, WAVE, CLEAN))
    for batches in (train, valid):
        found = rows(batches)
        assert found.keys() == {"flux", "noisy", "error"}
        assert all(x.shape[1:] == (128,) and x.dtype == torch.float32 for x in found.values())
        off = {name: (found[name] - clean).std(1).median() for name in ("flux", "noisy")}
        assert off["flux"] == pytest.approx(1 / BETTER, rel=0.3)
        assert off["noisy"] == pytest.approx(1 / WORSE, rel=0.3)
        assert found["error"].median() == pytest.approx(1 / WORSE, rel=0.1)
    assert len(rows(train)["flux"]) + len(rows(valid)["flux"]) == STARS + 1


def test_no_star_is_in_both(folder):
    for seed in range(12):  # in one of which the star with three visits is checked
        train, valid = (rows(b)["flux"] for b in paired_batches(folder, GRID, 4, 1000, seed))
        assert len(valid) in (2, 3) and len(train) + len(valid) == STARS + 1
        assert not any(torch.equal(a, b) for a in train for b in valid)


def test_order_is_drawn_in_training_alone_and_sizes_are_kept(folder):
    train, valid = paired_batches(folder, GRID, 4, most=10)
    assert len(rows(train)["flux"]) == 10 and len(train) == 3
    train.generator.manual_seed(1)
    first, second = rows(train)["flux"], rows(train)["flux"]
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(0).values, second.sort(0).values)
    assert torch.equal(rows(valid)["flux"], rows(valid)["flux"])


def test_a_network_learns_from_them(folder):
    train, valid = paired_batches(folder, GRID, 4, most=1000)
    plan = Plan(15, schedule="cosine", accelerator="cpu")
    model, _ = train_dncnn(train, valid, {"dilations": [1] * 3, "channels": 16}, plan, 3e-3)
    seen = rows(valid)
    with torch.inference_mode():
        found = model(seen["noisy"], seen["error"])
    clean = torch.from_numpy(np.interp(GRID, WAVE, CLEAN))
    left, before = ((x - clean).square().mean() for x in (found, seen["noisy"]))
    assert left < 0.5 * before


def test_what_cannot_be_trained_on_is_told(folder, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        paired_batches(tmp_path / "none", GRID, 4, 10)
    with pytest.raises(InputError, match="7095|7600"):
        paired_batches(folder, np.linspace(7100, 7700, 64), 4, 10)
    write(tmp_path / "one" / "a.fits", "image", snr=WORSE)
    write(tmp_path / "one" / "b.fits", "table", snr=BETTER)
    with pytest.raises(InputError, match="pairs of one star"):
        paired_batches(tmp_path / "one", GRID, 4, 10)
