"""Denoisers beside each other: what each makes of the same noisy spectra of the same test stars.

All see the pixels that the conditional diffusion model sees. `pca` is fitted here, to noisy
spectra; the networks were trained by the stages `denoiser@...`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from stargrav import models
from stargrav.data import store
from stargrav.experiments.inputs import Part
from stargrav.experiments.steps import current, spectra
from stargrav.inference import diffused
from stargrav.models.dncnn import DnCnn
from stargrav.models.unet1d import UNet1d
from stargrav.models.wiener import WienerPca
from stargrav.training.device import device

NEEDS = ("dataset", "denoiser@prior", "denoiser@conditional", "denoiser@dncnn")


def place() -> torch.device:
    """Where networks run."""
    return device(current().accelerator)


def prior() -> UNet1d:
    """The diffusion model of clean spectra."""
    return models.load(current().inputs.folder("denoiser@prior"))


def clean(part: Part, pixels: int) -> np.ndarray:
    """Noiseless flux (n, pixels) of stars, the reddest pixels."""
    return np.array(store.read_spectra(part.path).flux[part.index, -pixels:])


def measured(part: Part, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy flux and error (n, pixels) of stars read with `flux` and `error`."""
    flux, error = np.split(part.features[0], 2, axis=1)
    return flux[:, -pixels:], error[:, -pixels:]


def wavelengths(part: Part, pixels: int) -> np.ndarray:
    """(pixels,) [A]."""
    return np.asarray(store.read_spectra(part.path).wave[-pixels:])


@dataclass(frozen=True)
class Compared:
    """Test stars as each denoiser gives them back.

    Args:
        stars: of test, the first so many.
        draws: of the diffusion model for each star.
        steps: of the sampler; its own number if None.
        components: that `pca` looks for.
        train: training stars that `pca` is fitted to.
    """

    stars: int
    draws: int
    steps: int | None
    components: int
    train: int

    @cached_property
    def parts(self) -> tuple[Part, Part, Part]:
        """Training, valid and test stars with noisy flux and error."""
        found = spectra("flux", "error", stars=self.train)
        return found._replace(test=found.test.take(np.arange(min(self.stars, len(found.test)))))

    @cached_property
    def pixels(self) -> int:
        """Pixels that the denoisers see."""
        return self._conditional[0].config["pixels"]

    @property
    def wave(self) -> np.ndarray:
        """(pixels,) [A]."""
        return wavelengths(self.parts[2], self.pixels)

    @property
    def clean(self) -> np.ndarray:
        """(n, pixels) of the test stars."""
        return clean(self.parts[2], self.pixels)

    @cached_property
    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Noisy flux and error (n, pixels) of the test stars."""
        return measured(self.parts[2], self.pixels)

    @property
    def denoisers(self) -> Mapping[str, Callable[[], np.ndarray]]:
        """Name -> what gives (n, pixels): `ddpm` the mean of the draws, `draw` one of them,
        `at_once` what the network says without any."""
        return {
            "noisy": lambda: self.measured[0],
            "pca": self._pca,
            "dncnn": self._dncnn,
            "ddpm": lambda: self._draws.mean(axis=1),
            "draw": lambda: self._draws[:, 0],
            "at_once": self._at_once,
        }

    @cached_property
    def _conditional(self) -> tuple[UNet1d, tuple[str, ...]]:
        folder = current().inputs.folder("denoiser@conditional")
        return models.load(folder), tuple(models.read_config(folder)["facts"]["told"])

    @cached_property
    def _draws(self) -> np.ndarray:
        network, told = self._conditional
        seed, where = current().seed, place()
        return diffused.posterior_draws(
            network, told, *self.measured, self.draws, seed, steps=self.steps, device=where
        )

    def _at_once(self) -> np.ndarray:
        network, told = self._conditional
        return diffused.at_once(network, told, *self.measured, current().seed, place())

    def _pca(self) -> np.ndarray:
        model = WienerPca(self.components, current().seed)
        return model.fit(*measured(self.parts[0], self.pixels)).denoise(*self.measured)

    def _dncnn(self) -> np.ndarray:
        network: DnCnn = models.load(current().inputs.folder("denoiser@dncnn")).to(place())
        found = []
        count = len(self.measured[0])
        for rows in np.array_split(np.arange(count), -(-count // diffused.BATCH)):
            with torch.inference_mode():
                pair = (torch.tensor(values[rows], device=place()) for values in self.measured)
                found.append(network(*pair).cpu().numpy())
        return np.concatenate(found)
