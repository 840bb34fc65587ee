"""The transformer: what it sees, where its tokens lie, how it answers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stargrav import models
from stargrav.models.answers import Gaussian, Ordinal, Point
from stargrav.models.channels import Channels
from stargrav.models.vit import ViT, token_places, turned

PIXELS = 256
SMALL = {"width": 16, "depth": 2, "heads": 2}
VARIANTS = {
    "base": {"patches": [16]},
    "sinusoidal": {"patches": [16], "position": "sinusoidal"},
    "rotary": {"patches": [16], "position": "rotary"},
    "scales": {"patches": [16, 64]},
    "windows": {"patches": [16], "kept": [0, 5, 9]},
    "leaning": {"patches": [16], "sensitivity": np.linspace(0, 1, 16).tolist()},
    "gaussian": {"patches": [16], "answer": "gaussian", "labels": ["log_g", "T_eff"]},
    "ordinal": {"patches": [16], "answer": "ordinal", "bins": [1.0, 5.0]},
    "channels": {"patches": [16], "names": ["flux", "log_error", "derivative", "high_pass"]},
    "chunk": {"patches": [16], "normalization": "chunk", "masked": 0.1},
    "continuum": {"patches": [16], "normalization": "continuum", "names": ["whitened"]},
}


@pytest.fixture
def seen():
    """Flux and error side by side, and log g."""
    rng = np.random.default_rng(0)
    flux = 1 + 0.1 * rng.normal(size=(40, PIXELS))
    error = 0.05 + 0.05 * rng.uniform(size=(40, PIXELS))
    x = torch.tensor(np.hstack([flux, error]), dtype=torch.float32)
    return x, torch.tensor(rng.uniform(1, 5, (40, 1)), dtype=torch.float32)


def built(sizes, seen):
    x, y = seen
    torch.manual_seed(1)
    network = models.build("spectral_vit", inputs=2 * PIXELS, **SMALL, **sizes)
    network.standardise(x, y.repeat(1, len(network.labels)))
    return network.eval()


@pytest.mark.parametrize("sizes", VARIANTS.values(), ids=VARIANTS)
def test_variants_answer_learn_and_are_stored(sizes, seen, tmp_path):
    network, (x, y) = built(sizes, seen), seen
    truth = y.repeat(1, len(network.labels))
    assert network(x).shape == truth.shape
    network.train()
    network.loss(network.raw(x), truth).backward()
    unused = {"vit.hidden"} | ({"vit.place"} if "kept" in sizes else set())
    for name, weights in network.named_parameters():
        if name not in unused:
            assert torch.isfinite(weights.grad).all() and weights.grad.abs().sum() > 0, name
    models.save(network.eval(), tmp_path / "stored")
    again = models.load(tmp_path / "stored")
    np.testing.assert_array_equal(again.predict(x.numpy()), network.predict(x.numpy()))


def test_published_size():
    network = ViT(4096)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(4.9e6, rel=0.03)


def test_tokens_outside_of_the_windows_are_not_seen(seen):
    x, _ = seen
    network = built(VARIANTS["windows"], seen)
    outside, inside = x.clone(), x.clone()
    outside[:, 16:80] += 1  # tokens 1 to 4
    inside[:, 80:96] += 1  # token 5
    assert torch.equal(network(outside), network(x))
    assert not torch.allclose(network(inside), network(x))


def test_a_hidden_token_tells_nothing_of_its_pixels(seen):
    network = built(VARIANTS["base"], seen).vit
    shown = torch.randn(3, 1, PIXELS)
    other = shown.clone()
    other[..., 32:48] += 1
    hidden = torch.zeros(3, 16, dtype=torch.bool)
    hidden[:, 2] = True
    assert torch.equal(network.encode(shown, hidden), network.encode(other, hidden))
    assert not torch.allclose(network.encode(shown), network.encode(other))


def test_turned_products_depend_on_differences_of_places():
    torch.manual_seed(0)
    q, k = torch.randn(8), torch.randn(8)
    rates = torch.tensor([1.0, 0.3, 0.1, 0.01])

    def product(at, to):
        return turned(q[None], at * rates[None]) @ turned(k[None], to * rates[None]).T

    assert product(3.0, 7.0).item() == pytest.approx(product(13.0, 17.0).item(), abs=1e-5)
    assert product(3.0, 7.0).item() != pytest.approx(product(3.0, 8.0).item(), abs=1e-2)
    assert turned(q[None], 2.0 * rates[None]).norm().item() == pytest.approx(q.norm().item())


def test_rotary_network_knows_where_a_line_is(seen):
    """The first token breaks the symmetry: the same line elsewhere gives another answer."""
    network = built(VARIANTS["rotary"], seen).vit
    blue, red = torch.zeros(1, 1, PIXELS), torch.zeros(1, 1, PIXELS)
    blue[..., 40], red[..., 200] = 3.0, 3.0  # the same place within a token
    assert not torch.allclose(network(blue), network(red), atol=1e-5)


def test_places_grow_with_log_wavelength():
    places, scales = token_places(PIXELS, [16, 64], (7100.0, 8850.0))
    first = places[:16]
    assert scales == [0] * 16 + [1] * 4
    assert (np.diff(first) > 0).all() and np.ptp(first) == pytest.approx(15, rel=0.02)
    assert np.diff(first)[0] > np.diff(first)[-1]  # equal steps of wavelength are less of its log
    assert places[16] == pytest.approx(first[:4].mean(), abs=0.02)


def test_attention_leans_where_it_is_told_to(seen):
    sizes = {**VARIANTS["leaning"], "sensitivity": [0.0] * 15 + [1.0]}
    network, x = built(sizes, seen), seen[0]

    def slope(gain):
        network.vit.gain.data.fill_(gain)
        moved = x.clone()
        moved[:, 240:256] += 0.05
        return (network(moved) - network(x)).abs().mean().item()

    assert slope(5.0) > 1.5 * slope(-5.0)


def test_channels_are_standardised_and_worst_pixels_masked(seen):
    x, _ = seen
    flux, error = x.chunk(2, dim=1)
    channels = Channels(PIXELS, ("flux", "whitened"), masked=0.1)
    channels.standardise(flux, error)
    found = channels(flux, error)
    masked = (found == 0).all(dim=1)
    assert masked.float().mean().item() == pytest.approx(0.1, abs=0.01)
    left = torch.where(masked, 0.0, error).amax(dim=1)
    assert (torch.where(masked, error, 1.0).amin(dim=1) > left).all()
    channels.masked = 0.0
    found = channels(flux, error)
    np.testing.assert_allclose(found.mean(dim=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(dim=0, correction=0), 1, rtol=1e-3)


@pytest.mark.parametrize("name", ["flux", "whitened", "log_error"])
def test_no_channel_is_mostly_the_magnitude(name):
    """Which is one number for all pixels of a star."""
    rng = np.random.default_rng(0)
    faint = 10 ** rng.uniform(-2, -1, (300, 1))
    error = torch.tensor(faint * rng.lognormal(0, 0.1, (300, PIXELS)), dtype=torch.float32)
    flux = 1 + error * torch.tensor(rng.standard_normal((300, PIXELS)), dtype=torch.float32)
    channels = Channels(PIXELS, (name,))
    channels.standardise(flux, error)
    found = channels(flux, error)[:, 0]
    assert found.mean(dim=1).var().item() < 0.05
    assert found.var(dim=0).mean().item() == pytest.approx(1, abs=0.01)


def test_a_continuum_is_divided_out_and_the_lines_stay():
    x = torch.linspace(-1, 1, PIXELS)
    line = 1 - 0.5 * torch.exp(-0.5 * ((torch.arange(PIXELS) - 100) / 1.5) ** 2)
    curved = (1 + 0.4 * x - 0.3 * x**3) * line
    error = torch.full((1, PIXELS), 0.01)
    flat, bent = (
        Channels(PIXELS, normalization="continuum").raw(flux[None], error)[0, 0]
        for flux in (line, curved)
    )
    np.testing.assert_allclose(bent, flat, atol=0.02)
    assert flat.min().item() == pytest.approx(0.5, abs=0.03)


def test_slope_and_high_frequencies_of_a_straight_line():
    pixel = torch.arange(PIXELS, dtype=torch.float32)
    flux, error = (1 + 0.01 * pixel)[None], torch.ones(1, PIXELS)
    slope, high = Channels(PIXELS, ("derivative", "high_pass")).raw(flux, error)[0]
    np.testing.assert_allclose(slope[20:-20], 0.01, rtol=1e-4)
    np.testing.assert_allclose(high[60:-60], 0.0, atol=1e-5)


def test_spread_is_learnt():
    """The likelihood is least where the variance is that of the errors."""
    torch.manual_seed(0)
    y, answer = 0.3 * torch.randn(4000, 1), Gaussian(1)
    losses = {
        s: answer.loss(torch.tensor([[0.0, 2 * np.log(s)]]).repeat(4000, 1), y).item()
        for s in (0.15, 0.3, 0.6)
    }
    assert min(losses, key=losses.get) == 0.3
    raw = torch.tensor([[0.0, 2 * np.log(0.3)]])
    assert answer.spread(raw).item() == pytest.approx(0.3)


def test_gradients_of_labels_are_equally_long_whatever_their_error():
    torch.manual_seed(0)
    raw = (torch.randn(64, 2) * torch.tensor([1.0, 0.1])).requires_grad_()
    Point(2).loss(raw, torch.zeros(64, 2)).backward()
    first, second = raw.grad.norm(dim=0)
    assert first.item() == pytest.approx(second.item(), rel=1e-5)


def test_bins_answer_with_their_centres_and_offsets():
    answer = Ordinal(1, 1.0, 5.0)
    answer.standardise(torch.tensor([3.0]), torch.tensor([2.0]))
    assert answer.bins == 16
    raw = torch.full((1, 32), -30.0)
    raw[0, 4], raw[0, 16:] = 30.0, 0.0
    centre = 1.0 + 4.5 * 0.25
    assert 3 + 2 * answer.mean(raw).item() == pytest.approx(centre, abs=1e-5)
    assert 2 * answer.spread(raw).item() == pytest.approx(0.25 / np.sqrt(12), rel=1e-3)
    raw[0, 20] = 30.0
    assert 3 + 2 * answer.mean(raw).item() == pytest.approx(centre + 0.125, abs=1e-5)
    wrong, right = torch.tensor([[1.0]]), torch.tensor([[(centre + 0.125 - 3) / 2]])
    assert answer.loss(raw, right) < answer.loss(raw, wrong)


def test_unknown_options_are_refused():
    for sizes in ({"names": ["colour"]}, {"answer": "oracle"}, {"position": "nowhere"}):
        with pytest.raises(Exception, match="spectral_vit"):
            models.build("spectral_vit", inputs=2 * PIXELS, patches=[16], **SMALL, **sizes)


def test_attention_is_that_of_the_textbook(seen):
    """The fused kernel against softmax(q k' / sqrt d) v."""
    block = built(VARIANTS["base"], seen).vit.blocks[0]
    x = torch.randn(2, 5, 16)
    q, k, v = block.asks(block.norms[0](x)).view(2, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
    weights = F.softmax(q @ k.transpose(-1, -2) / 8**0.5, dim=-1)
    joined = x + block.joins((weights @ v).transpose(1, 2).reshape(2, 5, 16))
    expected = joined + block.mlp(block.norms[1](joined))
    torch.testing.assert_close(block(x, None, None), expected)
