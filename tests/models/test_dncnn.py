"""DnCNN: how far it sees, and what it takes away."""

import pytest
import torch

from stargrav.models.dncnn import DnCnn


@pytest.mark.parametrize(("dilations", "kernel"), [((1, 1, 1), 3), ((1, 2, 4, 1), 5)])
def test_it_sees_as_far_as_its_dilations_say(dilations, kernel):
    torch.manual_seed(0)
    network = DnCnn(dilations, channels=8, kernel=kernel).double().eval()
    noisy = torch.ones(1, 101, dtype=torch.double, requires_grad=True)
    network(noisy, torch.ones(1, 101, dtype=torch.double))[0, 50].backward()
    seen = noisy.grad[0].nonzero()[:, 0]
    assert int(seen.max() - seen.min()) == (kernel - 1) * sum(dilations)


@pytest.mark.parametrize(("finds", "left"), [("noise", 1.0), ("flux", 0.0)])
def test_what_says_nothing_leaves_the_noisy_spectrum_or_the_level(finds, left):
    network = DnCnn((1, 1), channels=4, finds=finds).eval()
    for parameter in network.layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    noisy = 1 + torch.randn(2, 32)
    with torch.inference_mode():
        assert torch.allclose(network(noisy, torch.ones(2, 32)), 1 + left * (noisy - 1))


@pytest.mark.parametrize(
    "wrong", [{"dilations": (1,)}, {"dilations": (1, 0)}, {"kernel": 4}, {"finds": "stars"}]
)
def test_sizes_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="expected"):
        DnCnn(**wrong)
