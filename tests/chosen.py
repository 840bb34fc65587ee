"""Settings of params.yaml without a profile, with some values replaced."""

from pathlib import Path
from typing import Any

import yaml

from stargrav.settings import Section, Settings

PARAMS = Path(__file__).parents[1] / "params.yaml"


def whole(**sections: dict[str, Any]) -> Settings:
    """All settings; what is given of a section replaces those values of it."""
    plain = yaml.safe_load(PARAMS.read_text())
    del plain["profiles"]
    for section, values in sections.items():
        for name, value in values.items():
            old = plain[section][name]
            plain[section][name] = {**old, **value} if isinstance(value, dict) else value
    return Settings.model_validate(plain)


def chosen(section: str, **values: Any) -> Section:
    """One section of them."""
    return getattr(whole(**{section: values}), section)
