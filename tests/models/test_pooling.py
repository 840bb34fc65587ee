"""Poolings: sizes and values."""

import pytest
import torch

from stargrav.models.pooling import pool, size


@pytest.mark.parametrize("pooling", ["global_mean", "mean_max", "seg_mean_1", "seg_mean_8"])
@pytest.mark.parametrize("positions", [8, 16, 21])
def test_size_is_what_pool_gives(pooling, positions):
    layer = torch.randn(3, 5, positions)
    assert pool(layer, pooling).shape == (3, size(pooling, 5))


def test_published_sizes():
    sizes = [size(name, 48) for name in ("global_mean", "mean_max", "seg_mean_8", "seg_mean_16")]
    assert sizes == [48, 96, 384, 768]


def test_values():
    layer = torch.arange(12.0).view(1, 2, 6)
    assert pool(layer, "global_mean").tolist() == [[2.5, 8.5]]
    assert pool(layer, "mean_max").tolist() == [[2.5, 8.5, 5.0, 11.0]]
    assert pool(layer, "seg_mean_3").tolist() == [[0.5, 2.5, 4.5, 6.5, 8.5, 10.5]]


def test_segments_average_to_the_mean():
    layer = torch.randn(2, 3, 32)
    segments = pool(layer, "seg_mean_8").view(2, 3, 8)
    assert torch.allclose(segments.mean(-1), pool(layer, "global_mean"), atol=1e-6)


@pytest.mark.parametrize("name", ["seg_mean_0", "seg_mean_", "max", "seg_mean_-3"])
def test_unknown_pooling_is_named(name):
    with pytest.raises(ValueError, match=name):
        pool(torch.zeros(1, 2, 3), name)
