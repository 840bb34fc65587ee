"""Denoisers beside each other: what each makes of the same noisy spectra of the same test stars.

All see the pixels that the diffusion models see. `pca` is fitted here, to noisy spectra; the
networks were trained by the stages `denoiser@...`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from stargrav import models
from stargrav.data import store
from stargrav.diffusion.denoise import Denoiser
from stargrav.diffusion.guidance import MomentMatching
from stargrav.diffusion.sample import SAMPLERS
from stargrav.experiments.inputs import Part, Parts
from stargrav.experiments.steps import current, over, spectra
from stargrav.experiments.table import Score, Table
from stargrav.inference import diffused
from stargrav.metrics.calibration import average
from stargrav.metrics.estimate import Estimate, bootstrap
from stargrav.metrics.regression import slope
from stargrav.metrics.similarity import ssim
from stargrav.models.dncnn import DnCnn
from stargrav.models.ridge import SweptRidge
from stargrav.models.unet1d import UNet1d
from stargrav.models.wiener import WienerPca
from stargrav.training.device import device

NEEDS = ("dataset", "denoiser@prior", "denoiser@conditional", "denoiser@dncnn")
LABELS = ("T_eff", "log_g", "M_H")
READ_AT = 0.1  # noise level that readers of labels learn at: at 1 they shrink labels themselves
THIRDS = ("low", "middle", "high")  # of the stars, by SNR

Steps = Annotated[int, Field(ge=2, le=10_000)]  # of a sampler
Denoise = Callable[[], np.ndarray]  # gives (n, pixels) flux of the test stars


def place() -> torch.device:
    """Where networks run."""
    return device(current().accelerator)


def prior() -> UNet1d:
    """The diffusion model of clean spectra."""
    return models.load(current().inputs.folder("denoiser@prior"))


def conditional() -> tuple[UNet1d, tuple[str, ...]]:
    """The diffusion model of clean spectra given noisy ones, and what it is told."""
    folder = current().inputs.folder("denoiser@conditional")
    return models.load(folder), tuple(models.read_config(folder)["facts"]["told"])


def clean(part: Part, pixels: int) -> np.ndarray:
    """Noiseless flux (n, pixels) of stars, the reddest pixels."""
    return np.array(store.read_spectra(part.path).flux[part.index, -pixels:])


def measured(part: Part, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy flux and its error (n, pixels) of stars read with `flux` and `error`."""
    flux, error = np.split(part.features[0], 2, axis=1)
    return flux[:, -pixels:], part.noise_level * error[:, -pixels:]


def wavelengths(part: Part, pixels: int) -> np.ndarray:
    """(pixels,) [A]."""
    return np.asarray(store.read_spectra(part.path).wave[-pixels:])


@dataclass(frozen=True)
class Stars:
    """The stars that denoisers are compared by.

    Args:
        count: of test, the first so many.
        train: training stars that something is fitted to; None where nothing is.
        noise: level of the noise in what is measured.
    """

    count: int
    train: int | None = None
    noise: float = 1.0

    @cached_property
    def parts(self) -> Parts:
        """The three splits with noisy flux and error, training stars only if they are wanted."""
        draws = 0 if self.train is None else 1
        found = spectra("flux", "error", noise_level=self.noise, stars=self.train, draws=draws)
        return found._replace(test=found.test.take(np.arange(min(self.count, len(found.test)))))

    @cached_property
    def pixels(self) -> int:
        """Pixels that the denoisers see."""
        folder = current().inputs.folder("denoiser@conditional")
        return models.read_config(folder)["settings"]["pixels"]

    @cached_property
    def wave(self) -> np.ndarray:
        """(pixels,) [A]."""
        return wavelengths(self.parts.test, self.pixels)

    @cached_property
    def clean(self) -> np.ndarray:
        """(n, pixels) of the test stars."""
        return clean(self.parts.test, self.pixels)

    @cached_property
    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Noisy flux and error (n, pixels) of the test stars."""
        return measured(self.parts.test, self.pixels)

    @property
    def exchanged(self) -> np.ndarray:
        """(n, pixels) error of the star next to each by SNR, scaled to the star's own median."""
        error, order = self.measured[1], np.argsort(self.snr, kind="stable")
        other = np.empty_like(order)
        other[order] = np.roll(order, -1)
        medians = np.median(error, axis=1, keepdims=True)
        return error[other] * (medians / medians[other])

    @cached_property
    def snr(self) -> np.ndarray:
        """(n,) of a pixel, the median."""
        return np.median(self.clean / self.measured[1], axis=1)

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """Rows of all test stars, and of each third of them by SNR."""
        order = np.argsort(self.snr, kind="stable")
        parts = map(np.sort, np.array_split(order, len(THIRDS)))
        return {"all": np.arange(len(order)), **dict(zip(THIRDS, parts, strict=True))}

    def missed(self, flux: np.ndarray, rows: np.ndarray) -> Estimate:
        """Mean square error of denoised test stars, in units of the noise's variance.

        Args:
            flux: (n, pixels) of all of them.
            rows: those that are judged.
        """
        seed, squares = current().seed, (np.square(flux - self.clean), np.square(self.measured[1]))
        found, noise = (bootstrap(average, x[rows].mean(axis=1), seed=seed) for x in squares)
        return found / noise

    def readers(self) -> dict[str, SweptRidge]:
        """Ridges that read labels from spectra with little noise, as denoised ones have."""
        train, valid, _ = spectra("flux", noise_level=READ_AT, stars=self.train)
        seen, checked = (part.features[0][:, -self.pixels :] for part in (train, valid))
        return {
            label: SweptRidge().fit(seen, train.stars[label], checked, valid.stars[label])
            for label in LABELS
        }


@dataclass(frozen=True)
class Compared:
    """The denoisers.

    Args:
        stars: that they are compared by.
        draws: of the diffusion model for each star.
        steps: of the sampler; its own number if None.
        components: that `pca` looks for, where it is asked.
    """

    stars: Stars
    draws: int
    steps: int | None
    components: int = 100

    @property
    def denoisers(self) -> Mapping[str, Denoise]:
        """What each makes of the measured test stars; see `given`."""
        return self.given(*self.stars.measured)

    def given(self, noisy: np.ndarray, error: np.ndarray) -> Mapping[str, Denoise]:
        """What each makes of spectra, when it is asked.

        Args:
            noisy: (n, pixels) flux.
            error: (n, pixels).

        Returns:
            name -> what gives (n, pixels): `gaussian` the mean under the normal distribution that
            the diffusion model of clean spectra starts from, without its network; `ddpm` the mean
            of the draws of the conditional one, `draw` one of them, `at_once` what it says without
            any.
        """
        seed, where = current().seed, place()

        @cache
        def drawn() -> tuple[np.ndarray, np.ndarray]:
            told = (*self._conditional, noisy, error, self.draws, seed)
            draws = diffused.posterior_draws(*told, steps=self.steps, device=where)
            return draws.mean(axis=1), draws[:, 0].copy()

        return {
            "noisy": lambda: noisy,
            "pca": lambda: self._pca.denoise(noisy, error),
            "gaussian": lambda: diffused.gaussian_mean(prior(), noisy, error),
            "dncnn": lambda: self._by_dncnn(noisy, error),
            "ddpm": lambda: drawn()[0],
            "draw": lambda: drawn()[1],
            "at_once": lambda: diffused.at_once(*self._conditional, noisy, error, seed, where),
        }

    def matched(self, noisy: np.ndarray, error: np.ndarray, iterations: int) -> np.ndarray:
        """Mean (n, pixels) of draws of the model of clean spectra, guided by moment matching.

        It never saw noise, and takes errors of any size.

        Args:
            noisy: (n, pixels) flux.
            error: (n, pixels).
            iterations: of conjugate gradients (`diffusion.guidance`).
        """
        network = prior()
        form = partial(MomentMatching, iterations=iterations, prior=network.prior)
        return guided_means(network, self.draws, asked(form), (noisy, error), self.steps)

    @cached_property
    def _conditional(self) -> tuple[UNet1d, tuple[str, ...]]:
        return conditional()

    @cached_property
    def _pca(self) -> WienerPca:
        model = WienerPca(self.components, current().seed)
        return model.fit(*measured(self.stars.parts.train, self.stars.pixels))

    @cached_property
    def _dncnn(self) -> DnCnn:
        return models.load(current().inputs.folder("denoiser@dncnn")).to(place())

    def _by_dncnn(self, noisy: np.ndarray, error: np.ndarray) -> np.ndarray:
        found = []
        for rows in np.array_split(np.arange(len(noisy)), -(-len(noisy) // diffused.BATCH)):
            with torch.inference_mode():
                pair = (torch.tensor(values[rows], device=place()) for values in (noisy, error))
                found.append(self._dncnn(*pair).cpu().numpy())
        return np.concatenate(found)


def asked(form: Callable[[Denoiser, Tensor, Tensor], Denoiser]) -> diffused.Guide:
    """A guide that changes what the sampler hears."""
    return lambda denoiser, y, error: (form(denoiser, y, error), SAMPLERS["dpm_solver"])


def guided_means(
    network: UNet1d,
    draws: int,
    guide: diffused.Guide,
    seen: tuple[np.ndarray, np.ndarray],
    steps: int | None,
) -> np.ndarray:
    """Mean (n, pixels) of the draws of stars whose flux and error were measured."""
    seed, where = current().seed, place()
    return diffused.guided_draws(network, guide, *seen, draws, seed, steps, where).mean(axis=1)


def compared(
    denoisers: Mapping[str, Denoise],
    stars: Stars,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """Denoised test stars against the clean ones: all of them, and each third by SNR.

    `mse` is in units of the noise's variance: 1 for noisy spectra. Labels are read by ridges that
    were fitted to training spectra with little noise. Of what they read from the denoised spectrum
    less what they read from the clean one, `bias_...` is the mean and `slope_...` the slope
    against the true label: 0 where labels are kept, about -1 where all stars get one spectrum.

    Args:
        denoisers: by name.
        stars: read with training stars.
        columns: denoiser -> further columns of its rows.
    """
    readers, seed = stars.readers(), current().seed
    table = over(model=denoisers, stars=stars.groups)
    made = lru_cache(maxsize=1)(lambda denoise: denoise())
    for case in table:
        flux, rows = made(case.model), case.stars
        alike = ssim(stars.clean[rows], flux[rows])
        metrics = {
            "mse": stars.missed(flux, rows),
            "ssim": bootstrap(average, alike, seed=seed),
        }
        for label, reader in readers.items():
            off = reader.predict(flux[rows]) - reader.predict(stars.clean[rows])
            true = stars.parts.test.stars[label][rows]
            metrics[f"bias_{label}"] = bootstrap(average, off, seed=seed)
            metrics[f"slope_{label}"] = bootstrap(slope, off, true, seed=seed)
        told = {"n_test": len(rows), "snr": float(np.median(stars.snr[rows]))}
        told |= (columns or {}).get(case.labels["model"], {})
        shown = {}
        if case.labels["stars"] == "all":
            shown = {"noisy": stars.measured[0], "denoised": flux, "clean": stars.clean}
            shown = {"wave": stars.wave, **{name: values[0] for name, values in shown.items()}}
        case.record(Score(metrics, told, spectra=shown))
    return table
