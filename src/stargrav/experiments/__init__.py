"""Experiments: claims about where log g can be read, each decided by measured numbers."""

from __future__ import annotations

from importlib import import_module

from stargrav.experiments.spec import Experiment

PROGRAMMES = ("distill",)


def registry() -> dict[str, Experiment]:
    """All experiments by name, in the order of their programmes."""
    found: dict[str, Experiment] = {}
    for programme in PROGRAMMES:
        module = import_module(f"{__name__}.{programme}")
        for name, value in vars(module).items():
            if isinstance(value, Experiment):
                if value.name in found or value.name != name:
                    raise ValueError(f"{programme}.{name}: two experiments are {value.name}")
                found[name] = value
    return found
