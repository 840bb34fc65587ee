"""params.yaml: precedence, and what is refused."""

import re

import pytest
import yaml
from chosen import PARAMS

from stargrav import settings
from stargrav.errors import InputError


@pytest.fixture
def params(tmp_path):
    """A params.yaml of the project's values with some replaced, and no profile but those given."""

    def write(**values):
        whole = {**yaml.safe_load(PARAMS.read_text()), "profiles": {}, "experiments": {}}
        for key, value in values.items():
            within = isinstance(value, dict) and key not in ("profiles", "experiments")
            whole[key] = {**whole.get(key, {}), **value} if within else value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(whole))
        return path

    return write


def test_profile_overrides_base_and_command_line_overrides_both(params):
    path = params(
        profile="quick",
        teacher={"epochs": 7, "kernel": 9},
        profiles={"quick": {"teacher": {"epochs": 2}}, "full": {"teacher": {"epochs": 50}}},
    )
    assert settings.load(path).teacher.epochs == 2
    assert settings.load(path).teacher.kernel == 9
    assert settings.load(path, {"profile": "full"}).teacher.epochs == 50
    chosen = settings.load(path, {"profile": "laptop", "teacher.epochs": "3"})
    assert (chosen.profile, chosen.teacher.epochs) == ("laptop", 3)


def test_a_profile_has_only_sections_that_dvc_sees(params):
    """What else it said would change what a stage makes without making it again."""
    path = params(profiles={"quick": {"dataset": {"error": "observed"}}})
    with pytest.raises(InputError) as caught:
        settings.load(path)
    assert caught.value.field == "profiles.quick.dataset"


def test_yes_is_no_number(params):
    for given in ({"seed": True}, {"teacher": {"epochs": True}}):
        with pytest.raises(InputError, match="true or false"):
            settings.load(params(**given))


def test_an_experiment_has_its_profiles_among_its_parameters(params):
    given = {"alpha": 1.0, "stars": 9, "quick": {"stars": 3}, "full": {"alpha": 2.0}}
    path = params(profile="laptop", experiments={"one": given, "two": {}})
    for profile, expected in {
        "quick": {"alpha": 1.0, "stars": 3},
        "laptop": {"alpha": 1.0, "stars": 9},
        "full": {"alpha": 2.0, "stars": 9},
    }.items():
        assert settings.load(path, {"profile": profile}).experiments == {
            "one": expected,
            "two": {},
        }
    chosen = settings.load(path, {"profile": "quick", "experiments.one.stars": "5"})
    assert chosen.experiments["one"] == {"alpha": 1.0, "stars": 5}


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("profile", "huge", "'quick', 'laptop' or 'full'"),
        ("teacher.epochs", "many", "integer"),
        ("teacher.epochs", "0", "greater than or equal to 1"),
        ("teacher.depht", "3", "depth"),
        ("tracher", "3", "teacher"),
        ("splits.magnitude", "20", "mag215"),
        ("latents.base.readouts", "[[enc_last, seg_mean_x]]", "seg_mean_K"),
        ("teacher", "3", "dictionary"),
        ("diffusion.pairs", "not_there", "a folder"),
    ],
)
def test_wrong_value_names_key_value_and_what_is_allowed(key, value, allowed):
    with pytest.raises(InputError, match=re.escape(allowed)) as caught:
        settings.load(PARAMS, {key: value})
    assert key.split(".")[0] in caught.value.field
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["seed", "profile", "vit", "teacher.depth", "latents.noise.draws"])
def test_what_is_missing_is_told_and_not_made_up(params, key):
    """A value that stood elsewhere could change without DVC seeing it."""
    path = params()
    values = yaml.safe_load(path.read_text())
    *folders, leaf = key.split(".")
    section = values
    for folder in folders:
        section = section[folder]
    del section[leaf]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match="found nothing, expected a value") as caught:
        settings.load(path)
    assert caught.value.field == key


@pytest.mark.parametrize("name", ["2024", "b #1.h5", "null", "a: b"])
def test_a_source_is_named_as_it_is_typed(params, name):
    assert settings.load(params(), {"source": name}).source == name


def test_a_source_in_the_current_folder_is_named_from_where_the_settings_lie(
    params, tmp_path, monkeypatch
):
    path, below = params(), tmp_path / "below"
    below.mkdir()
    (below / "mine.h5").touch()
    monkeypatch.chdir(below)
    absolute = str(below / "mine.h5")
    for given, seen in (
        ("mine.h5", "below/mine.h5"),
        ("../below/mine.h5", "below/mine.h5"),
        ("data/library.h5", "data/library.h5"),
        (absolute, absolute),
    ):
        assert settings.load(path, {"source": given}).source == seen


def test_mistake_in_an_unused_profile_is_told(params):
    path = params(profile="quick", profiles={"full": {"splits": {"train": -5}}})
    with pytest.raises(InputError, match=r"profiles\.full\.splits\.train"):
        settings.load(path)


def test_a_mistake_outside_of_the_profiles_is_named_as_it_stands_there(params):
    for where, value in (("seed", "abc"), ("sed", 4), ("dataset", {"eror": "observed"})):
        with pytest.raises(InputError) as caught:
            settings.load(params(**{where: value}, profiles={"quick": {"splits": {"train": 9}}}))
        assert caught.value.field.split(".")[0] == where


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n", "profiles: {huge: {}}\n"])
def test_broken_file_is_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        settings.load(path)
    assert "\n" not in str(caught.value)


def test_every_profile_of_the_project_is_valid():
    for profile in settings.PROFILES:
        assert settings.load(PARAMS, {"profile": profile}).profile == profile
