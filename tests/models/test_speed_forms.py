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


CHANGE = 1000.0  # of flux or error, in units of the median flux
ROUNDING = 16 * torch.finfo(torch.float32).eps * CHANGE


def own_and_neighbours(model, pixels, argument):
    """Largest change of mean and spread at a pixel, and the usual one of its neighbours, when
    nothing but flux or error of that pixel changes; over all pixels."""
    generator = torch.Generator().manual_seed(1)
    flux = 1 + torch.randn(1, pixels, generator=generator)
    error = torch.rand(1, pixels, generator=generator)
    changed = [flux.repeat(pixels, 1), error.repeat(pixels, 1)]
    changed[argument].diagonal().add_(CHANGE)
    with torch.inference_mode():
        assert model._tiled(flux)
        before, after = model(flux, error), model(*changed)
    for name in ("mean", "spread"):
        change = (getattr(after, name) - getattr(before, name)).abs()  # (changed pixel, pixel)
        beside = torch.cat([change.diagonal(1), change.diagonal(-1)])
        yield name, float(change.diagonal().max()), float(beside.median())


@pytest.mark.parametrize("pixels", [512, 471])
@pytest.mark.parametrize("argument", [0, 1], ids=["flux", "error"])
def test_tiles_are_blind_but_for_rounding(bench, pixels, argument):
    """Each value of a tile's Fourier transform holds all its pixels. They part again to 16 units
    in the last place of what was changed; the neighbours see ten times that and more."""
    model = bench.network(channels=12, depth=5, kernel=25, stem=6)
    for name, own, beside in own_and_neighbours(model, pixels, argument):
        assert own < ROUNDING, name
        assert beside > 10 * ROUNDING, name


def test_tiles_without_the_shift_are_not_blind(bench, monkeypatch):
    """The control: were the halves joined without moving on by a pixel, the test would fail."""
    model = bench.network(channels=12, depth=5, kernel=25, stem=6)
    pad = torch.nn.functional.pad

    def unshifted(x, widths, *rest):
        return torch.cat([x, x[..., -1:]], -1) if widths == (1, 0) else pad(x, widths, *rest)

    monkeypatch.setattr("stargrav.models.blindspot.F.pad", unshifted)
    for name, own, _ in own_and_neighbours(model, 128, 0):
        assert own > 10 * ROUNDING, name


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
