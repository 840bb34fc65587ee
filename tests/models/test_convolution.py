"""The fast convolutions equal the plain one."""

import pytest
import torch
import torch.nn.functional as F

from stargrav.models.convolution import (
    channels_last_convolution,
    fourier_convolution,
    tile_length,
)


def plain(x, weight, bias):
    return F.conv1d(F.pad(x, (weight.shape[-1] - 1, 0)), weight, bias)


@pytest.mark.parametrize("positions", [1, 7, 16, 231, 232, 233, 500])
@pytest.mark.parametrize("kernel", [1, 2, 9, 25])
def test_fourier_equals_plain(positions, kernel):
    torch.manual_seed(0)
    x = torch.randn(3, 5, positions, dtype=torch.double)
    weight, bias = torch.randn(4, 5, kernel, dtype=torch.double), torch.randn(4).double()
    found = fourier_convolution(x, weight, bias)
    assert torch.allclose(found, plain(x, weight, bias), atol=1e-10)


def test_channels_last_equals_plain():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(3, 5, 40), torch.randn(4, 5, 9), torch.randn(4)
    found = channels_last_convolution(x, weight, bias)
    assert torch.allclose(found, plain(x, weight, bias), atol=1e-5)


def test_gradients_equal_plain():
    torch.manual_seed(0)
    arguments = [
        torch.randn(*shape, dtype=torch.double, requires_grad=True)
        for shape in ((2, 3, 300), (4, 3, 25), (4,))
    ]
    weights = torch.randn(2, 4, 300, dtype=torch.double)
    grads = [
        torch.autograd.grad((form(*arguments) * weights).sum(), arguments)
        for form in (plain, fourier_convolution)
    ]
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("kernel", [9, 25, 63])
def test_tiles_are_long_enough(kernel):
    for positions in (1, 10, 100, 4096):
        length = tile_length(positions, kernel)
        assert length % 2 == 0 and length >= 2 * (kernel - 1)
