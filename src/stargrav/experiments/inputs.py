"""What an experiment reads: the folders of the stages that it needs, opened when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inputs:
    """The artifacts of the pipeline.

    Args:
        folders: stage name (`dataset`, `train@teacher`, `latents`) -> its folder.
    """

    folders: Mapping[str, Path]
