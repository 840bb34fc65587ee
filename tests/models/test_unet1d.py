"""The U-Net of spectra: any length, what it listens to, and that it learns."""

import pytest
import torch

from stargrav import models
from stargrav.errors import InputError
from stargrav.models.unet1d import CONDITIONING, UNet1d

SMALL = {"channels": (8, 16), "heads": 2}


def awake(network):
    """The last layer starts at zero; here it does not."""
    torch.nn.init.normal_(network.last[-1].weight)
    return network.eval()


@pytest.mark.parametrize("pixels", [50, 51, 61, 4096])
@pytest.mark.parametrize("conditioning", CONDITIONING)
def test_any_length_comes_back_as_it_was(pixels, conditioning):
    network = awake(UNet1d(pixels, condition=2, conditioning=conditioning, **SMALL))
    with torch.inference_mode():
        x, told = torch.randn(2, pixels), torch.randn(2, 2, pixels)
        assert network(x, torch.zeros(2), told).shape == (2, pixels)


def test_published_size():
    """Four levels of 64-128-256-512; some ten million weights."""
    network = models.build("unet1d", pixels=4096)
    assert network.config["channels"] == [64, 128, 256, 512]
    assert 6e6 < sum(values.numel() for values in network.parameters()) < 2e7


@pytest.mark.parametrize("conditioning", CONDITIONING)
def test_it_listens_to_noise_level_condition_and_place(conditioning):
    torch.manual_seed(0)
    network = awake(UNet1d(64, condition=1, conditioning=conditioning, patch=8, **SMALL))
    x, level, told = torch.randn(1, 64), torch.zeros(1), torch.randn(1, 1, 64)
    with torch.inference_mode():
        found = network(x, level, told)
        assert not torch.allclose(network(x, level + 1, told), found, atol=1e-4)
        assert not torch.allclose(network(x, level, -told), found, atol=1e-4)
        network.place += torch.linspace(0, 1, 64)
        assert not torch.allclose(network(x, level, told), found, atol=1e-4)


def test_every_pixel_may_matter_to_every_other():
    torch.manual_seed(0)
    network = awake(UNet1d(200, **SMALL))
    x = torch.randn(1, 200, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x, torch.zeros(1))[0, 3], x)
    assert (gradient != 0).all()


def test_impossible_settings_are_refused():
    for wrong in ({"conditioning": "film"}, {"channels": (6,)}, {"kernel": 4}):
        with pytest.raises(InputError, match="unet1d"):
            models.build("unet1d", pixels=20, **wrong)
