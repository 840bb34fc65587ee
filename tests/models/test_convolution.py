"""The fast convolutions equal the plain one."""

import pytest
import torch
import torch.nn.functional as F

from stargrav.models.convolution import (
    direct_convolution,
    response,
    tile_length,
    tiled_convolution,
)


def plain(x, weight, bias):
    return F.conv1d(F.pad(x, (weight.shape[-1] - 1, 0)), weight, bias)


def example(positions: int, kernel: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 5, positions), (4, 5, kernel), (4,)
    return tuple(torch.randn(s, generator=generator, dtype=torch.double) for s in shapes)


@pytest.mark.parametrize("positions", [1, 7, 16, 231, 232, 233, 500])
@pytest.mark.parametrize("kernel", [1, 2, 9, 25, 150])
def test_tiled_equals_plain(positions, kernel):
    x, weight, bias = example(positions, kernel)
    spectrum = response(weight, tile_length(positions, kernel))
    found = tiled_convolution(x.unsqueeze(2), spectrum, kernel, bias).squeeze(2)
    assert torch.allclose(found, plain(x, weight, bias), atol=1e-10)


@pytest.mark.parametrize("kernel", [1, 9])
def test_direct_equals_plain(kernel):
    x, weight, bias = example(40, kernel)
    found = direct_convolution(x.unsqueeze(2), weight, bias).squeeze(2)
    assert torch.allclose(found, plain(x, weight, bias), atol=1e-12)


@pytest.mark.parametrize("kernel", [9, 25, 63, 200])
def test_tiles_are_long_enough(kernel):
    for positions in (1, 10, 100, 4096):
        length = tile_length(positions, kernel)
        assert length % 2 == 0 and length >= 2 * (kernel - 1)
