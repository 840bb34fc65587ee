"""The teacher sees every pixel but the one it predicts, and its layers lie where they should."""

from pathlib import Path

import pytest
import torch
from torch import nn

from stargrav import settings
from stargrav.models.blindspot import (
    LAYERS,
    BlindSpotUNet,
    CausalBlock,
    Prediction,
    gaussian_product,
)
from stargrav.stages.teacher import SIZES

ROOT = Path(__file__).parents[2]


def network(**sizes) -> BlindSpotUNet:
    """A small network with batch norms away from the identity."""
    torch.manual_seed(0)
    model = BlindSpotUNet(**{"channels": 6, "depth": 4, "kernel": 5, "hidden": (8,), **sizes})
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return model.double().eval()


def spectra(n: int, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    flux = 1 + torch.randn(n, pixels, generator=generator, dtype=torch.double)
    error = torch.rand(n, pixels, generator=generator, dtype=torch.double)
    return flux, error


def jacobian(model: BlindSpotUNet, pixels: int, output: int, argument: int) -> torch.Tensor:
    """(pixels, pixels): d output_i / d argument_j of one spectrum."""
    flux, error = spectra(1, pixels)

    def predicted(*arguments):
        return model(*arguments)[output][0]

    return torch.autograd.functional.jacobian(predicted, (flux, error))[argument][:, 0]


@pytest.mark.parametrize("pixels", [64, 57, 8, 9])
@pytest.mark.parametrize("output", [0, 1], ids=["mean", "spread"])
@pytest.mark.parametrize("argument", [0, 1], ids=["flux", "error"])
def test_prediction_is_blind_to_its_own_pixel_exactly(pixels, output, argument):
    found = jacobian(network(), pixels, output, argument)
    assert found.diagonal().abs().max() == 0.0


@pytest.mark.parametrize("argument", [0, 1], ids=["flux", "error"])
def test_the_teacher_of_profile_laptop_is_blind_at_full_length(argument):
    """Ten pixels of 4,096, each changed in a spectrum of its own; its neighbours notice."""
    chosen = settings.load(ROOT / "params.yaml", {"profile": "laptop"}).teacher
    model = network(**chosen.model_dump(include=SIZES))
    pixels = torch.linspace(0, 4095, 10).long()
    seen = [values.expand(11, -1).clone() for values in spectra(1, 4096)]
    rows = torch.arange(10)
    seen[argument][rows, pixels] *= 3
    with torch.no_grad():
        for found in model(*seen):
            changed = found[:10] - found[10]
            assert changed[rows, pixels].abs().max() == 0.0
            assert (changed.abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("argument", [0, 1], ids=["flux", "error"])
def test_prediction_sees_both_neighbours_of_every_pixel(argument):
    found = jacobian(network(), 57, 0, argument).abs()
    assert (found.diagonal(1) > 0).all()
    assert (found.diagonal(-1) > 0).all()


def test_training_mode_is_blind_but_for_the_batch_statistics():
    """With the statistics of the batch held fixed nothing of the pixel enters."""
    model = network().train()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eval()
    assert jacobian(model, 57, 0, 0).diagonal().abs().max() == 0.0


def test_a_network_without_the_shift_is_not_blind(monkeypatch):
    """The control: were the halves joined without moving on by a pixel, the test would fail."""
    model = network()
    pad = torch.nn.functional.pad

    def unshifted(x, widths, *rest):
        return torch.cat([x, x[..., -1:]], -1) if widths == (1, 0) else pad(x, widths, *rest)

    monkeypatch.setattr("stargrav.models.blindspot.F.pad", unshifted)
    flux, error = spectra(1, 64)
    shifted = torch.autograd.functional.jacobian(lambda y: model(y, error).mean[0], flux)[:, 0]
    assert (shifted.diagonal() != 0).any()


def test_denoised_spectrum_sees_its_own_pixel():
    model = network()
    flux, error = spectra(1, 32)
    found = torch.autograd.functional.jacobian(lambda y: model.denoise(y, error).mean[0], flux)
    assert (found[:, 0].diagonal().abs() > 1e-3).all()


def test_receptive_field_reaches_back_as_far_as_the_levels_say():
    """One level of kernel K sees K pixels back; each pooling doubles the reach of the next."""
    model = network(depth=3, kernel=3)
    found = jacobian(model, 256, 0, 0)[128].abs() > 0
    reach = 128 - int(found.nonzero()[0])
    # Joining shift 1, finest decoder 2 blocks of 2; lift 1; level 1 the same at twice the step
    # and its lift; bottom block 2 of step 4; encoder below it and the pooled pixels.
    finest = 1 + 2 * 2 + 1
    middle = 2 * (2 * 2 + 1)
    bottom = 4 * 2
    encoder = 2 * 2 + 2
    assert finest <= reach <= finest + middle + bottom + encoder + 3
    assert reach > finest + middle


@pytest.mark.parametrize("pixels", [64, 61])
def test_a_feature_appears_where_it_is_in_the_averaged_layers(pixels):
    """Averaged over the halves, the response to a feature is centred on its position."""
    model = network(kernel=3)
    for block in model.encoder:
        nn.init.constant_(block.weight, 1.0)
        nn.init.zeros_(block.bias)
        block.norm.reset_parameters()
        block.norm.reset_running_stats()
    error = torch.zeros(1, pixels, dtype=torch.double)
    flat = torch.ones(1, pixels, dtype=torch.double)
    for name, ratio in zip(LAYERS, (8, 8, 4), strict=True):
        empty = model.layers(flat, error, [name])[name].detach()
        assert empty.shape == (1, 6, -(-pixels // ratio))
        centres = (torch.arange(empty.shape[-1]) + 0.5) * ratio
        for pixel in (24, 31, 33):
            flux = flat.clone()
            flux[0, pixel] += 1.0
            response = (model.layers(flux, error, [name])[name].detach() - empty)[0].abs().sum(0)
            found = float((centres * response).sum() / response.sum())
            assert abs(found - (pixel // 8 + 0.5) * 8) <= 4.0, (name, pixel)


def test_mirrored_spectrum_has_mirrored_layers():
    model = network()
    flux, error = spectra(3, 64)
    there = model.layers(flux, error, LAYERS)
    back = model.layers(flux.flip(-1), error.flip(-1), LAYERS)
    for name in LAYERS:
        assert torch.allclose(there[name].flip(-1), back[name], atol=1e-12)


def test_layers_are_those_that_the_prediction_is_made_of(monkeypatch):
    """enc_last is what the last encoder block puts out for the left half, before averaging."""
    model = network()
    flux, error = spectra(2, 64)
    seen = {}
    model.encoder[-1].register_forward_hook(lambda _, args, out: seen.update(x=args[0], y=out))
    model(flux, error)
    for name, key in (("enc_pre_latent", "x"), ("enc_last", "y")):
        left, right = seen[key].chunk(2)
        expected = (left + right.flip(-1))[:, :, 0] / 2
        assert torch.allclose(model.layers(flux, error, [name])[name], expected, atol=1e-12)


def test_padding_at_the_end_does_not_reach_the_left_half():
    """Only the right half may know that the spectrum was filled up to whole blocks."""
    model = network()
    flux, error = spectra(1, 64)
    whole = model._encode(model._halves(flux, error), False)[-1][0, :, 0]
    cut = model._encode(model._halves(flux[:, :57], error[:, :57]), False)[-1][0, :, 0]
    assert torch.allclose(whole[:, :7], cut[:, :7], atol=1e-12)


def test_without_error_input_the_error_does_not_matter():
    model = network(error_input=False)
    flux, error = spectra(2, 64)
    assert torch.equal(model(flux, error).mean, model(flux, 2 * error).mean)


def test_folded_batch_norm_equals_batch_norm():
    torch.manual_seed(3)
    block = CausalBlock(3, 4, 5, 0.1).double()
    nn.init.uniform_(block.norm.running_mean)
    nn.init.uniform_(block.norm.running_var, 0.5, 2.0)
    x = torch.randn(2, 3, 20, dtype=torch.double)
    x = x.unsqueeze(2)
    block.train()
    block.norm.eval()
    plain = block(x)
    block.eval()
    assert torch.allclose(block(x), plain, atol=1e-12)


def test_spread_is_positive_and_gradients_are_finite_everywhere():
    model = network().float().train()
    flux, error = (values.float() for values in spectra(4, 60))
    mean, spread = model(flux, error)
    assert mean.shape == spread.shape == (4, 60)
    assert (spread > 0).all()
    ((mean - flux) ** 2 + spread).mean().backward()
    for name, values in model.named_parameters():
        assert values.grad is not None and values.grad.isfinite().all(), name
        assert name.endswith("bias") or values.grad.abs().max() > 0, name


def test_published_size():
    model = BlindSpotUNet()
    assert sum(values.numel() for values in model.parameters()) == pytest.approx(1.89e6, rel=0.005)
    assert len(model.encoder) == 9


@pytest.mark.parametrize("depth", [2, 3])
def test_stem_narrows_the_fine_levels_only(depth):
    model = network(channels=16, stem=4, depth=depth)
    flux, error = spectra(2, 33)
    assert model.encoder[0].weight.shape[0] == (16 if depth == 2 else 4)
    for layer in model.layers(flux, error, LAYERS).values():
        assert layer.shape[1] == 16
    assert jacobian(model, 33, 0, 0).diagonal().abs().max() == 0.0


def test_unknown_layer_is_named():
    with pytest.raises(ValueError, match="enc_first"):
        network().layers(*spectra(1, 16), ["enc_first"])


def test_gaussian_product_limits():
    flux = torch.tensor([3.0, 3.0, 3.0])
    prediction = Prediction(torch.ones(3), torch.tensor([2.0, 1e-9, 1.0]))
    joined = gaussian_product(prediction, flux, torch.tensor([0.0, 1.0, 1.0]))
    # no noise: the measurement; a certain prediction: the prediction; alike: half way
    assert torch.allclose(joined.mean, torch.tensor([3.0, 1.0, 2.0]))
    assert torch.allclose(joined.spread, torch.tensor([0.0, 0.0, 0.5**0.5]))
    assert (joined.spread <= prediction.spread).all()
