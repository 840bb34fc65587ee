"""Towers: published sizes, what they see of a spectrum, and how two of them are fused."""

import pytest
import torch

from stargrav import models
from stargrav.errors import InputError
from stargrav.models.towers import (
    FUSIONS,
    DilatedCnn,
    LocalCnn,
    LocalTransformer,
    TwoTower,
    Windows,
)

PIXELS = 256
PLACES = (0, 40, 41, 200, 255)


def parameters(model):
    return sum(values.numel() for values in model.parameters())


def seen_pixels(model, inputs=PIXELS):
    """The inputs that any output depends on."""
    x = torch.randn(1, inputs, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.eval()(x).sum(), x)
    return set(gradient[0].nonzero()[:, 0].tolist())


def test_published_sizes():
    places = range(100, 356)
    assert parameters(LocalCnn(4096, places)) == pytest.approx(28_000, rel=0.05)
    assert parameters(LocalTransformer(4096, places)) == pytest.approx(74_000, rel=0.05)
    assert parameters(models.build("mlp_head", inputs=126)) == pytest.approx(49_000, rel=0.01)


def test_windows_are_centred_and_repeat_the_last_pixel_beyond_an_end():
    x = torch.arange(10.0)[None]
    found = Windows(10, (0, 4, 9), 5)(x)[0]
    assert found.tolist() == [[0, 0, 0, 1, 2], [2, 3, 4, 5, 6], [7, 8, 9, 9, 9]]


@pytest.mark.parametrize("kind", [LocalCnn, LocalTransformer])
def test_a_local_tower_sees_its_windows_and_nothing_else(kind):
    torch.manual_seed(0)
    expected = {p for at in PLACES for p in range(at - 8, at + 9) if 0 <= p < PIXELS}
    assert seen_pixels(kind(PIXELS, PLACES)) == expected


@pytest.mark.parametrize("kind", [LocalCnn, LocalTransformer])
def test_where_a_window_lies_matters(kind):
    """The same shape in another window is not the same spectrum."""
    torch.manual_seed(0)
    tower = kind(PIXELS, (40, 200)).eval()
    x = torch.zeros(2, PIXELS)
    x[0, 40], x[1, 200] = 3.0, 3.0
    first, second = tower(x)
    assert not torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_both_towers_are_heard(fusion):
    torch.manual_seed(0)
    tower = TwoTower(PIXELS + 6, 6, PLACES, fusion)
    seen = seen_pixels(tower, PIXELS + 6)
    assert set(range(PIXELS, PIXELS + 6)) <= seen and 44 in seen and 100 not in seen
    tower.train()(torch.randn(4, PIXELS + 6)).sum().backward()
    for key, values in tower.named_parameters():
        assert values.grad is not None and values.grad.isfinite().all(), key


def test_the_global_tower_of_film_scales_and_shifts_the_local_one():
    torch.manual_seed(0)
    fused = TwoTower(PIXELS + 6, 6, PLACES, "film").eval().layers
    x = torch.randn(3, PIXELS + 6)
    fused.modulation.weight.data.zero_()
    fused.modulation.bias.data.zero_()
    local = fused.local(fused.windows(x[:, :PIXELS]))
    assert torch.allclose(fused(x), fused.head(local))
    hidden = local.shape[1]
    fused.modulation.bias.data[:hidden] = -1.0  # scaled to nothing, shifted by one
    fused.modulation.bias.data[hidden:] = 1.0
    assert torch.allclose(fused(x), fused.head(torch.ones_like(local)))


@pytest.mark.parametrize("kernels, dilation", [((15,), 1), ((7,), 4), ((7, 15, 31, 63), 1)])
def test_receptive_field_is_what_a_position_depends_on(kernels, dilation):
    torch.manual_seed(0)
    network = DilatedCnn(1024, kernels=kernels, dilation=dilation)
    before_means = network.layers[:-3]
    x = torch.zeros(1, 1024, requires_grad=True)
    middle = before_means(x)[0, :, 8].sum()
    (gradient,) = torch.autograd.grad(middle, x)
    seen = gradient[0].nonzero()[:, 0]
    assert int(seen.max() - seen.min()) + 1 == network.receptive_field


def test_impossible_towers_are_refused():
    for wrong in ({"kernels": (4,)}, {"kernels": (7, 15, 31)}):
        with pytest.raises(InputError, match="kernels"):
            models.build("dilated_cnn", inputs=PIXELS, **wrong)
    with pytest.raises(InputError, match="fusion"):
        models.build("two_tower", inputs=9, features=2, places=(1,), fusion="sum")
