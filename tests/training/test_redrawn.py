"""Batches of stars whose noise changes from pass to pass."""

import numpy as np
import pytest
import torch

from stargrav.training.head import train_network
from stargrav.training.plan import Plan
from stargrav.training.redrawn import AnyDraw

DRAWS, STARS = 5, 400


def batches(seed=1):
    """Features that tell star and draw, labels that tell both."""
    star, draw = torch.meshgrid(torch.arange(STARS), torch.arange(DRAWS), indexing="ij")
    features = torch.stack([star.T, draw.T], dim=-1).float()
    found = AnyDraw(features, 10 * star.T.float() + draw.T.float(), 64)
    found.generator.manual_seed(seed)
    return found


def test_a_pass_shows_each_star_once_in_any_of_its_draws():
    made = batches()
    shown = [{name: values.clone() for name, values in batch.items()} for batch in made]
    assert len(shown) == len(made) == 7
    x, y = (torch.cat([batch[name] for batch in shown]) for name in "xy")
    assert sorted(x[:, 0].tolist()) == list(range(STARS))
    torch.testing.assert_close(y[:, 0], 10 * x[:, 0] + x[:, 1])  # the label of that draw
    share = torch.bincount(x[:, 1].long(), minlength=DRAWS) / STARS
    assert share.tolist() == pytest.approx([1 / DRAWS] * DRAWS, abs=0.06)
    again = torch.cat([batch["x"] for batch in made])
    order = x[:, 0].argsort(), again[:, 0].argsort()
    assert (x[order[0], 1] != again[order[1], 1]).float().mean() > 0.6


def test_a_pass_depends_on_its_seed_alone():
    first, same, other = (torch.cat([b["x"] for b in batches(seed)]) for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_several_draws_are_not_learnt_by_heart():
    """With one draw a network learns its noise, and does much better there than elsewhere."""
    rng = np.random.default_rng(0)
    clean = rng.standard_normal((STARS, 12))
    label = np.tanh(clean @ rng.standard_normal(12))

    def noisy(draws):
        return (clean + 1.5 * rng.standard_normal((draws, *clean.shape))).astype(np.float32)

    x, valid = noisy(40), noisy(1)[0]
    gap = []
    for used in (x[:1], x):
        labels = torch.tensor(np.tile(label, (len(used), 1)), dtype=torch.float32)
        _, history = train_network(
            "mlp_head",
            {"widths": (64,), "dropout": 0.0},
            (used[0], label),
            (valid, label),
            Plan(epochs=40, patience=40, seed=3, accelerator="cpu"),
            learning_rate=3e-3,
            fresh=AnyDraw(torch.from_numpy(used), labels, 64),
        )
        gap.append((history["valid_loss"] - history["train_loss"]).iloc[-5:].mean())
    assert gap[0] > 0.1 and gap[1] < gap[0] / 2
