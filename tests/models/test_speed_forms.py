"""The fast forward pass is the plain one."""

import importlib.util
from pathlib import Path

import pytest
import torch

from stargrav.models.blindspot import LAYERS

BENCH = Path(__file__).parents[2] / "bench" / "blindspot_speed.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("blindspot_speed", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("pixels", [512, 471])
@pytest.mark.parametrize("kernel", [5, 25])
def test_fast_form_equals_plain_form(bench, pixels, kernel):
    model = bench.network(channels=12, depth=5, kernel=kernel, stem=6)
    flux, error = bench.example(3, pixels)
    with torch.inference_mode():
        assert model._tiled(flux) == (kernel == 25)
        for a, b in zip(model(flux, error), bench.plain_forward(model, flux, error), strict=True):
            assert torch.allclose(a, b, atol=1e-5)
        layers = bench.plain_layers(model, flux, error)
        for name, values in model.layers(flux, error, LAYERS).items():
            assert torch.allclose(values, layers[name], atol=1e-5)


def test_new_weights_are_seen_by_the_fast_form(bench):
    """Folded weights and their responses are kept, but not beyond their time."""
    model = bench.network(channels=8, depth=3)
    flux, error = bench.example(2, 128)
    with torch.inference_mode():
        before = model(flux, error).mean
    model.train()(flux, error)  # moves the batch norms
    with torch.no_grad():
        model.encoder[1].weight.mul_(1.5)
    model.eval()
    with torch.inference_mode():
        found = model(flux, error).mean
        expected = bench.plain_forward(model, flux, error).mean
    assert not torch.allclose(found, before, atol=1e-4)
    assert torch.allclose(found, expected, atol=1e-5)
