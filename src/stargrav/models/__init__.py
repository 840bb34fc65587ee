"""Models by name: built from their settings, stored without pickled code, loaded again.

A stored model is a folder: `config.json` says what it is, its weights lie beside it as
safetensors (networks), skops (scikit-learn) or LightGBM's own text. None of the three can carry
code that runs when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from stargrav.errors import InputError, first_line
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.dncnn import DnCnn
from stargrav.models.flow import PosteriorFlow
from stargrav.models.heads import MlpHead
from stargrav.models.spectral import SpectralViT
from stargrav.models.student import ConvStudent, MlpStudent
from stargrav.models.towers import DilatedCnn, LocalCnn, LocalTransformer, TwoTower
from stargrav.models.unet1d import UNet1d

if TYPE_CHECKING:  # lightgbm, scikit-learn and skops take seconds, and networks do without
    from lightgbm import Booster
    from sklearn.base import BaseEstimator

CONFIG = "config.json"
NETWORKS: dict[str, type[nn.Module]] = {
    "blindspot": BlindSpotUNet,
    "conv_student": ConvStudent,
    "dilated_cnn": DilatedCnn,
    "dncnn": DnCnn,
    "local_cnn": LocalCnn,
    "local_transformer": LocalTransformer,
    "mlp_head": MlpHead,
    "mlp_student": MlpStudent,
    "posterior_flow": PosteriorFlow,
    "spectral_vit": SpectralViT,
    "two_tower": TwoTower,
    "unet1d": UNet1d,
}
_FILES = {"network": "weights.safetensors", "sklearn": "model.skops", "lightgbm": "model.txt"}


def build(name: str, **settings: Any) -> nn.Module:
    """A network by its name.

    Args:
        name: of `NETWORKS`.
        settings: of the network; its defaults are the published sizes.

    Raises:
        InputError: there is no such network, or a setting that it does not have.
    """
    if name not in NETWORKS:
        raise InputError("models", "name", repr(name), "one of " + ", ".join(NETWORKS))
    try:
        return NETWORKS[name](**settings)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError("models", name, error, "settings of this network") from error


def save(model: nn.Module | BaseEstimator, folder: Path, **facts: Any) -> None:
    """Store a model in a folder.

    Args:
        model: a network of `NETWORKS`, a scikit-learn estimator or a LightGBM regressor.
        folder: made if it is not there.
        facts: further JSON values kept in config.json under "facts", e.g. how it was trained.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, nn.Module):
        name = next(key for key, kind in NETWORKS.items() if type(model) is kind)
        config = {"kind": "network", "name": name, "settings": model.config}
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        _write(folder / _FILES["network"], lambda p: safetensors.torch.save_file(tensors, p))
    elif type(model).__module__.startswith("lightgbm."):
        config = {"kind": "lightgbm", "name": type(model).__name__}
        _write(folder / _FILES["lightgbm"], lambda p: model.booster_.save_model(p))
    else:
        import skops.io

        config = {"kind": "sklearn", "name": type(model).__name__}
        _write(folder / _FILES["sklearn"], lambda p: skops.io.dump(model, p))
    text = json.dumps({**config, "facts": facts}, indent=2)
    _write(folder / CONFIG, lambda p: p.write_text(text + "\n"))


def load(folder: Path) -> nn.Module | BaseEstimator | Booster:
    """Read a stored model; networks come in eval mode, LightGBM as its booster.

    Raises:
        InputError: a file is missing, damaged, or not what config.json says.
    """
    folder = Path(folder)
    config = read_config(folder)
    kind = config.get("kind")
    if kind not in _FILES:
        raise InputError(folder / CONFIG, "kind", repr(kind), "one of " + ", ".join(_FILES))
    path = folder / _FILES[kind]
    if not path.is_file():
        raise InputError(path, "file", "nothing", "the weights of a stored model")
    if kind == "network":
        return _load_network(folder, config, path)
    try:
        if kind == "lightgbm":
            from lightgbm import Booster

            return Booster(model_file=str(path))
        import skops.io

        return skops.io.load(path)
    except Exception as error:
        raise InputError(path, "model", first_line(error), f"a {kind} model") from error


def read_config(folder: Path) -> dict[str, Any]:
    """What is said of a stored model: kind, name, settings, facts.

    Raises:
        InputError: there is no stored model, or its config.json is damaged.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(path, "file", "nothing", "a stored model's config.json")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(path, "JSON", first_line(error), "valid JSON") from error
    if not isinstance(config, dict):
        raise InputError(path, "JSON", type(config).__name__, "keys and values")
    return config


def _load_network(folder: Path, config: dict[str, Any], path: Path) -> nn.Module:
    name, settings = config.get("name"), config.get("settings", {})
    if name not in NETWORKS:
        raise InputError(folder / CONFIG, "name", repr(name), "one of " + ", ".join(NETWORKS))
    try:
        model = NETWORKS[name](**settings)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            folder / CONFIG, "settings", first_line(error), f"settings of {name}"
        ) from error
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(path, "header", first_line(error), "a whole safetensors file") from error
    expected = model.state_dict()
    for key in sorted(expected.keys() | tensors.keys()):
        found = tuple(tensors[key].shape) if key in tensors else "nothing"
        wanted = tuple(expected[key].shape) if key in expected else "no such tensor"
        if found != wanted:
            raise InputError(path, key, found, str(wanted))
    for key, values in tensors.items():
        if not values.isfinite().all():
            raise InputError(path, key, "values that are not finite", "finite weights")
    model.load_state_dict(tensors)
    return model.eval()


def _write(path: Path, put: Callable[[Path], object]) -> None:
    """Write a file aside, then give it its name."""
    aside = path.with_name(f".{path.name}.partial")
    put(aside)
    aside.replace(path)
