"""Models survive their storage, and nothing that could run code is loaded."""

import inspect
import json
import pickle

import numpy as np
import pytest
import torch

from stargrav import models
from stargrav.errors import InputError
from stargrav.models.heads import MlpHead
from stargrav.models.probes import lightgbm, ols, ridge

NETWORKS = {
    "blindspot": {"channels": 4, "depth": 3, "kernel": 9, "hidden": (6, 5)},
    "conv_student": {"inputs": 7, "channels": (3, 4), "kernel": 3, "stride": 2, "outputs": 5},
    "dilated_cnn": {"inputs": 7, "kernels": (3, 5), "dilation": 2, "channels": 4, "outputs": 2},
    "dncnn": {"dilations": [1, 2, 1, 1], "channels": 5},
    "local_cnn": {"inputs": 7, "places": (0, 5), "outputs": 2},
    "local_transformer": {"inputs": 7, "places": (0, 5), "outputs": 2, "size": 8},
    "mlp_head": {"inputs": 7, "widths": (6, 5), "outputs": 2},
    "mlp_student": {"inputs": 7, "widths": (6, 5), "outputs": 2},
    "posterior_flow": {"pixels": 9, "labels": 2, "components": 3, "transforms": 1, "widths": (6,)},
    "two_tower": {"inputs": 7, "features": 2, "places": (0, 3), "outputs": 2},
    "unet1d": {
        "pixels": 51,
        "channels": (8, 16),
        "axes": 2,
        "condition": 2,
        "conditioning": "cross_attention",
        "patch": 8,
    },
}

ELSEWHERE = {"spectral_vit"}  # in its variants, by test_vit.py


def example(name: str) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    if name in ("blindspot", "dncnn"):
        return 1 + torch.randn(3, 50), torch.rand(3, 50)
    if name == "unet1d":
        return torch.randn(3, 51), torch.randn(3), torch.randn(3, 2, 51)
    if name == "posterior_flow":
        return torch.rand(3, 2), torch.randn(3, 4)
    return (torch.randn(3, 7),)


def parts(found) -> list[torch.Tensor]:
    return list(found) if isinstance(found, tuple) else [found]


def test_every_network_is_tested():
    assert NETWORKS.keys() | ELSEWHERE == models.NETWORKS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_has_a_finite_gradient(name):
    model = models.build(name, **NETWORKS[name]).train()
    sum(part.square().sum() for part in parts(model(*example(name)))).backward()
    for key, values in model.named_parameters():
        assert values.grad is not None and values.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_network_round_trip(name, tmp_path):
    model = models.build(name, **NETWORKS[name])
    model.train()(*example(name))  # moves the batch norms' statistics
    models.save(model.eval(), tmp_path / "model", seconds=3)
    loaded = models.load(tmp_path / "model")
    assert not loaded.training
    for a, b in zip(parts(model(*example(name))), parts(loaded(*example(name))), strict=True):
        assert torch.equal(a, b)
    assert models.read_config(tmp_path / "model")["facts"] == {"seconds": 3}
    assert not [path.name for path in (tmp_path / "model").iterdir() if "partial" in path.name]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_knows_all_that_it_was_built_with(name):
    """In the constructor's order, defaults included, as JSON gives it back."""
    settings = NETWORKS[name]
    config = models.build(name, **settings).config
    arguments = inspect.signature(models.NETWORKS[name]).parameters
    assert list(config) == list(arguments)
    expected = {key: settings.get(key, each.default) for key, each in arguments.items()}
    assert json.dumps(config) == json.dumps(expected)
    assert models.build(name, **json.loads(json.dumps(config))).config == config


def test_arguments_without_a_name_are_known_too():
    assert MlpHead(7, (6, 5)).config == models.build("mlp_head", inputs=7, widths=[6, 5]).config


@pytest.mark.parametrize(
    "probe", [ols(), ridge(1e-3), lightgbm(5, 4)], ids=["ols", "ridge", "lgb"]
)
def test_probe_round_trip(probe, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 4)), rng.standard_normal(200)
    probe.fit(x, y)
    models.save(probe, tmp_path)
    assert np.array_equal(models.load(tmp_path).predict(x), probe.predict(x))


def stored(folder):
    models.save(models.build("mlp_head", **NETWORKS["mlp_head"]), folder)
    return folder


def test_missing_model_names_the_file(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: file: found nothing"):
        models.load(tmp_path / "nowhere")
    (stored(tmp_path) / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors: file"):
        models.load(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    path = stored(tmp_path) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"weights\.safetensors: header"):
        models.load(tmp_path)


def test_pickled_weights_are_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    for kind, name in (("network", "weights.safetensors"), ("sklearn", "model.skops")):
        folder = tmp_path / kind
        stored(folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "kind": kind}))
        (folder / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(InputError, match=name):
            models.load(folder)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_size_name_the_tensor(tmp_path):
    path = stored(tmp_path) / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["inputs"] = 8
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"input_deviation: found \(7,\), expected \(8,\)"):
        models.load(tmp_path)


def test_weights_that_are_not_finite_name_the_tensor(tmp_path):
    model = models.build("mlp_head", **NETWORKS["mlp_head"])
    model.layers[0].weight.data[0, 0] = torch.nan
    models.save(model, tmp_path)
    with pytest.raises(InputError, match=r"layers\.0\.weight: found values"):
        models.load(tmp_path)


@pytest.mark.parametrize(
    "change, field",
    [
        ({"kind": "pickle"}, "kind"),
        ({"name": "oracle"}, "name"),
        ({"settings": {"depth": 3}}, "settings"),
    ],
)
def test_damaged_config_names_the_field(change, field, tmp_path):
    path = stored(tmp_path) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=rf"config\.json: {field}"):
        models.load(tmp_path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"config\.json: JSON"):
        models.load(tmp_path)


def test_unknown_network_or_setting_is_refused():
    with pytest.raises(InputError, match="oracle"):
        models.build("oracle")
    with pytest.raises(InputError, match="mlp_head"):
        models.build("mlp_head", depth=3)
