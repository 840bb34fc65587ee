"""The command line: what it does, and a user's mistakes in one line with exit code 2."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from stargrav import cli, libraries, side_by_side
from stargrav.data import room, store
from stargrav.data.sources import open_source
from stargrav.data.splits import draw_splits
from stargrav.errors import InputError
from stargrav.experiments import registry
from stargrav.labels import LABELS, from_unit
from stargrav.observation.doppler import radial_velocity
from stargrav.observation.view import View, covered
from stargrav.physics import nodes

STARS = pd.DataFrame([[5000, 4.0, 0.0, 0.0, 0.0]], columns=LABELS)


@pytest.fixture
def stargrav(monkeypatch, capfd):
    """Runs a command; returns exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["stargrav", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def grid(tmp_path):
    """A small library of smooth spectra over T_eff and log g."""
    wave = np.arange(7080.0, 8870.0, 0.5)
    labels = np.array([[t, g, 0.0, 0.0, 0.0] for t in (4000, 5000, 6000) for g in (1, 3, 5)])
    depth = 0.1 + 0.05 * labels[:, 1] * (labels[:, 0] / 5000)
    line = np.exp(-0.5 * ((wave - 8544.4) / 5) ** 2)
    flux = 1 - depth[:, None] * line
    path = tmp_path / "grid.h5"
    store.write_grid(path, wave, flux, labels, 5000.0)
    return path


def test_simulate_writes_what_pandas_reads(stargrav, grid, tmp_path):
    out = tmp_path / "new" / "out.h5"
    arguments = ("simulate", out, "--n", 20, "--mag", "20.5,22.5", "--source", grid)
    code, text, _ = stargrav(*arguments, "--seeing", 1.0)
    assert code == 0 and "20 spectra" in text
    table = pd.read_hdf(out)
    assert {*LABELS, "redshift", "mag", "snr"} <= set(table)
    assert table["mag"].between(20.5, 22.5).all() and table["mag"].nunique() == 20
    assert (table["seeing"] == 1.0).all()
    assert len(store.read_spectra(out)) == 20


def test_simulate_repeats_with_its_seed_and_differs_with_another(stargrav, grid, tmp_path):
    files = [tmp_path / f"{name}.h5" for name in "abc"]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        assert stargrav("simulate", path, "--n", 5, "--source", grid, "--seed", seed)[0] == 0
    one, same, other = (path.read_bytes() for path in files)
    assert one == same != other


def test_simulated_stars_are_none_of_the_pipelines(stargrav, grid, tmp_path):
    """A set made with the default seed is no copy of the training set, nor is its noise."""
    out = tmp_path / "out.h5"
    assert stargrav("simulate", out, "--n", 20, "--source", grid)[0] == 0
    own = store.read_spectra(out).stars
    sizes = {"train": 20, "valid": 20, "test": 20}
    others = draw_splits(sizes, "mag215", open_source(grid).ranges, seed=42)
    assert not np.isin(own["id"], others["id"]).any()
    assert not np.isin(own["T_eff"], others["T_eff"]).any()


def test_predict_says_labels_with_their_errors(stargrav, grid, tmp_path):
    spectra, out = tmp_path / "set.h5", tmp_path / "labels.csv"
    assert stargrav("simulate", spectra, "--n", 60, "--mag", 20, "--source", grid)[0] == 0
    truth = store.read_spectra(spectra).stars
    with h5py.File(spectra, "a") as file:  # measured spectra have neither labels nor a level
        del file["dataset/params"]
        for name in ("flux", "error"):
            file[f"dataset/arrays/{name}/value"][:] *= 3.7
    code, _, err = stargrav("predict", spectra, "--out", out, "--source", grid)
    assert code == 0 and "no noise" in err and "--add-noise" in err
    code, text, err = stargrav("predict", spectra, "--out", out, "--add-noise", "--source", grid)
    assert code == 0 and "60 spectra" in text and "no noise" not in err
    found = pd.read_csv(out)
    assert (found["file"] == "set.h5").all() and (found["ess"] >= 100).all()
    assert found["chi2"].between(0.9, 1.1).mean() > 0.9
    pulls = (found["log_g"] - truth["log_g"]) / found["sd_log_g"]
    assert 0.7 < float(np.sqrt((pulls**2).mean())) < 1.35
    assert found["log_g"].corr(truth["log_g"]) > 0.5


def test_predict_knows_or_fits_velocities(stargrav, tmp_path):
    wave = np.arange(7080.0, 8870.0, 0.5)
    labels = np.array([[t, g, 0.0, 0.0, 0.0] for t in (4000, 5000, 6000) for g in (1, 3, 5)])
    rng = np.random.default_rng(0)
    lines = np.exp(-0.5 * ((wave - rng.uniform(7110, 8840, (40, 1))) / 1.5) ** 2)
    depth = rng.uniform(0, 0.04, (40, 2)) @ np.stack([labels[:, 1], labels[:, 0] / 1000])
    source, spectra, out = (tmp_path / name for name in ("lines.h5", "set.h5", "labels.csv"))
    store.write_grid(source, wave, 1 - depth.T @ lines, labels, 5000.0)
    arguments = ("--n", 30, "--mag", 20, "--velocity", -200, 200, "--source", source)
    assert stargrav("simulate", spectra, *arguments)[0] == 0
    redshift = store.read_spectra(spectra).stars["redshift"].to_numpy()
    found = {}
    for velocity in ("file", "fit"):
        options = ("--velocity", velocity, "--add-noise", "--source", source)
        assert stargrav("predict", spectra, "--out", out, *options)[0] == 0
        found[velocity] = pd.read_csv(out)
    true = radial_velocity(redshift)
    assert np.abs(true).max() > 100
    np.testing.assert_allclose(found["file"]["velocity"], true, atol=1e-3)
    pulls = (found["fit"]["velocity"] - true) / found["fit"]["sd_velocity"]
    assert np.abs(pulls).max() < 4.5 and found["fit"]["sd_velocity"].max() < 20
    np.testing.assert_allclose(found["fit"]["log_g"], found["file"]["log_g"], atol=0.3)
    options = ("--velocity", "fit", "--continuum", 2, "--add-noise", "--source", source)
    assert stargrav("predict", spectra, "--out", out, *options)[0] == 0
    freed = pd.read_csv(out)
    assert freed["sd_log_g"].median() > 0.99 * found["fit"]["sd_log_g"].median()
    assert freed["velocity"].equals(found["fit"]["velocity"])


@pytest.mark.parametrize(("low", "high"), [(-500, 0), (20, -20)])
def test_velocities_that_the_library_has_no_light_for(stargrav, grid, tmp_path, low, high):
    arguments = (tmp_path / "out.h5", "--n", 3, "--velocity", low, high, "--source", grid)
    code, _, err = stargrav("simulate", *arguments)
    assert code == 2 and "--velocity" in err and f"{low} {high}" in err and "300" in err


def test_a_table_of_other_stars_is_refused(stargrav, grid, tmp_path):
    spectra = tmp_path / "set.h5"
    assert stargrav("simulate", spectra, "--n", 3, "--source", grid)[0] == 0
    table = pd.read_hdf(spectra, "dataset/params")
    table.iloc[:2].to_hdf(spectra, key="dataset/params")
    code, _, err = stargrav("predict", spectra, "--source", grid)
    assert code == 2 and "dataset/params" in err and "2 rows" in err
    for redshift in (np.nan, 3.0, -1.0):
        table.assign(redshift=redshift).to_hdf(spectra, key="dataset/params")
        code, _, err = stargrav("predict", spectra, "--source", grid)
        assert code == 2 and "redshift" in err and "set.h5" in err


def test_a_library_coarser_than_the_instrument_is_named(stargrav, grid, tmp_path):
    coarse, spectra = tmp_path / "coarse.h5", tmp_path / "set.h5"
    store.write_grid(coarse, *store.read_grid(grid)[:3], 3000.0)
    for source, said in ((grid, False), (coarse, True)):
        for command in (("simulate", spectra, "--n", 3), ("predict", spectra)):
            code, _, err = stargrav(*command, "--source", source)
            assert code == 0 and ("resolution 3000" in err and "5000" in err) == said


def test_predict_takes_the_pixels_and_the_resolution_of_a_file(stargrav, grid, tmp_path):
    """Log-spaced, wider than the arm's, of another resolving power, some outside the library."""
    rng = np.random.default_rng(4)
    library = open_source(grid)
    labels = np.array([5000, 3.0, 0, 0, 0]) + rng.uniform(-1, 1, (40, 5)) * [1000, 2, 0, 0, 0]
    wave = np.exp(np.linspace(np.log(7060.0), np.log(8900.0), 2000))
    kept = covered(library, wave, 2000.0)
    clean = View(library, wave[kept], 2000.0).library.flux_at(torch.from_numpy(labels)).numpy()
    flux = np.ones((40, len(wave)))
    flux[:, kept] = clean + 0.005 * rng.standard_normal(clean.shape)
    stars = pd.DataFrame({"redshift": np.zeros(40)})
    spectra, out = tmp_path / "low.h5", tmp_path / "labels.csv"
    store.write_spectra(spectra, wave, [(flux, np.full_like(flux, 0.005))], stars)
    options = ("--source", grid, "--out", out, "--resolution", 2000)
    code, _, err = stargrav("predict", spectra, *options)
    assert code == 0 and f"{len(wave) - clean.shape[1]} of 2000 pixels are outside" in err
    found = pd.read_csv(out)
    pulls = (found["log_g"] - labels[:, 1]) / found["sd_log_g"]
    assert 0.7 < float(np.sqrt((pulls**2).mean())) < 1.35
    assert found["sd_log_g"].median() < 0.5 and found["chi2"].mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("change", "told"), [(40.0, "pixel 45"), (-5000.0, "0 pixels")])
def test_predict_refuses_pixels_that_jump_and_others_light(stargrav, grid, tmp_path, change, told):
    spectra, out = tmp_path / "set.h5", tmp_path / "labels.csv"
    assert stargrav("simulate", spectra, "--n", 3, "--source", grid)[0] == 0
    with h5py.File(spectra, "a") as file:
        file["spectrumdataset/wave"][45 if change > 0 else 0 :] += change
    code, _, err = stargrav("predict", spectra, "--out", out, "--source", grid)
    assert (code, err.count("\n")) == (2, 1)
    assert "spectrumdataset/wave" in err and told in err and not out.exists()


@pytest.mark.parametrize("command", ["simulate", "synthesize", "library"])
def test_a_place_that_cannot_be_written_to_is_refused_at_once(stargrav, grid, tmp_path, command):
    labels = tmp_path / "labels.csv"
    STARS.to_csv(labels, index=False)
    before = {"synthesize": (labels,)}.get(command, ())
    after = {"simulate": ("--n", 3, "--source", grid)}.get(command, ())
    code, _, err = stargrav(command, *before, tmp_path, *after)
    assert code == 2 and "OUT" in err and "a folder" in err
    for below in ("out.h5", "new/out.h5"):  # folders are made, but not in a file
        code, _, err = stargrav(command, *before, labels / below, *after)
        assert code == 2 and "OUT" in err and "no such folder" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "grid.h5", "--n", 3, "--source", "grid.h5"),
        ("synthesize", "labels.csv", "labels.csv"),
        ("synthesize", "labels.csv", "lines.lin", "--lines", "lines.lin"),
        ("library", "lines.lin", "--lines", "lines.lin"),
        ("import", "pfsspec", "grid.h5", "../same/grid.h5"),
        ("predict", "labels.csv", "--out", "labels.csv", "--source", "grid.h5"),
        ("predict", "labels.csv", "--out", "grid.h5", "--source", "grid.h5"),
    ],
)
def test_no_command_writes_over_what_it_reads(stargrav, grid, monkeypatch, arguments):
    folder = grid.parent / "same"
    folder.mkdir()
    STARS.to_csv(folder / "labels.csv", index=False)
    (folder / "lines.lin").write_text(LIST)
    grid.rename(folder / "grid.h5")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    code, _, err = stargrav(*arguments)
    assert (code, len(err.splitlines())) == (2, 1) and "a file that is read for it" in err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_link_stays_and_what_it_leads_to_is_written(stargrav, grid, tmp_path):
    link, made = tmp_path / "link.h5", tmp_path / "made.h5"
    link.symlink_to(made)
    assert stargrav("simulate", link, "--n", 3, "--source", grid)[0] == 0
    assert link.is_symlink() and len(store.read_spectra(made)) == 3


def test_what_does_not_fit_on_the_disk_is_not_begun(stargrav, grid, tmp_path, monkeypatch):
    def no_room(needed, folder, purpose):
        room.require(needed, 1e9, purpose, "disk")

    monkeypatch.setattr(room, "require_disk", no_room)
    given = ("simulate", tmp_path / "new" / "x.h5", "--source", grid, "--n")
    code, _, err = stargrav(*given, 10**8)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "100,000,000 spectra of" in err and not (tmp_path / "new").exists()
    code, _, err = stargrav(*given, 10**30)
    assert code == 2 and "--n" in err


def test_what_the_system_refuses_is_one_line(stargrav, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "out.h5")

    monkeypatch.setattr(libraries, "import_source", full)
    code, _, err = stargrav("import", "grid", "a.h5", "b.h5")
    assert (code, err) == (2, "error: [Errno 28] No space left on device: 'out.h5'\n")


@pytest.mark.parametrize(("seed", "told"), [(2**32, "--seed"), (2**32 - 1, "absent.h5")])
def test_seeds_are_those_of_the_settings(stargrav, seed, told):
    for command in (("simulate", "x.h5", "--n", 3), ("predict", "x.h5")):
        code, _, err = stargrav(*command, "--source", "absent.h5", "--seed", seed)
        assert code == 2 and told in err


@pytest.mark.parametrize("kind", ["bits", "booleans"])
def test_predict_leaves_masked_pixels_out(stargrav, grid, tmp_path, kind):
    """Whatever stands in them; bits that say nothing bad are left out of account by name."""
    spectra, masked = tmp_path / "set.h5", tmp_path / "masked.h5"
    assert stargrav("simulate", spectra, "--n", 5, "--mag", 20, "--source", grid)[0] == 0
    with h5py.File(spectra, "a") as file:
        noise = np.random.default_rng(2).standard_normal(file[store.FLUX].shape)
        file[store.FLUX][...] += noise * file[store.ERROR][...]
    out = tmp_path / "labels.csv"
    code, _, err = stargrav("predict", spectra, "--source", grid, "--out", out)
    assert (code, err) == (0, "")
    whole = pd.read_csv(out)
    shutil.copy(spectra, masked)
    with h5py.File(masked, "a") as file:
        flux, error = file[store.FLUX], file[store.ERROR]
        mask = np.zeros(flux.shape, np.uint64)
        mask[:, ::7], mask[3] = 1 << 3, 1 << 3
        mask[2, :3000], mask[4, 3:] = 1 << 3, 1 << 3
        mask[:, 1::2] |= 1 << 63
        bad = mask & 8 > 0
        flux[...] = np.where(bad, np.nan, flux)
        error[...] = np.where(bad, 0, error)
        file[store.MASK] = mask if kind == "bits" else ~bad
    named = ("--mask-bits", "0x8") if kind == "bits" else ()
    command = ("predict", masked, "--source", grid)
    code, said, err = stargrav(*command, *named, "--out", out)
    assert code == 0, err
    assert f"{bad.mean():.1%} of the pixels are masked" in err
    found = pd.read_csv(out)
    assert found.loc[3:, list(LABELS)].isna().all(axis=None)
    assert "2 have too few good pixels" in said
    known, rest = whole.loc[:1], found.loc[:1]
    assert (rest["sd_log_g"] > 0.9 * known["sd_log_g"]).all()
    assert ((rest["log_g"] - known["log_g"]).abs() < known["sd_log_g"]).all()
    assert rest["chi2"].to_numpy() == pytest.approx(1, abs=0.2)
    code, _, err = stargrav(*command, "--mask-bits", 0)
    assert code == 2 and "row 0, pixel 0" in err and "finite" in err
    with h5py.File(masked, "a") as file:
        file[store.FLUX][0, 2000] = np.inf
    code, _, err = stargrav(*command, *named)
    assert code == 2 and "row 0, pixel 2000" in err
    code, _, err = stargrav(*command, "--resolution", "nan")
    assert (code, err.count("\n")) == (2, 1) and "--resolution" in err
    for wrong in ("many", "-3", "0x10000000000000000"):
        code, _, err = stargrav(*command, "--mask-bits", wrong)
        assert (code, err.count("\n")) == (2, 1) and "--mask-bits" in err


@pytest.mark.parametrize("command", [("report",), ("programme", "towers")])
def test_pages_and_programmes_are_made_so_many_stages_at_a_time(stargrav, monkeypatch, command):
    made = []
    monkeypatch.setattr(side_by_side, "make", lambda root, *asked: made.append(asked) or set())
    monkeypatch.delenv("DVC_STAGE", raising=False)
    stargrav(*command, "--jobs", 2)
    targets, jobs = made[0]
    own = [e.stage for e in registry().values() if e.programme == command[-1]]
    assert (sorted(targets), jobs) == (sorted(own) or ["report"], 2)


def test_predict_tells_files_of_the_same_name_apart(stargrav, grid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ("a/x.h5", "b/x.h5", "b/y.h5")
    for path in files:
        assert stargrav("simulate", path, "--n", 1, "--source", grid)[0] == 0
    code, _, _ = stargrav("predict", *files, "--out", "l.csv", "--add-noise", "--source", grid)
    assert code == 0 and pd.read_csv("l.csv")["file"].tolist() == ["a/x.h5", "b/x.h5", "y.h5"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("predict", "x.h5", "--velocity", "foo"), "--velocity"),
        (("predict", "x.h5", "--continuum", 99), "--continuum"),
        (("simulate",), "OUT"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_mistyped_command_line_gets_one_line(stargrav, arguments, named):
    code, out, err = stargrav(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and named in err and "--help" in err


def test_help_explains_errors_and_the_columns_of_predict(stargrav):
    text = " ".join(stargrav("simulate", "--help")[1].split())
    assert "default: noiseless]" in text and "1-sigma errors: of" in text
    text = stargrav("predict", "--help")[1]
    assert all(f"`{name}`" in text for name in ("chi2", "misfit", "ess", "edges"))


@pytest.mark.parametrize(
    ("place", "found"), [("", "a folder"), ("absent/l.csv", "no such folder")]
)
def test_predict_refuses_a_place_that_it_cannot_write_to(stargrav, grid, tmp_path, place, found):
    """Before it computes anything, and in one line."""
    spectra = tmp_path / "set.h5"
    assert stargrav("simulate", spectra, "--n", 3, "--source", grid)[0] == 0
    code, _, err = stargrav("predict", spectra, "--out", tmp_path / place, "--source", grid)
    assert code == 2 and "--out" in err and found in err


def test_synthesize_writes_a_grid_smoothed_when_asked(stargrav, tmp_path):
    labels = tmp_path / "labels.csv"
    STARS.to_csv(labels, index=False)
    sharp, smooth = tmp_path / "sharp.h5", tmp_path / "smooth.h5"
    assert stargrav("synthesize", labels, sharp, "--wave", 8530, 8560)[0] == 0
    arguments = ("--wave", 8530, 8560, "--resolution", 5000)
    assert stargrav("synthesize", labels, smooth, *arguments)[0] == 0
    wave, flux, found, _ = store.read_grid(sharp)
    blurred = store.read_grid(smooth)
    assert wave[0] >= 8530 and wave[-1] <= 8560
    np.testing.assert_allclose(found, STARS.to_numpy())
    assert blurred[3] == 5000
    assert np.abs(np.diff(blurred[1][0])).max() < 0.5 * np.abs(np.diff(flux[0])).max()


LIST = """
Elm Ion       WL_vac(A) Excit(eV) log gf*   Rad.  Stark    Waals factor   References
'Ca 2',      8544.44000,   1.7000, -0.360,  8.200,-5.700, 291.275,  1.100,' 1 wl:K16'
"""


def test_a_library_is_made_of_a_list_of_ones_own(stargrav, tmp_path, monkeypatch):
    """A list of one line of the Ca II triplet: the library has that one and not its sisters."""
    tiny = {"T_eff": (4500, 5500), "log_g": (2.0, 4.0)} | dict.fromkeys(LABELS[2:], (0.0,))
    monkeypatch.setitem(nodes.NODES, "quick", tiny)
    lines, out = tmp_path / "one.lin", tmp_path / "new" / "library.h5"
    lines.write_text(LIST)
    given = ("library", out, "--nodes", "quick", "--components", 3, "--processes", 1)
    code, _, err = stargrav(*given, "--lines", tmp_path / "absent.lin")
    assert code == 2 and "absent.lin" in err and not out.parent.exists()
    assert stargrav(*given, "--lines", lines)[0] == 0
    made = open_source(out)
    flux = made.flux_at(torch.tensor([[5000.0, 3.0, 0.0, 0.0, 0.0]]))[0].numpy()
    depth = {at: 1 - np.interp(at, made.wave.numpy(), flux) for at in (8544.44, 8664.52)}
    assert depth[8544.44] > 0.6 and depth[8664.52] < 0.2  # Pa 13 and CN are none of the list's
    with h5py.File(out) as file:
        assert file.attrs["lines"].startswith("one.lin ") and file.attrs["physics"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda t: t.drop(columns="M_H"), "M_H"),
        (lambda t: t.assign(T_eff=9000), "T_eff, row 1"),
        (lambda t: t.assign(log_g=np.nan), "log_g, row 1"),
        (lambda t: t.assign(log_g="high"), "log_g, row 1"),
        (lambda t: t.iloc[:0], "rows"),
    ],
)
def test_labels_that_cannot_be_used(stargrav, tmp_path, change, field):
    labels, out = tmp_path / "labels.csv", tmp_path / "out.h5"
    change(STARS).to_csv(labels, index=False)
    code, _, err = stargrav("synthesize", labels, out)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "labels.csv" in err and field in err
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def broken(path, **changes):
    """A copy of a pfsspec data set with some of its values changed."""
    spectra = store.read_spectra(path)
    values = {"flux": np.array(spectra.flux), "error": np.array(spectra.error)}
    wave, stars = np.array(spectra.wave), spectra.stars
    for key, change in changes.items():
        if key == "wave":
            wave = change(wave)
        elif key == "stars":
            stars = change(stars)
        else:
            values[key] = change(values[key])
    return wave, values, stars


def put(array, index, value):
    array[index] = value
    return array


def foreign(path, wave, values, stars):
    """The same layout as another tool would write it, unchecked."""
    import h5py

    with pd.HDFStore(path, "w") as file:
        file.put("dataset/params", stars, track_times=False)
    with h5py.File(path, "a") as file:
        file["spectrumdataset/wave"] = wave
        for key, value in values.items():
            file[f"dataset/arrays/{key}/value"] = value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"flux": lambda f: put(f, (3, 100), np.nan)}, "row 3, pixel 100"),
        ({"error": lambda e: put(e, (4, 2000), np.inf)}, "row 4, pixel 2000"),
        ({"error": lambda e: e[:, :-1]}, "error"),
        ({"wave": lambda w: w[:-5]}, "flux"),
        ({"wave": lambda w: w[::-1].copy()}, "wave"),
        ({"wave": lambda w: w - 5000}, "wave"),
        ({"stars": lambda s: s.drop(columns="log_g")}, "log_g"),
    ],
)
def test_data_set_that_cannot_be_used(stargrav, grid, tmp_path, changes, field):
    good, bad = tmp_path / "good.h5", tmp_path / "bad.h5"
    assert stargrav("simulate", good, "--n", 12, "--source", grid)[0] == 0
    foreign(bad, *broken(good, **changes))
    before = sorted(tmp_path.iterdir())
    code, _, err = stargrav("import", "pfsspec", bad, tmp_path / "out.h5")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "bad.h5" in err and field in err
    assert sorted(tmp_path.iterdir()) == before


def test_empty_and_truncated_files(stargrav, grid, tmp_path):
    empty, cut = tmp_path / "empty.h5", tmp_path / "cut.h5"
    empty.write_bytes(b"")
    cut.write_bytes(grid.read_bytes()[: grid.stat().st_size // 2])
    for path in (empty, cut, tmp_path / "absent.h5"):
        code, _, err = stargrav("simulate", tmp_path / "out.h5", "--n", 5, "--source", path)
        assert (code, len(err.splitlines())) == (2, 1)
        assert path.name in err
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--mag", "bright"), "--mag"),
        (("--mag", "22,20"), "--mag"),
        (("--zenith-angle", "90"), "--zenith-angle"),
        (("--n", "0"), "--n"),
        (("--error", "none"), "--error"),
    ],
)
def test_options_that_cannot_be_used(stargrav, grid, tmp_path, arguments, field):
    code, _, err = stargrav("simulate", tmp_path / "o.h5", "--n", 5, "--source", grid, *arguments)
    assert code == 2
    assert field in err


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("run", "encoder_mpl"), "encoder_mlp"),
        (("run", "encoder_mlp", "--alhpa", "1"), "alhpa"),
        (("run", "encoder_mlp", "--alpha", "-1"), "alpha"),
        (("run", "encoder_mlp", "--alpha"), "--alpha"),
        (("run", "encoder_mlp", "--source", "absent.h5"), "absent.h5"),
        (("stage", "lattents"), "latents"),
        (("stage", "latents@base", "--profile", "huge"), "profile"),
    ],
)
def test_run_and_stage_say_what_is_wrong(stargrav, monkeypatch, arguments, field):
    monkeypatch.chdir(Path(__file__).parent)
    code, _, err = stargrav(*arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert field in err


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(stargrav, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    _, _, err = stargrav("run", "encoder_mlp", "--alpha", "-1")
    assert "command line: experiments.encoder_mlp.alpha" in err


def test_experiments_are_listed_and_shown(stargrav, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    code, text, _ = stargrav("experiments")
    assert code == 0
    for experiment in registry().values():
        assert experiment.name in text and experiment.claim in text
    code, text, _ = stargrav("experiments", "dilated_cnn")
    assert code == 0 and "receptive" not in text.splitlines()[0]
    assert "  --stars 8000" in text and "asks for r2[0.1,d2] - r2[0.1,d1] > 0" in text
    code, _, err = stargrav("experiments", "dilated")
    assert code == 2 and "dilated_cnn" in err


def test_next_says_what_is_decided_what_is_missing_and_what_to_run(
    stargrav, tmp_path, monkeypatch
):
    for name in ("MLproject", "dvc.yaml"):
        (tmp_path / name).touch()
    folder = tmp_path / "artifacts" / "experiments" / "encoder_mlp"
    folder.mkdir(parents=True)
    gain = {"criterion": "r2[mlp] - r2[ridge] > 0", "value": 0.1, "low": 0.07, "high": 0.13}
    gain["verdict"] = "pass"
    summary = {"experiment": "encoder_mlp", "programme": "distill", "verdict": "pass"}
    far = {"fisher_ratio[mlp]": {"value": 1.2, "low": 1.1, "high": 1.3}}
    summary |= {"metrics": far, "criteria": [gain], "conditions": {"profile": "laptop"}}
    (folder / "metrics.json").write_text(json.dumps(summary))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = sorted(tmp_path.rglob("*"))
    code, text, _ = stargrav("next")
    assert code == 0
    lines = text.splitlines()
    question = next(i for i, line in enumerate(lines) if " Q2: " in line)
    assert lines[question].split()[0] == "yes"
    assert (
        "encoder_mlp: r2[mlp] - r2[ridge] > 0: 0.100 [0.070, 0.130], pass" in lines[question + 1]
    )
    after = lines[lines.index("Next") :]
    assert after[1] == "  1. stargrav run linear_probe" and "does Ridge read" in after[2]
    assert "linear_probe" in lines[-1] and "encoder_mlp" not in lines[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_next_is_short_where_there_are_no_results(stargrav, tmp_path, monkeypatch):
    for name in ("MLproject", "dvc.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    code, text, _ = stargrav("next")
    lines = text.splitlines()
    assert code == 0 and lines[0].startswith("No results") and len(lines) < 40
    assert "stargrav run linear_probe" in text
    assert lines[-1].startswith("Without a result") and "linear_probe" in lines[-1]


def test_every_command_explains_itself(stargrav):
    for command in cli.cli.commands:
        code, text, _ = stargrav(command, "--help")
        assert code == 0
        assert len(text.splitlines()) > 4


def test_overrides():
    assert cli.overrides(["--a", "1", "--b=2", "--c", "-3"]) == {"a": "1", "b": "2", "c": "-3"}
    for wrong in (["a"], ["--a"]):
        with pytest.raises(InputError):
            cli.overrides(wrong)


def test_labels_of_the_unit_cube_are_the_ranges():
    np.testing.assert_allclose(from_unit(np.zeros(5)), [3750, 1, -2.5, -0.25, -0.75])


def test_threads_that_wait_do_not_spin():
    """OpenMP asks once, when torch loads it."""
    told = "import os, sys; from stargrav.cli import main; sys.argv[1:] = ['--help']; main()\n"
    told += "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    kept = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for own, expected in (({}, "False PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "False ACTIVE")):
        command = [sys.executable, "-c", told]
        said = subprocess.run(command, env=kept | own, capture_output=True, text=True, check=True)
        assert said.stdout.splitlines()[-1] == expected
