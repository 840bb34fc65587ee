"""Stage `posteriors`: label vectors drawn from the posteriors of test stars, in three ways.

See `inference.posteriors`. The pixels are those of the networks of programme `diffusion`, the
noise is that of the stars' first latents. The exact posterior and the flow are told the error that
it scatters by, the diffusion model the kind of error that it was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stargrav import models
from stargrav.data.loader import Clean, NoisySpectra
from stargrav.data.sources import open_source
from stargrav.data.splits import SPLITS, sampled_rows
from stargrav.inference import diffused
from stargrav.inference.bayes import LEAST_ESS, Integrator
from stargrav.inference.draws import noisy_draw
from stargrav.inference.emulator import Emulator
from stargrav.inference.posteriors import MANIFEST, write_draws
from stargrav.labels import LABELS
from stargrav.observation.simulate import Simulator
from stargrav.physics.grid import Library
from stargrav.progress import Progress
from stargrav.settings import Posteriors
from stargrav.spectrum import Spectra
from stargrav.stages import Work, dataset
from stargrav.training.device import device
from stargrav.training.flow import train_flow
from stargrav.training.plan import Plan
from stargrav.training.reader import train_reader

HISTORY = "history.csv"
SIZES = {"components", "transforms", "widths", "bins"}  # of the flow
BLIND = 1e3  # error of pixels that are not seen, in units of their own: all components stay known
MANY = 5  # effective points of a posterior for each of its draws
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
    least = max(LEAST_ESS, MANY * chosen.draws)  # draws that hardly ever come twice
    integrate = Integrator(emulator, chosen.points, seed, least, chosen.draws)
    noisy, error = (x.double() for x in noisy_draw(Clean(test, place, "noiseless"), rows, 1, seed))
    error[:, : error.shape[1] - pixels] *= BLIND
    with Progress(total=len(rows), desc="exact posterior") as bar:
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
    plan = _plan(chosen, seed, accelerator, "posterior", warmup=0.05, clip=1.0)
    flow, history = train_flow(
        batches,
        checks,
        {
            **{name: values.cpu() for name, values in next(iter(known)).items()},
            "labels": torch.tensor(seen["train"].labels[rows]),  # all of them say the ranges
        },
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
    train, valid = (spectra[name].reddest(pixels) for name in ("train", "valid"))
    read = train_reader(
        train,
        valid,
        labels,
        chosen.components,
        chosen.reader_noise,
        chosen.widths,
        _plan(chosen, seed, accelerator, "reader", monitor="valid_r2"),
        chosen.spectra,
        chosen.batch_size,
        scratch,
    )
    clean = Clean(spectra["test"], place)  # with errors of the kind that the network was told
    count, found = min(chosen.sampled_stars, len(spectra["test"])), []
    starts = range(0, count, _STARS)
    for start in Progress(starts, desc="sampled posterior"):
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


def _plan(chosen: Posteriors, seed: int, accelerator: str, name: str, **others: Any) -> Plan:
    """How the networks of the stage are trained."""
    return Plan(
        epochs=chosen.epochs,
        schedule="cosine",
        patience=chosen.patience,
        accelerator=accelerator,
        seed=seed,
        progress=name,
        **others,
    )
