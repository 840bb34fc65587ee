"""Settings: params.yaml -> typed, validated values, with one of three profiles applied.

A value is looked up in this order: the command line (`-P key=value`, `--key value`), then
`params.yaml: profiles.<profile>.<section>`, then `params.yaml: <section>`. No value stands here:
DVC would not see it change. Anything missing, unknown, of a wrong type or out of range is refused
with the key, the value found and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stargrav.errors import InputError, one_of

PROFILES = ("quick", "laptop", "full")
PROFILED = (  # sections that a profile may have: those that dvc.yaml names under profiles
    *("splits", "teacher", "latents", "students", "limits"),
    *("survey", "vit", "diffusion", "posteriors"),
)

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
NoiseLevel = Annotated[float, Field(ge=0, le=2)]
Layer = Literal["enc_pre_latent", "enc_last", "dec_input"]


def _folder(path: str) -> str:
    if not Path(path).is_dir():
        raise ValueError("a folder")
    return path


class Section(BaseModel):
    """A section of params.yaml: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("a value that is not true or false")
        return value


class Splits(Section):
    """How many stars are drawn for each split, and how bright they are."""

    train: Positive
    valid: Positive
    test: Positive
    magnitude: Literal["mag215", "mag205_225"]


class Dataset(Section):
    """How the spectra of the splits are observed."""

    error: Literal["noiseless", "observed"]


class Teacher(Section):
    """The blind-spot denoiser and its training."""

    channels: Annotated[int, Field(ge=2, le=256)]
    depth: Annotated[int, Field(ge=2, le=11)]
    kernel: Annotated[int, Field(ge=3, le=63)]
    stem: Annotated[int, Field(ge=1, le=256)] | None
    hidden: tuple[Positive, ...]
    loss: Literal["T1", "E1", "E2"]
    noise_level: NoiseLevel
    spectra: Positive
    epochs: Positive
    batch_size: Positive
    learning_rate: Rate
    schedule: Literal["plateau", "cosine", "constant"]
    patience: Positive
    precision: Literal["32-true", "bf16-mixed"]
    threads: Positive | None  # decides the last bit; as many as there are if None


class LatentSet(Section):
    """Which layers and poolings are read out, at which noise, with how many draws of train."""

    readouts: list[tuple[Layer, str]]
    noise_levels: tuple[NoiseLevel, ...]
    draws: Annotated[int, Field(ge=1, le=64)]

    @model_validator(mode="after")
    def _poolings(self) -> LatentSet:
        for _, pooling in self.readouts:
            head, _, segments = pooling.rpartition("_")
            if pooling not in ("global_mean", "mean_max") and not (
                head == "seg_mean" and segments.isdigit() and int(segments) > 0
            ):
                raise ValueError(f"pooling {pooling!r}: global_mean, mean_max or seg_mean_K")
        return self


class Latents(Section):
    """The sets of latents, each a stage of the pipeline; dvc.yaml says of which teacher."""

    base: LatentSet
    layers: LatentSet
    noise: LatentSet
    no_error: LatentSet
    observed: LatentSet


class Students(Section):
    """The flux-only students of the teacher's latent and their training."""

    widths: tuple[Positive, ...]
    channels: tuple[Positive, ...]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    batch_size: Positive
    epochs: Positive
    schedule: Literal["plateau", "cosine", "constant"]
    patience: Positive


class Limits(Section):
    """What the flux of the test stars can tell at most: noise levels, and the integral's size."""

    noise_levels: tuple[Annotated[float, Field(gt=0, le=2)], ...]
    points: Annotated[int, Field(ge=2**8, le=2**20)]
    least_ess: Annotated[float, Field(ge=10)]
    neighbours: Annotated[int, Field(ge=12)]


class Vit(Section):
    """The transformer of programme `logg_1m`, its training, and how many stars it is shown."""

    patch: Annotated[int, Field(ge=2, le=512)]
    width: Annotated[int, Field(ge=8, le=2048)]
    depth: Annotated[int, Field(ge=1, le=48)]
    heads: Annotated[int, Field(ge=1, le=32)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    spectra: Positive
    epochs: Positive
    batch_size: Positive
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    clip: Annotated[float, Field(gt=0)]
    patience: Positive
    precision: Literal["32-true", "bf16-mixed"]
    again: Annotated[int, Field(ge=0, le=20)]  # trainings with other seeds

    @model_validator(mode="after")
    def _heads(self) -> Vit:
        if self.width % (4 * self.heads):
            raise ValueError(f"width {self.width}: a multiple of 4 x heads, {4 * self.heads}")
        return self


class Dncnn(Section):
    """Sizes of the baseline DnCNN."""

    dilations: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=40)]
    channels: Annotated[int, Field(ge=2, le=512)]
    kernel: Annotated[int, Field(ge=3, le=63)]
    finds: Literal["noise", "flux"]


class Diffusion(Section):
    """The networks of programme `diffusion`, their training, and the pixels that they see."""

    pixels: Annotated[int, Field(ge=64)] | None  # the reddest; all of them if None
    prediction: Literal["epsilon", "x", "v", "residual"]
    axes: Annotated[int, Field(ge=0, le=1024)]
    channels: tuple[Positive, ...]
    kernel: Annotated[int, Field(ge=3, le=63)]
    stride: Annotated[int, Field(ge=2, le=8)]
    heads: Annotated[int, Field(ge=0, le=32)]
    conditioning: Literal["channels", "cross_attention"]
    spectra: Positive
    epochs: Positive
    batch_size: Positive
    learning_rate: Rate
    decay: Rate
    warmup: Annotated[float, Field(ge=0, lt=1)]
    clip: Annotated[float, Field(gt=0)]
    patience: Positive
    precision: Literal["32-true", "bf16-mixed"]
    pairs: Annotated[str, AfterValidator(_folder)] | None  # of LAMOST visits
    dncnn: Dncnn
    dncnn_learning_rate: Rate

    @model_validator(mode="after")
    def _sizes(self) -> Diffusion:
        if any(size % 8 for size in self.channels):
            raise ValueError(f"channels {self.channels}: multiples of 8")
        if self.kernel % 2 == 0 or self.dncnn.kernel % 2 == 0:
            raise ValueError(f"kernels {self.kernel}, {self.dncnn.kernel}: odd")
        if self.heads and self.channels[-1] % self.heads:
            raise ValueError(
                f"heads {self.heads}: 0, or what divides {self.channels[-1]} channels"
            )
        return self


class Posteriors(Section):
    """Draws from posteriors of test stars, and the networks that they come from."""

    stars: Positive
    sampled_stars: Positive  # of those, as many as spectra are drawn for
    draws: Annotated[int, Field(ge=4, le=10_000)]
    steps: Annotated[int, Field(ge=2, le=10_000)]  # of the sampler of spectra
    points: Annotated[int, Field(ge=2**8, le=2**20)]  # of the exact integral
    reader_noise: Annotated[float, Field(gt=0, le=1)]
    components: Positive
    transforms: Annotated[int, Field(ge=1, le=20)]
    widths: tuple[Positive, ...]
    bins: Annotated[int, Field(ge=2, le=64)]
    spectra: Positive
    epochs: Positive
    patience: Positive
    batch_size: Positive
    learning_rate: Rate


class Settings(Section):
    """All settings of one pipeline: what params.yaml and the command line resolve to."""

    profile: Literal["quick", "laptop", "full"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    source: Annotated[str, Field(min_length=1)]
    accelerator: Literal["auto", "cpu", "gpu"]
    splits: Splits
    dataset: Dataset
    teacher: Teacher
    latents: Latents
    students: Students
    limits: Limits
    survey: Splits  # the stars of programme `logg_1m`, of many magnitudes
    vit: Vit
    diffusion: Diffusion
    posteriors: Posteriors
    experiments: dict[str, dict[str, Any]]

    def pipeline(self) -> dict[str, Any]:
        """What the stages before the experiments depend on, as plain values."""
        return self.model_dump(exclude={"experiments"})


def load(path: Path, overrides: dict[str, str] | None = None) -> Settings:
    """Read params.yaml, apply its profile and then the overrides.

    Args:
        path: params.yaml.
        overrides: dotted key -> text as given on the command line, e.g.
            {"profile": "quick", "teacher.epochs": "3"}. A source is a name, not YAML: of what
            lies in the current folder, else of what lies beside params.yaml.

    Raises:
        InputError: a missing or unknown key, a wrong type or a value out of range, in any profile.
    """
    overrides = overrides or {}
    raw = _read(path)
    profiles = raw.pop("profiles", None) or {}
    _require_mapping(path, "profiles", profiles)
    for name in profiles:
        if name not in PROFILES:
            raise InputError(path, f"profiles.{name}", "an unknown profile", ", ".join(PROFILES))
        _require_mapping(path, f"profiles.{name}", profiles[name] or {})
        for section in profiles[name] or {}:
            if section not in PROFILED:
                found, allowed = "not of a profile", one_of(str(section), PROFILED)
                raise InputError(path, f"profiles.{name}.{section}", found, allowed)
    for name in PROFILES:  # a mistake in a profile is told before it is used
        _validate(path, _of_profile(raw, profiles, name), name, profiles.get(name))
    profile = str(overrides.get("profile", raw["profile"]))
    merged = _of_profile(raw, profiles, profile)
    for key, text in overrides.items():
        _set(merged, key, _from(path.parent, text) if key == "source" else text)
    merged["profile"] = profile
    where = "command line" if overrides else path
    return _validate(where, merged)


def adopt(path: Path, experiments: dict[str, dict[str, Any]]) -> None:
    """Write parameters of experiments into params.yaml; all else in it stays as it stands.

    What a profile but `quick`, which has sizes for tests, says of the same parameters gives way.

    Args:
        path: params.yaml.
        experiments: name -> parameters that replace those of the same name.

    Raises:
        InputError: an experiment is not there as `name: {...}` on its own, or the file is damaged.
    """
    values = _read(path).get("experiments")
    text = path.read_text()
    for name, parameters in experiments.items():
        node: yaml.Node | None = yaml.compose(text)
        for key in ("experiments", name):
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            node = next((value for found, value in pairs if found.value == key), None)
        if not isinstance(node, yaml.MappingNode) or not node.flow_style:
            raise InputError(path, f"experiments.{name}", "no such line", f"{name}: {{...}}")
        merged = {**values[name], **parameters}
        for profile in merged.keys() & set(PROFILES) - {"quick"}:
            merged[profile] = {k: x for k, x in merged[profile].items() if k not in parameters}
        written = yaml.safe_dump(merged, default_flow_style=True, sort_keys=False, width=10**6)
        text = text[: node.start_mark.index] + written.strip() + text[node.end_mark.index :]
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(text)
    aside.replace(path)


def tracking_uri(root: Path) -> str:
    """The one place that says where MLflow keeps its runs: MLFLOW_TRACKING_URI, else a local
    database file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(path, "file", "nothing", "a params.yaml")
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(path, "YAML", str(error).replace("\n", " "), "valid YAML") from error
    _require_mapping(path, "file", raw)
    return raw


def _require_mapping(path: Path, field: str, value: object) -> None:
    if not isinstance(value, dict):
        raise InputError(path, field, repr(value), "keys and values")


def _of_profile(raw: dict[str, Any], profiles: dict[str, Any], profile: str) -> dict[str, Any]:
    """What holds for a profile; an experiment has its profiles among its own parameters."""
    merged = _merge(raw, profiles.get(profile) or {})
    experiments = merged.get("experiments")
    if isinstance(experiments, dict):
        merged["experiments"] = {
            name: _flat(given, profile) if isinstance(given, dict) else given
            for name, given in experiments.items()
        }
    return merged


def _flat(given: dict[str, Any], profile: str) -> dict[str, Any]:
    always = {key: value for key, value in given.items() if key not in PROFILES}
    return {**always, **(given.get(profile) or {})}


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _from(root: Path, source: str) -> str:
    here = Path(source)
    if not source or here.is_absolute() or not here.exists():
        return source
    return os.path.relpath(here, root)


def _set(tree: dict[str, Any], key: str, text: str) -> None:
    *folders, leaf = key.split(".")
    for folder in folders:
        if not isinstance(tree.get(folder) or {}, dict):
            raise InputError("command line", key, text, f"{folder} to be a section, not a value")
        branch = dict(tree.get(folder) or {})
        tree[folder] = branch
        tree = branch
    try:
        as_typed = key == "source" or not isinstance(text, str)  # a name may look like a number
        tree[leaf] = text if as_typed else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("command line", key, text, "a YAML value") from error


def _validate(
    where: object,
    values: dict[str, Any],
    profile: str = "",
    own: dict[str, Any] | None = None,
) -> Settings:
    """Values as settings.

    Args:
        where: named in errors.
        values: resolved for a profile.
        profile: its name.
        own: what stands under that profile alone; keys elsewhere are named as they stand there.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        prefix = f"profiles.{profile}." if _holds(own, first["loc"]) else ""
        if first["type"] == "missing":
            raise InputError(where, key, "nothing", "a value: params.yaml has all") from None
        if first["type"] == "extra_forbidden":
            section = Settings.model_fields
            for part in first["loc"][:-1]:
                section = section[part].annotation.model_fields
            allowed = one_of(str(first["loc"][-1]), section)
            raise InputError(where, prefix + key, first["input"], allowed) from None
        allowed = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        raise InputError(where, prefix + key, repr(first["input"]), allowed) from None


def _holds(tree: object, keys: Sequence[str | int]) -> bool:
    """Whether nested mappings hold something under keys, or a value on the way there."""
    for key in keys:
        if not isinstance(tree, dict):
            return tree is not None
        if key not in tree:
            return False
        tree = tree[key]
    return True
