"""The config of a network: what it was built with, by which it can be built again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any


def configured(build: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor leave its arguments, defaults included, as `config` of the network.

    Sequences become lists, so that JSON gives back what was stored.

    Args:
        build: ``__init__`` of a network, all of whose arguments are plain values.
    """
    signature = inspect.signature(build)

    @wraps(build)
    def built(network: Any, *args: Any, **settings: Any) -> None:
        build(network, *args, **settings)
        given = signature.bind(network, *args, **settings)
        given.apply_defaults()
        (_, *arguments) = given.arguments.items()
        network.config = {name: _plain(value) for name, value in arguments}

    return built


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
