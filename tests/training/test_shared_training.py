"""Two processes train one network: as one would, where the maths says so, and to the same end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from by_torchrun import by_two
from shared_trainings import SAME, linear, transformer

from stargrav.data.share import Share
from stargrav.training.batches import TensorBatches
from stargrav.training.record import CHECKPOINT

LOSSES = [SAME.index(name) for name in ("train_loss", "valid_loss", "valid_r2")]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each of two processes has after its trainings, and what they have printed."""
    out = tmp_path_factory.mktemp("ranks")
    script = Path(__file__).with_name("shared_trainings.py")
    printed = by_two(script, out)
    both = [torch.load(out / rank / "told.pt", weights_only=False) for rank in "01"]
    return both, out, printed


@pytest.mark.parametrize(
    "training",
    [
        *("linear", "clipped", "noisy", "interrupted", "alone"),
        *("transformer", "transformer_noisy"),
    ],
)
def test_both_end_with_the_same(training, told):
    (first, second), *_ = told
    assert np.array_equal(first[training][0], second[training][0])
    for name, values in first[training][1].items():
        assert torch.equal(values, second[training][1][name]), name


@pytest.mark.parametrize(("training", "changes"), [("linear", {}), ("clipped", {"clip": 0.1})])
def test_two_processes_take_the_steps_of_one(training, changes, told):
    history, model = linear(**changes)
    found, weights = told[0][0][training]
    assert found[:, LOSSES] == pytest.approx(history[SAME].to_numpy()[:, LOSSES], rel=2e-4)
    for name, values in model.state_dict().items():
        assert torch.allclose(values, weights[name], rtol=1e-3, atol=1e-4), name


def test_two_processes_train_the_transformer_as_one_would(told):
    history, network = transformer()
    found, weights = told[0][0]["transformer"]
    assert found[:, LOSSES] == pytest.approx(history[SAME].to_numpy()[:, LOSSES], rel=2e-4)
    # where gradients are rounding errors, Adam makes steps of the learning rate of them
    for name, values in network.state_dict().items():
        assert torch.allclose(values, weights[name], rtol=1e-2, atol=3e-3), name
    other, _ = told[0][0]["transformer_noisy"]
    assert not np.allclose(other[:, LOSSES], found[:, LOSSES], rtol=1e-2)


def test_what_the_first_does_alone_is_not_shared(told):
    history, _ = linear()
    assert np.array_equal(told[0][1]["alone"][0], history[SAME].to_numpy())


def test_killed_and_resumed_by_two_passes_through_the_same_losses(told):
    for rank in told[0]:
        (expected, weights), (found, resumed) = rank["noisy"], rank["interrupted"]
        assert np.array_equal(found, expected)
        assert all(torch.equal(values, resumed[name]) for name, values in weights.items())


def test_the_first_alone_writes_and_speaks(told):
    _, out, (shown, told_of) = told
    assert [path.name for path in (out / "0" / "killed").iterdir()] == [CHECKPOINT]
    assert [path.name for path in (out / "1").iterdir()] == ["told.pt"]
    assert shown.count("noisy: epoch 5/5") == 2  # of the two trainings of that name
    # but for what PyTorch's reducer remarks, which no filter of Python's reaches
    assert told_of.count("Warning") == told_of.count("did not find any unused parameters")


def test_shares_are_even_and_their_noise_differs():
    tensors = {"row": torch.arange(301)}
    seen, noise = [], []
    for rank in range(3):
        batches = TensorBatches(tensors, 50, torch.Generator().manual_seed(5))
        batches.share.rank, batches.share.ranks = rank, 3
        seen.append([batch["row"] for batch in batches])
        noise.append(torch.rand(4, generator=batches.generator))
        assert len(batches) == len(seen[-1]) == 6  # the last batch has one row only
    alone = list(TensorBatches(tensors, 50, torch.Generator().manual_seed(5)))
    for whole, *shares in zip(alone, *seen, strict=False):
        assert {len(share) for share in shares} == {16}
        rows = torch.cat(shares)
        assert len(rows.unique()) == 48 and set(rows.tolist()) <= set(whole["row"].tolist())
    assert not any(torch.equal(noise[a], noise[b]) for a, b in [(0, 1), (0, 2), (1, 2)])


def test_too_small_a_batch_is_told():
    with pytest.raises(ValueError, match="a batch of 2 rows for 3 processes"):
        Share(0, 3).rows(range(2))
