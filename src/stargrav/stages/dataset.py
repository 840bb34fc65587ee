"""Stage `dataset`: train.h5, valid.h5 and test.h5, observed spectra in pfsspec format."""

from __future__ import annotations

import sys
from pathlib import Path

from stargrav.data import store
from stargrav.data.dataset import write_dataset
from stargrav.data.room import require_disk
from stargrav.data.sources import open_source, resolved
from stargrav.data.splits import SPLITS
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.simulate import Simulator
from stargrav.physics.grid import Library
from stargrav.progress import Progress
from stargrav.spectrum import Spectra
from stargrav.stages import Work, splits

BATCH = 1024
BYTES = 8  # of a pixel: flux and error in float32


def build(work: Work, out: Path) -> None:
    """Write the three data sets; those that an interrupted run has written are kept.

    Raises:
        InputError: the disk has no room for them.
    """
    missing = [split for split in SPLITS if not (work.scratch / f"{split}.h5").exists()]
    source = open_source(work.source)
    _require_room(work, source, missing)
    if isinstance(source, Library):
        print(resolved(work.source, source.resolution), file=sys.stderr)
    work.scratch.mkdir(parents=True, exist_ok=True)
    for split in missing:
        write(work, split, work.scratch / f"{split}.h5")
    for split in SPLITS:
        (work.scratch / f"{split}.h5").rename(out / f"{split}.h5")


def read(folder: Path, split: str) -> Spectra:
    """One split's spectra, memory-mapped."""
    return store.read_spectra(folder / f"{split}.h5")


def write(work: Work, split: str, out: Path, limit: int | None = None) -> None:
    """Write one split's spectra: simulated from a library, or copied from a ready-made data set.

    Args:
        work: the stage's work.
        split: train, valid or test.
        out: file to write.
        limit: only the first so many stars.
    """
    stars = splits.read(work.folders["splits"], split)[:limit]
    source = open_source(work.source)
    if isinstance(source, Library):
        simulator = Simulator(source, error=work.settings.dataset.error)
        with Progress(total=len(stars), desc=split, unit=" spectra") as bar:
            write_dataset(out, simulator, stars, work.settings.seed, progress=bar.update)
        return
    rows = stars["id"].to_numpy()
    parts = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    batches = ((source.flux[part], source.error[part]) for part in parts)
    store.write_spectra(out, source.wave, batches, stars, {"error": source.error_kind})


def _require_room(work: Work, source: Library | Spectra, missing: list[str]) -> None:
    wave = source.wave
    if isinstance(source, Library):
        wave = PFS_MR.cut(float(wave[0]), float(wave[-1])).wave
    count = sum(len(splits.read(work.folders["splits"], split)) for split in missing)
    purpose = f"a data set of {count:,} spectra of {len(wave)} pixels"
    require_disk(BYTES * count * len(wave), work.scratch, purpose)
