"""Experiments: claims about where log g can be read, each decided by measured numbers."""

from __future__ import annotations

from importlib import import_module

from stargrav.experiments.spec import Experiment

MODULES = (
    *("distill", "shortcut", "student", "tune", "unbiased"),
    *("baselines", "towers", "seeds"),
    *("logg_1m", "scaling", "shown", "taught", "tokens"),
    *("diffusion", "guided", "told", "invented", "posteriors"),
)


def registry() -> dict[str, Experiment]:
    """All experiments by name, in the order of their modules."""
    found: dict[str, Experiment] = {}
    for part in MODULES:
        module = import_module(f"{__name__}.{part}")
        for name, value in vars(module).items():
            if isinstance(value, Experiment):
                if value.name in found or value.name != name:
                    raise ValueError(f"{part}.{name}: two experiments are {value.name}")
                found[name] = value
    return found
