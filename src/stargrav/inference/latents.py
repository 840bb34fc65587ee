"""Latents of a data set in one streaming pass.

Spectra are read a batch at a time, noise is added, the teacher's encoder runs once per draw, and
every layer and pooling that is wanted is read out of the same pass. The noise of a draw belongs to
the seed and the star's id, whatever the batch size. (The teacher's validation batches go by rows:
`data.loader`.) With `observed` errors each draw has the error estimated from it.

Stored are, for each split, layer and pooling, an array (draws n, d) as .npy, draw after draw, and
`manifest.json`: what was read out of what, and how. The arrays grow under other names; what an
interrupted pass has done is noted beside them every few thousand spectra, and kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stargrav.data.loader import Clean
from stargrav.errors import InputError
from stargrav.inference.draws import noisy_draw
from stargrav.models.blindspot import BlindSpotUNet
from stargrav.models.pooling import pool, size
from stargrav.spectrum import Spectra

MANIFEST, DONE = "manifest.json", ".done.json"
BATCH_SIZE = 32
NOTED = 64  # passes between two notes of what is done


def extract_latents(
    splits: Mapping[str, Spectra],
    teacher: BlindSpotUNet,
    readouts: Sequence[tuple[str, str]],
    folder: Path,
    noise_level: float = 1.0,
    draws: int | Mapping[str, int] = 1,
    seed: int = 42,
    hashes: Mapping[str, str] | None = None,
    batch_size: int = BATCH_SIZE,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Read latents out of a teacher and store them.

    Interrupted and called again with the same arguments, it goes on where it was.

    Args:
        splits: name -> spectra.
        teacher: the denoiser.
        readouts: pairs of layer (`models.blindspot.LAYERS`) and pooling (`models.pooling`).
        folder: where to store them, made if it is not there.
        noise_level: noise added, in units of the error.
        draws: of noise for each spectrum, of all splits or by split.
        seed: of the noise.
        hashes: further entries of the manifest, such as the data's hash.
        batch_size: spectra in a pass of the network.
        device: where the network runs.
        progress: told the number of spectra of each pass that is done.

    Returns:
        the manifest.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {name: draws if isinstance(draws, int) else draws[name] for name in splits}
    manifest: dict[str, Any] = {
        "readouts": [list(pair) for pair in readouts],
        "noise_level": noise_level,
        "seed": seed,
        "draws": counts,
        "spectra": {name: len(spectra) for name, spectra in splits.items()},
        "teacher": weights_hash(teacher),
        **(hashes or {}),
    }
    teacher = teacher.to(device).eval()
    done = _done(folder, manifest)
    for name, spectra in splits.items():
        grown = all(_aside(_path(folder, *pair, name)).exists() for pair in readouts)
        start = done.get(name, 0) if grown else 0
        if progress is not None:
            progress(start * counts[name])
        shapes = {
            (layer, pooling): (counts[name] * len(spectra), size(pooling, teacher.channels))
            for layer, pooling in readouts
        }
        arrays = {
            pair: np.lib.format.open_memmap(
                _aside(_path(folder, *pair, name)),
                mode="r+" if start else "w+",
                dtype=np.float32,
                shape=shape,
            )
            for pair, shape in shapes.items()
        }
        passes = _passes(
            spectra, teacher, readouts, noise_level, counts[name], seed, batch_size, device, start
        )
        for number, (stop, rows, latents) in enumerate(passes, start=1):
            for pair, values in latents.items():
                arrays[pair][rows] = values
            if progress is not None:
                progress(rows.stop - rows.start)
            if number % (NOTED * counts[name]) == 0:
                for array in arrays.values():
                    array.flush()
                done[name] = stop
                _write(folder / DONE, {"of": manifest, "done": done})
        done[name] = len(spectra)
        for array in arrays.values():
            array.flush()
        _write(folder / DONE, {"of": manifest, "done": done})
    for name in splits:
        for pair in readouts:
            _aside(_path(folder, *pair, name)).replace(_path(folder, *pair, name))
    _write(folder / MANIFEST, manifest)
    (folder / DONE).unlink()
    return manifest


def read_out(
    teacher: BlindSpotUNet,
    noisy: np.ndarray,
    error: np.ndarray,
    layer: str,
    pooling: str,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Latents of spectra in memory.

    Args:
        teacher: the denoiser.
        noisy: (n, p) flux.
        error: (n, p) that the teacher is told.
        layer: of `models.blindspot.LAYERS`.
        pooling: see `models.pooling`.
        device: where the network runs.

    Returns:
        (n, d), float32.
    """
    teacher = teacher.to(device).eval()
    found = []
    for start in range(0, len(noisy), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        pair = (torch.tensor(values[rows], device=device) for values in (noisy, error))
        with torch.inference_mode():
            found.append(pool(teacher.layers(*pair, [layer])[layer], pooling).float().cpu())
    return torch.cat(found).numpy()


def read_latents(folder: Path, layer: str, pooling: str, split: str) -> np.ndarray:
    """Stored latents (draws, n, d) as a read-only memory map.

    Raises:
        InputError: there are none of this layer, pooling or split, or the file is not whole.
    """
    manifest = read_manifest(folder)
    if [layer, pooling] not in manifest["readouts"]:
        stored = ", ".join("+".join(pair) for pair in manifest["readouts"])
        raise InputError(Path(folder) / MANIFEST, "readouts", f"{layer}+{pooling}", stored)
    if split not in manifest["draws"]:
        raise InputError(
            Path(folder) / MANIFEST, "split", split, "one of " + ", ".join(manifest["draws"])
        )
    path = _path(Path(folder), layer, pooling, split)
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(path, "array", str(error).splitlines()[0], "a whole .npy file") from error
    draws, spectra = manifest["draws"][split], manifest["spectra"][split]
    if len(array) != draws * spectra:
        raise InputError(path, "rows", len(array), f"{draws} draws of {spectra} spectra")
    return array.reshape(draws, spectra, -1)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What latents lie in a folder, and how they were made.

    Raises:
        InputError: there are none.
    """
    path = Path(folder) / MANIFEST
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(path, "file", "nothing", "stored latents") from None
    except ValueError as error:
        raise InputError(path, "JSON", str(error), "valid JSON") from error


def weights_hash(model: torch.nn.Module) -> str:
    """Hash of a network's weights: the same for the same function, whatever file they lie in."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _passes(
    spectra: Spectra,
    teacher: BlindSpotUNet,
    readouts: Sequence[tuple[str, str]],
    noise_level: float,
    draws: int,
    seed: int,
    batch_size: int,
    device: torch.device | str,
    first: int = 0,
) -> Iterable[tuple[int, slice, dict[tuple[str, str], np.ndarray]]]:
    """Spectra that are done after it, rows of the stored arrays, and what belongs there."""
    count = len(spectra)
    clean = Clean(spectra)
    names = {layer for layer, _ in readouts}
    for start in range(first, count, batch_size):
        stop = min(start + batch_size, count)
        for draw in range(draws):
            noisy, error = noisy_draw(clean, slice(start, stop), noise_level, seed, draw)
            with torch.inference_mode():
                layers = teacher.layers(noisy.to(device), error.to(device), names)
                latents = {
                    (layer, pooling): pool(layers[layer], pooling).float().cpu().numpy()
                    for layer, pooling in readouts
                }
            yield stop, slice(draw * count + start, draw * count + stop), latents


def _done(folder: Path, manifest: Mapping[str, Any]) -> dict[str, int]:
    """Split -> spectra that an interrupted extraction of the same latents has read."""
    try:
        found = json.loads((folder / DONE).read_text())
        return found["done"] if found["of"] == manifest else {}
    except (OSError, ValueError, KeyError):
        return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    _aside(path).write_text(json.dumps(content, indent=2) + "\n")
    _aside(path).replace(path)


def _path(folder: Path, layer: str, pooling: str, split: str) -> Path:
    return folder / f"{split}-{layer}-{pooling}.npy"


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
