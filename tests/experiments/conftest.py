"""A small pipeline's artifacts, made by the modules that make the real ones."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from chosen import chosen
from small_inputs import ALL_READOUTS, INSTRUMENT, READOUTS, SIZES, library, spectra

from stargrav import models
from stargrav.data import protocol, store
from stargrav.experiments.inputs import Inputs
from stargrav.inference.latents import extract_latents
from stargrav.observation.noise import NoiseModel
from stargrav.stages import denoiser, limits, posteriors, students, vit


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Data set, untrained teachers, their latents and limits, read by all tests here."""
    root = tmp_path_factory.mktemp("artifacts")
    sets = ("base", "layers", "noise", "no_error", "observed")
    names = ("dataset", "train@teacher", *(f"latents@{key}" for key in sets))
    folders = {name: root / name for name in names}
    torch.manual_seed(0)
    sizes = {"channels": 8, "depth": 4, "kernel": 3, "hidden": (8,)}
    teacher = models.build("blindspot", **sizes)
    blind_to_error = models.build("blindspot", **sizes, error_input=False)
    models.save(teacher, folders["train@teacher"])
    folders["train@teacher_observed"] = root / "train@teacher_observed"
    of_observed = models.build("blindspot", **sizes)
    models.save(of_observed, folders["train@teacher_observed"])
    folders["train@teacher_no_error"] = root / "train@teacher_no_error"
    models.save(blind_to_error, folders["train@teacher_no_error"])
    networks = {"no_error": blind_to_error, "observed": of_observed}
    splits = {}
    folders["dataset"].mkdir()
    for seed, (split, n) in enumerate(SIZES.items()):
        flux, error, stars = spectra(n, seed)
        path = folders["dataset"] / f"{split}.h5"
        store.write_spectra(path, INSTRUMENT.wave, [(flux, error)], stars)
        splits[split] = store.read_spectra(path)
    observed = {name: replace(each, error_kind="observed") for name, each in splits.items()}
    two = {"train": 2, "valid": 1, "test": 1}
    for key, seen_by, of, readouts, levels, draws in (
        ("base", "teacher", splits, READOUTS, (1.0,), two),
        ("layers", "teacher", splits, ALL_READOUTS, (1.0,), 1),
        ("noise", "teacher", splits, READOUTS, (0.0, 0.1, 0.5), 1),
        ("no_error", "teacher_no_error", splits, READOUTS, (1.0,), 1),
        ("observed", "teacher_observed", observed, READOUTS, (1.0,), 1),
    ):
        network = networks.get(key, teacher)
        facts = {"trained": f"train@{seen_by}"}
        for level in levels:
            to = folders[f"latents@{key}"] / f"noise-{level:g}"
            extract_latents(of, network, readouts, to, level, draws, hashes=facts)
    folders["limits"] = root / "limits"
    folders["limits"].mkdir()
    few = {"points": 2**12, "least_ess": 20, "neighbours": 32}
    asked = chosen("limits", noise_levels=(1.0,), **few)
    noise = NoiseModel(INSTRUMENT)
    limits.write(folders["limits"], splits["test"], splits["train"], library(), noise, asked)
    folders["students"] = root / "students"
    taught = chosen("students", widths=(16, 8), channels=(4, 8), epochs=2)
    students.write(folders["students"], splits, folders["latents@base"] / "noise-1", taught)
    folders |= {name: root / name for name in ("survey", "survey_limits", "vit")}
    folders["survey"].mkdir()
    for split, each in splits.items():
        path, kind = folders["survey"] / f"{split}.h5", {"error": "noiseless"}
        store.write_spectra(path, each.wave, [(each.flux, each.error)], each.stars, kind)
    shutil.copytree(folders["limits"], folders["survey_limits"])
    snr = {name: each.stars["snr"].to_numpy() for name, each in splits.items()}
    (folders["survey"] / protocol.FILE).write_text(json.dumps(protocol.written(snr)))
    few = {"spectra": 200, "epochs": 1, "batch_size": 64, "again": 2}
    small = chosen("vit", patch=16, width=16, depth=1, heads=2, **few)
    vit.write(folders["vit"], splits, small)
    narrow = {"channels": (8, 16), "stride": 4, "heads": 2, "axes": 6, "prediction": "residual"}
    baseline = {"dilations": (1, 1, 1), "channels": 4}
    few = {"spectra": 200, "epochs": 1, "batch_size": 64}
    tiny = chosen("diffusion", **narrow, **few, dncnn=baseline)
    for kind in ("prior", "conditional", "dncnn"):
        folders[f"denoiser@{kind}"] = root / f"denoiser_{kind}"
        denoiser.write(folders[f"denoiser@{kind}"], kind, splits, tiny)
    few = {"stars": 40, "sampled_stars": 20, "draws": 12, "steps": 3, "points": 2**10}
    small = {"components": 6, "transforms": 1, "widths": (8,), "spectra": 200, "epochs": 2}
    some = chosen("posteriors", **few, **small)
    for kind in ("exact", "amortized", "sampled"):
        folders[f"posteriors@{kind}"] = root / f"posteriors_{kind}"
        folders[f"posteriors@{kind}"].mkdir()
    drawn = {kind: folders[f"posteriors@{kind}"] for kind in ("exact", "amortized", "sampled")}
    pixels = len(INSTRUMENT.wave) // 2
    posteriors.exact(drawn["exact"], splits, library(), pixels, some)
    posteriors.amortized(drawn["amortized"], splits, pixels, some)
    posteriors.sampled(drawn["sampled"], splits, folders["denoiser@conditional"], some)
    return Inputs(folders)
