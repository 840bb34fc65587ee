r"""Synthesis of a star's flux from its five labels, in local thermodynamic equilibrium.

abundances -> model atmosphere -> continuous extinction -> atomic lines, hydrogen, molecules
-> formal solution.
"""

from __future__ import annotations

import numpy as np

from stargrav.errors import InputError
from stargrav.labels import LABELS
from stargrav.physics import atmosphere, hydrogen, molecules, transfer
from stargrav.physics.equation_of_state import abundances
from stargrav.physics.line_extinction import LineExtinction
from stargrav.physics.lines import LineList, read_lines
from stargrav.physics.molecules import MICROTURBULENCE_KM_S

RESOLUTION = 200_000  # sampling, lambda / d lambda
LOW, HIGH = 7090.0, 8860.0  # A, vacuum
WAVE = LOW * np.exp(np.arange(np.ceil(np.log(HIGH / LOW) * RESOLUTION) + 1) / RESOLUTION)
RANGES = {  # of labels for which this is meant, a little beyond those that Stargrav works with
    "T_eff": (3500.0, 7000.0),
    "log_g": (0.5, 5.5),
    "M_H": (-3.0, 1.0),
    "a_M": (-0.5, 0.75),
    "C_M": (-1.0, 0.75),
}
_MOLECULES = molecules.MOLECULES
_COARSE_STEP = 10.0  # A, continuum


class Synthesizer:
    """Computes spectra; what does not depend on the labels is prepared once.

    Args:
        wave: (n,) vacuum wavelength, A, increasing, within 4000-9000 A; the sampling should
            resolve the lines (1.5 km/s).
        lines: atomic lines; None for Stargrav's own list.
        molecules: whether CN and TiO absorb.

    Raises:
        InputError: there are fewer than two wavelengths.
    """

    def __init__(
        self, wave: np.ndarray = WAVE, lines: LineList | None = None, molecules: bool = True
    ) -> None:
        self.wave = np.asarray(wave, float)
        if len(self.wave) < 2:
            raise InputError("synthesis", "wave", f"{len(self.wave)} wavelengths", "at least 2")
        self.lines = LineExtinction(
            read_lines() if lines is None else lines, self.wave, MICROTURBULENCE_KM_S
        )
        self.molecules = _MOLECULES if molecules else ()
        span = self.wave[-1] - self.wave[0]
        coarse = np.linspace(self.wave[0], self.wave[-1], max(2, int(span / _COARSE_STEP) + 1))
        edge = hydrogen.EDGE
        if coarse[0] < edge < coarse[-1]:
            coarse = np.sort(np.append(coarse, [edge - 1e-3, edge + 1e-3]))
        self.coarse = coarse

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Flux at the stellar surface.

        Args:
            labels: (5,), order `LABELS`.

        Returns:
            (n,) float32, erg / s / cm^2 / A.
        """
        label = dict(zip(LABELS, np.asarray(labels, float), strict=True))
        model = atmosphere.build(label["T_eff"], label["log_g"], abundances(labels), label["M_H"])
        continuum = self._continuum(model)
        extinction = continuum.copy()
        # the continuum at these wavelengths is at least .7 times as thick as at 5000 A
        visibility = np.exp(-0.7 * 10.0**model.log_tau)
        self._add_hydrogen(extinction, continuum, model, visibility)
        self._add_molecules(extinction, model)
        self.lines.add(extinction, model.state, continuum, visibility)
        ratio = extinction / model.extinction_5000[:, None].astype(np.float32)
        source = self._interpolate(transfer.planck(self.coarse, model.state.temperature))
        return transfer.emergent_flux(ratio, source, model.log_tau)

    def _continuum(self, model: atmosphere.Atmosphere) -> np.ndarray:
        state = model.state
        coarse = atmosphere.extinction(self.coarse, state)
        coarse += hydrogen.dissolved_continuum(
            self.coarse, state.temperature, state.electron_density, state.density["H I"]
        )
        return self._interpolate(coarse)

    def _interpolate(self, coarse: np.ndarray) -> np.ndarray:
        index = np.clip(np.searchsorted(self.coarse, self.wave) - 1, 0, len(self.coarse) - 2)
        fraction = (self.wave - self.coarse[index]) / np.diff(self.coarse)[index]
        fraction = fraction.astype(np.float32)
        coarse = coarse.astype(np.float32)
        return coarse[:, index] * (1 - fraction) + coarse[:, index + 1] * fraction

    def _add_hydrogen(
        self,
        extinction: np.ndarray,
        continuum: np.ndarray,
        model: atmosphere.Atmosphere,
        visibility: np.ndarray,
    ) -> None:
        state = model.state
        hydrogen.add_lines(
            extinction,
            self.wave,
            continuum[:, -1],
            state.temperature,
            state.electron_density,
            state.density["H I"],
            MICROTURBULENCE_KM_S,
            visibility,
        )

    def _add_molecules(self, extinction: np.ndarray, model: atmosphere.Atmosphere) -> None:
        for name in self.molecules:
            weights = molecules.weights(name, model.state.temperature)
            density = model.state.density[name].astype(np.float32)
            extinction += (density[:, None] * weights) @ molecules.table(name, self.wave)


def synthesize(
    labels: np.ndarray,
    wave: np.ndarray = WAVE,
    lines: LineList | None = None,
    molecules: bool = True,
) -> np.ndarray:
    """Fluxes at the stellar surface for many sets of labels; see `Synthesizer`.

    Args:
        labels: (n, 5), order `LABELS`.
        wave: (m,) vacuum wavelength, A.
        lines: atomic lines; None for Stargrav's own list.
        molecules: whether CN and TiO absorb.

    Returns:
        (n, m) float32, erg / s / cm^2 / A.
    """
    synthesizer = Synthesizer(wave, lines, molecules)
    return np.stack([synthesizer(row) for row in np.atleast_2d(labels)])
