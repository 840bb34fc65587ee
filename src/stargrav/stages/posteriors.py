"""Stage `posteriors`: label vectors drawn from the posteriors of test stars, in three ways.

See `inference.posteriors`. The pixels are those of the networks of programme `diffusion`, the
noise is that of the stars' first latents, and the error that it scatters by is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stargrav import models
from stargrav.data.loader import Clean, NoisySpectra
from stargrav.data.sources import open_source
from stargrav.data.splits import SPLITS, sampled_rows
from stargrav.inference import diffused
from stargrav.inference.bayes import Integrator
from stargrav.inference.draws import noisy_draw
from stargrav.inference.emulator import Emulator
from stargrav.inference.posteriors import MANIFEST, write_draws
from stargrav.labels import LABELS
from stargrav.models.features import components
from stargrav.observation.simulate import Simulator
from stargrav.physics.grid import Library
from stargrav.settings import Posteriors
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.device import device
from stargrav.training.flow import train_flow
from stargrav.training.head import train_network
from stargrav.training.plan import Plan
from stargrav.training.redrawn import FreshNoise

HISTORY = "history.csv"
SIZES = {"components", "transforms", "widths", "bins"}  # of the flow
BLIND = 1e3  # error of pixels that are not seen, in units of their own: all components stay known
MOST = 20_000  # spectra that components and scales are found from
_READ = 1024  # spectra read at a time
_STARS = 32  # that are drawn for together, and kept through an interruption


def build(work: Work, out: Path) -> None:
    """Draw from the posteriors that the stage is named after."""
    spectra = {name: dataset.read(work.folders["dataset"], name) for name in SPLITS}
    kind, settings = work.stage.partition("@")[2], work.settings
    pixels = settings.diffusion.pixels or len(spectra["test"].wave)
    chosen, seed, place = settings.posteriors, settings.seed, device(settings.accelerator)
    work.scratch.mkdir(parents=True, exist_ok=True)
    if kind == "exact":
        source = open_source(work.source)
        if not isinstance(source, Library):
            (out / MANIFEST).write_text(json.dumps({"labels": [], "pixels": pixels}) + "\n")
            return
        library = Simulator(source.to(place)).library
        exact(out, spectra, library, pixels, chosen, seed, place)
    elif kind == "amortized":
        amortized(out, spectra, pixels, chosen, seed, settings.accelerator, work.scratch)
    else:
        network = work.folders["denoiser@conditional"]
        sampled(out, spectra, network, chosen, seed, settings.accelerator, work.scratch)


def exact(
    out: Path,
    spectra: Mapping[str, Spectra],
    library: Library,
    pixels: int,
    chosen: Posteriors,
    seed: int = 42,
    place: torch.device | str = "cpu",
) -> None:
    """Posteriors by integration over the library as the instrument sees it.

    Args:
        out: folder to write into.
        spectra: those of train, valid and test.
        library: as the instrument sees it.
        pixels: of the red end that are seen.
        chosen: numbers of stars and draws, and the integral's size.
        seed: of noise and draws.
        place: device of the computation.
    """
    test, labels = spectra["test"], varying(spectra)
    rows = np.arange(min(chosen.stars, len(test)))
    emulator = Emulator(library, place, torch.float64)  # a part of the arm knows few components
    integrate = Integrator(emulator, chosen.points, seed, chosen.draws, chosen.draws)
    noisy, error = (x.double() for x in noisy_draw(Clean(test, place, "noiseless"), rows, 1, seed))
    error[:, : error.shape[1] - pixels] *= BLIND
    with tqdm(total=len(rows), desc="exact posterior", leave=False, disable=None) as bar:
        found = integrate(noisy, error, progress=bar.update)
    columns = [LABELS.index(name) for name in labels]
    write_draws(out, found.draws[:, :, columns], labels, pixels)


def amortized(
    out: Path,
    spectra: Mapping[str, Spectra],
    pixels: int,
    chosen: Posteriors,
    seed: int = 42,
    accelerator: str = "auto",
    scratch: Path | None = None,
) -> None:
    """Posteriors by a flow, which is trained first and stored; arguments as for the others."""
    labels, place = varying(spectra), device(accelerator)
    seen = {name: each.reddest(pixels) for name, each in spectra.items()}
    rows = sampled_rows(len(seen["train"]), chosen.spectra, seed)
    drawn = torch.Generator(place)
    common = {"noise_level": 1.0, "device": place, "error": "noiseless"}
    batches = NoisySpectra(
        seen["train"], chosen.batch_size, rows=rows, shuffle=True, generator=drawn, **common
    )
    checks = NoisySpectra(seen["valid"], _READ, seed=seed, **common)
    known = NoisySpectra(seen["train"], MOST, rows=rows[:MOST], seed=seed, **common)
    plan = Plan(
        epochs=chosen.epochs,
        schedule="cosine",
        warmup=0.05,
        clip=1.0,
        patience=chosen.patience,
        accelerator=accelerator,
        seed=seed,
        progress="posterior",
    )
    flow, history = train_flow(
        batches,
        checks,
        {name: values.cpu() for name, values in next(iter(known)).items()},
        chosen.model_dump(include=SIZES),
        plan,
        [LABELS.index(name) for name in labels],
        learning_rate=chosen.learning_rate,
        folder=scratch,
    )
    models.save(flow, out, labels=list(labels))
    history.drop(columns="seconds").to_csv(out / HISTORY, index=False)
    rows = np.arange(min(chosen.stars, len(spectra["test"])))
    flow, clean = flow.to(place), Clean(spectra["test"], place, "noiseless")
    told = flow.told(*(x[:, -pixels:] for x in noisy_draw(clean, rows, 1.0, seed)))
    generator = torch.Generator(place).manual_seed(seed)
    write_draws(out, flow.draw(told, chosen.draws, generator).cpu().numpy(), labels, pixels)


def sampled(
    out: Path,
    spectra: Mapping[str, Spectra],
    conditional: Path,
    chosen: Posteriors,
    seed: int = 42,
    accelerator: str = "auto",
    scratch: Path | None = None,
) -> None:
    """Posteriors by clean spectra that a diffusion model draws, each read by one network.

    That network learns labels from components of clean training spectra with a little noise, so
    that it reads nothing from what differs less than that.

    Args:
        out: folder to write into.
        spectra: those of train, valid and test.
        conditional: folder of the diffusion model.
        chosen: numbers of stars and draws, steps of the sampler, the reader's noise.
        seed: of noise and draws.
        accelerator: for the networks: auto, cpu or gpu.
        scratch: a folder that outlives an interruption; what is drawn is kept there.
    """
    labels, place = varying(spectra), device(accelerator)
    network, told = models.load(conditional), models.read_config(conditional)["facts"]["told"]
    pixels = network.config["pixels"]
    read = _reader(spectra, pixels, labels, chosen, seed, accelerator, scratch)
    clean = Clean(spectra["test"], place, "noiseless")
    count, found = min(chosen.sampled_stars, len(spectra["test"])), []
    starts = range(0, count, _STARS)
    for start in tqdm(starts, desc="sampled posterior", leave=False, disable=None):
        kept = None if scratch is None else scratch / f"draws_{start}.npy"
        if kept is not None and kept.exists():
            found.append(np.load(kept, allow_pickle=False))
            continue
        rows = np.arange(start, min(start + _STARS, count))
        measured = (x[:, -pixels:].cpu().numpy() for x in noisy_draw(clean, rows, 1.0, seed))
        flux = diffused.posterior_draws(
            network, told, *measured, chosen.draws, seed + start, steps=chosen.steps, device=place
        )
        found.append(np.stack([read(each) for each in flux]).astype(np.float32))
        if kept is not None:
            aside = kept.with_name(f".{kept.name}")
            np.save(aside, found[-1], allow_pickle=False)
            aside.replace(kept)
    write_draws(out, np.concatenate(found), labels, pixels)


def varying(spectra: Mapping[str, Spectra]) -> tuple[str, ...]:
    """Labels in which the training stars differ."""
    spread = np.ptp(spectra["train"].labels, axis=0)
    return tuple(name for name, width in zip(LABELS, spread, strict=True) if width > 0)


class _Reader:
    """Labels of clean spectra."""

    def __init__(self, unit: np.ndarray, family: object, head: object) -> None:
        self.unit, self.family, self.head = unit, family, head

    def __call__(self, flux: np.ndarray) -> np.ndarray:
        found = self.head.predict(self.family.transform(flux / self.unit))
        return found.reshape(len(flux), -1)


def _reader(
    spectra: Mapping[str, Spectra],
    pixels: int,
    labels: tuple[str, ...],
    chosen: Posteriors,
    seed: int,
    accelerator: str,
    scratch: Path | None,
) -> _Reader:
    train, valid = spectra["train"], spectra["valid"]
    rows = sampled_rows(len(train), chosen.spectra, seed)
    flux = np.array(train.flux[rows, -pixels:])
    unit = np.sqrt(np.mean(np.square(train.error[rows[:_READ], -pixels:]), axis=0))
    family = components(chosen.components, seed)
    clean = family.fit_transform(flux / unit).astype(np.float32)
    checks = family.transform(np.array(valid.flux[:, -pixels:]) / unit).astype(np.float32)
    rng = np.random.default_rng(seed)
    noisy, checked = (
        x + chosen.reader_noise * rng.standard_normal(x.shape, dtype=np.float32)
        for x in (clean, checks)
    )
    columns = [LABELS.index(name) for name in labels]
    truth = torch.tensor(train.labels[rows][:, columns], dtype=torch.float32)
    plan = Plan(
        epochs=chosen.epochs,
        schedule="cosine",
        monitor="valid_r2",
        patience=chosen.patience,
        accelerator=accelerator,
        seed=seed,
        progress="reader",
    )
    head, _ = train_network(
        "mlp_head",
        {"widths": chosen.widths, "dropout": 0.0},
        (noisy, truth.numpy()),
        (checked, valid.labels[:, columns]),
        plan,
        folder=scratch,
        fresh=FreshNoise(torch.from_numpy(clean), truth, chosen.reader_noise, chosen.batch_size),
    )
    return _Reader(unit, family, head)
