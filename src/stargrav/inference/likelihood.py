"""The likelihood of label vectors over a library, at the cost of its components.

With the linear model F = B' u(theta) of `inference.emulator`, noise of known sigma and
S = diag(sigma^2), the likelihood of a label vector costs k x k instead of the number of pixels,

    chi^2(theta) = chi^2_min + (u - v)' G (u - v) = chi^2_min + |L' (u - v)|^2,
    G = B S^-1 B' = L L',    v = G^-1 B S^-1 y,

where v, the best fit of the free linear model, is found from residuals, so that no large numbers
cancel.

The level of a measured spectrum, which the labels say nothing of, multiplies the model by 1 + a.
With a flat prior on a, which is small wherever the likelihood is not, integrating over it leaves
out the direction of s = L' v, the best fit itself, or that of a spectrum near it:

    chi^2(theta) = chi^2_min + |Q' L' (u - v)|^2,    Q the complement of s, (1 + k) x k.

What else adds to a spectrum with an amplitude that nothing is known of, such as the derivative by
a velocity that was measured from the spectrum itself, is projected out of B and y alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stargrav.inference.emulator import Emulator

_RIDGE = 1e-7  # relative, where components are not told apart


class Likelihood:
    """chi^2 of label vectors for some stars, from the pixels once and then from k x k.

    Args:
        emulator: the library as seen by the instrument.
        flux: (s, p) noisy flux.
        sigma: (s, p) its 1-sigma error.
        free_level: whether the flux is known up to a factor near one, over which is integrated.
        near: (s, 1 + k) u of spectra near the stars', whose direction is that of the level; the
            best fits themselves if None, which does where pixels are many and good.
        vectors: (s, 1 + k, p) mean and components as each star shows them; the emulator's if None.
        added: (s, m, p) what may have been added to each star, with amplitudes that are integrated
            over.

    Attributes:
        root: (s, 1 + k, 1 + k) Cholesky factor L of G; (s, 1 + k, k) L Q where the level is free.
        best: (s, 1 + k) best fit v of the linear model.
    """

    def __init__(
        self,
        emulator: Emulator,
        flux: Tensor,
        sigma: Tensor,
        free_level: bool = False,
        near: Tensor | None = None,
        vectors: Tensor | None = None,
        added: Tensor | None = None,
    ) -> None:
        basis = emulator.vectors
        shown = [basis] * len(sigma) if vectors is None else vectors
        scaled = [each / s for each, s in zip(shown, sigma, strict=True)]
        if added is not None:
            parts = zip(scaled, added / sigma[:, None], strict=True)
            scaled = [without(each, more) for each, more in parts]
        gram = torch.stack([each @ each.T for each in scaled]).double()
        self.root, failed = torch.linalg.cholesky_ex(gram)
        if failed.any():  # pixels tell too few components apart for single precision
            exact = [each.double() for each in scaled]
            gram = torch.stack([each @ each.T for each in exact])
            gram += _RIDGE * torch.diag_embed(gram.diagonal(dim1=1, dim2=2))
            self.root = torch.linalg.cholesky(gram)
        start = torch.zeros(len(flux), len(basis), dtype=torch.float64, device=flux.device)
        start[:, 0] = 1.0
        for _ in range(2):  # the second time from small residuals: rounding is gone
            rest = (flux.double() - modelled(start, basis if vectors is None else vectors)) / sigma
            slope = torch.stack([a.double() @ r for a, r in zip(scaled, rest, strict=True)])
            start = start + torch.cholesky_solve(slope[:, :, None], self.root)[:, :, 0]
        self.best = start
        if free_level:
            near = start if near is None else near.double()
            self.root = self.root @ complement((near[:, None] @ self.root)[:, 0])

    def centred(self, about: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """L, and (v - about)' L: what turns u - about into differences in units of sigma."""
        shift = ((self.best - about.double())[:, None] @ self.root)[:, 0]
        return self.root.to(dtype), shift.to(dtype)

    def __getitem__(self, rows: Tensor) -> Likelihood:
        """Of some of the stars."""
        found = object.__new__(Likelihood)
        found.root, found.best = self.root[rows], self.best[rows]
        return found


def modelled(weights: Tensor, vectors: Tensor) -> Tensor:
    """Spectra (s, p) of weights (s, 1 + k) of vectors (1 + k, p), or each star's (s, 1 + k, p)."""
    vectors = vectors.to(weights.dtype)
    if vectors.dim() == 2:
        return weights @ vectors
    return torch.stack([u @ each for u, each in zip(weights, vectors, strict=True)])


def without(rows: Tensor, directions: Tensor) -> Tensor:
    """Rows (n, p) less what they have in common with directions (m, p)."""
    unit = torch.linalg.qr(directions.T.double()).Q.to(rows.dtype)
    return rows - (rows @ unit) @ unit.T


def complement(vectors: Tensor) -> Tensor:
    """Orthonormal vectors (s, n, n - 1) beside each of some vectors (s, n), by its reflection."""
    mirror = vectors / vectors.norm(dim=1, keepdim=True)
    mirror[:, 0] += torch.where(mirror[:, 0] < 0, -1.0, 1.0)
    mirror = mirror / mirror.norm(dim=1, keepdim=True)
    unity = torch.eye(vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    return (unity - 2 * mirror[:, :, None] * mirror[:, None])[:, :, 1:]
