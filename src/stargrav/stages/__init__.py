"""The stages before the experiments; each module has one `build(work, out)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stargrav.settings import Settings

MODULES = {
    "splits": "splits",
    "dataset": "dataset",
    "train@teacher": "teacher",
    "train@teacher_no_error": "teacher",
    "train@teacher_observed": "teacher",
    "latents@base": "latents",
    "latents@layers": "latents",
    "latents@noise": "latents",
    "latents@no_error": "latents",
    "latents@observed": "latents",
    "students": "students",
    "limits": "limits",
    "survey": "survey",
    "survey_limits": "survey",
    "vit": "vit",
    "denoiser@prior": "denoiser",
    "denoiser@conditional": "denoiser",
    "denoiser@dncnn": "denoiser",
    "posteriors@exact": "posteriors",
    "posteriors@amortized": "posteriors",
    "posteriors@sampled": "posteriors",
}


@dataclass(frozen=True)
class Work:
    """What a stage is given.

    Attributes:
        stage: its name.
        settings: resolved settings.
        source: the library or the data set.
        folders: stage name -> folder, for the stages it needs.
        scratch: a folder that outlives an interruption, for what a long stage goes on from.
    """

    stage: str
    settings: Settings
    source: Path
    folders: Mapping[str, Path]
    scratch: Path
