r"""A library of spectra: nodes of a regular label grid -> the spectrum at any labels between.

The flux of the grid is its mean plus a few principal components, and the coefficients of the
components are tensor-product cubic splines of the labels,

    F(lambda; theta) = m(lambda) + sum_k c_k(theta) e_k(lambda),
    c_k(theta) = sum_{j1..j5} B_j1(theta_1) ... B_j5(theta_5) d_{j1..j5,k},

with the B-splines B_j of de Boor (1978, A Practical Guide to Splines, ch. IX-XI) and not-a-knot
ends. A B-spline has local support, so a spectrum needs only 4^5 of the coefficients d, and the
derivative by a label is another such sum (Czekala et al. 2015, ApJ 812, 128, interpolate
principal components likewise, with Gaussian processes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from scipy.sparse.linalg import svds
from torch import Tensor
from torch.nn.functional import embedding_bag

from stargrav.errors import InputError
from stargrav.labels import LABELS

_BATCH = 1024  # stars whose 4^5 weights are held at a time
_EDGE = 1e-6  # share of an axis by which float32 rounding may pass its end


@dataclass(frozen=True)
class _Axis:
    """Knots and degree of the spline along one label."""

    nodes: np.ndarray  # (n,)
    knots: np.ndarray  # (n + degree + 1,)
    degree: int

    @classmethod
    def through(cls, nodes: np.ndarray) -> _Axis:
        degree = min(3, len(nodes) - 1)
        if degree == 0:
            return cls(nodes, np.array([nodes[0], nodes[0] + 1.0]), 0)
        return cls(nodes, make_interp_spline(nodes, nodes, k=degree).t, degree)

    def to_bspline(self, values: np.ndarray, axis: int) -> np.ndarray:
        """B-spline coefficients of the interpolant through `values` along `axis`."""
        if self.degree == 0:
            return values
        spline = make_interp_spline(self.nodes, values, k=self.degree, axis=axis)
        return np.moveaxis(spline.c, 0, axis)

    def basis(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The B-splines that are not zero at x.

        Args:
            x: (n,) positions.

        Returns:
            weights (n, degree + 1), and the index (n,) of the first of them.
        """
        knots = torch.as_tensor(self.knots, dtype=x.dtype, device=x.device)
        last = len(self.nodes) - 1
        left = torch.searchsorted(knots, x.detach().contiguous(), right=True) - 1
        left = left.clamp(self.degree, last)
        weights = [torch.ones_like(x)]
        for d in range(1, self.degree + 1):  # de Boor (1978), ch. X, algorithm BSPLVB
            raised = [torch.zeros_like(x) for _ in range(d + 1)]
            for i in range(d):
                low, high = knots[left + i + 1 - d], knots[left + i + 1]
                share = weights[i] / (high - low)
                raised[i] = raised[i] + share * (high - x)
                raised[i + 1] = raised[i + 1] + share * (x - low)
            weights = raised
        return torch.stack(weights, dim=-1), left - self.degree


@dataclass(frozen=True)
class Library:
    """Spectra on a regular grid of labels, as principal components.

    Attributes:
        wave: (p,) vacuum wavelengths [Angstrom], float64.
        axes: label -> its ascending node values, in the order of `LABELS`; an axis of one node
            holds that label fixed.
        mean: (p,) mean flux of the grid, float32; spectra are divided by their median first.
        components: (k, p) principal components, float32.
        coefficients: (n1, ..., n5, k) coefficients at the nodes, float32.
        resolution: lambda / FWHM of the stored spectra.
        name: where the library comes from, named in errors.
    """

    wave: Tensor
    axes: Mapping[str, np.ndarray]
    mean: Tensor
    components: Tensor
    coefficients: Tensor
    resolution: float
    name: str = "library"
    _axes: tuple[_Axis, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        axes = {label: np.asarray(self.axes[label], dtype=float) for label in LABELS}
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "_axes", tuple(_Axis.through(axes[name]) for name in LABELS))

    @classmethod
    def from_grid(
        cls,
        wave: np.ndarray,
        flux: np.ndarray,
        labels: np.ndarray,
        n_components: int,
        resolution: float,
        name: str = "library",
    ) -> Library:
        """Compress the spectra of a full regular grid.

        Args:
            wave: (p,) wavelengths [Angstrom].
            flux: (n, p) fluxes in any unit, in any order of the nodes.
            labels: (n, 5) labels, order `LABELS`.
            n_components: principal components kept (at most as many as the grid has).
            resolution: lambda / FWHM of the spectra.
            name: where the grid comes from, named in errors.

        Raises:
            InputError: the labels are not every combination of their values exactly once.
        """
        axes, order = _regular_axes(np.asarray(labels, dtype=float), name)
        flux = np.asarray(flux, dtype=np.float32)[order]
        flux /= np.median(flux, axis=1, keepdims=True)
        mean = flux.mean(axis=0, dtype=np.float64).astype(np.float32)
        flux -= mean
        components = _principal_components(flux, n_components)
        shape = tuple(len(nodes) for nodes in axes.values())
        return cls(
            wave=torch.as_tensor(np.asarray(wave), dtype=torch.float64),
            axes=axes,
            mean=torch.from_numpy(mean),
            components=torch.from_numpy(components),
            coefficients=torch.from_numpy((flux @ components.T).reshape(*shape, -1)),
            resolution=float(resolution),
            name=name,
        )

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each label."""
        return {label: (float(nodes[0]), float(nodes[-1])) for label, nodes in self.axes.items()}

    def to(self, device: torch.device | str) -> Library:
        """The same library with its tensors on `device`."""
        return replace(
            self,
            **{
                key: getattr(self, key).to(device)
                for key in ("wave", "mean", "components", "coefficients")
            },
        )

    def check(self, labels: Tensor) -> None:
        """Refuse labels outside the axes.

        Args:
            labels: (n, 5), order `LABELS`.

        Raises:
            InputError: names the first label, its value and the range of the library.
        """
        for column, (label, (low, high)) in enumerate(self.ranges.items()):
            values = labels[:, column].detach()
            slack = _EDGE * max(high - low, abs(high), 1e-3)
            outside = ~((values >= low - slack) & (values <= high + slack))
            if outside.any():
                row = int(outside.nonzero()[0, 0])
                raise InputError(
                    self.name, f"{label} of star {row}", f"{values[row]:g}", f"{low:g} to {high:g}"
                )

    def coefficients_at(self, labels: Tensor, check: bool = True) -> Tensor:
        """Interpolated coefficients of the components, differentiable by the labels.

        Args:
            labels: (n, 5), order `LABELS`; their dtype is that of the computation.
            check: refuse labels outside the axes; without it the polynomials of the outermost
                intervals go on, which only differentiating across an edge should ask for.

        Returns:
            (n, k), dtype of `labels`.

        Raises:
            InputError: a label is outside the axes.
        """
        if check:
            self.check(labels)
        table = self._table.to(labels.dtype)
        parts = [self._gather(table, part) for part in labels.split(_BATCH)]
        return torch.cat(parts) if parts else table.new_zeros((0, table.shape[1]))

    def flux_at(self, labels: Tensor, check: bool = True) -> Tensor:
        """Interpolated spectra (median close to 1), differentiable by the labels.

        Args:
            labels: (n, 5), order `LABELS`.
            check: as in `coefficients_at`.

        Returns:
            (n, p), dtype of `labels`.
        """
        coefficients = self.coefficients_at(labels, check)
        dtype = coefficients.dtype
        return torch.addmm(self.mean.to(dtype), coefficients, self.components.to(dtype))

    def transformed(
        self,
        operator: Callable[[np.ndarray], np.ndarray],
        wave: np.ndarray,
        resolution: float | None = None,
    ) -> Library:
        """The library seen through a linear operator, such as a line spread function.

        Args:
            operator: maps spectra (m, p) to (m, q), linearly.
            wave: (q,) wavelengths [Angstrom] of its result.
            resolution: lambda / FWHM of its result; unchanged when None.
        """
        stack = torch.cat([self.mean[None], self.components]).double().cpu().numpy()
        seen = torch.from_numpy(np.ascontiguousarray(operator(stack), dtype=np.float32))
        return replace(
            self,
            wave=torch.as_tensor(np.asarray(wave), dtype=torch.float64),
            mean=seen[0].to(self.mean.device),
            components=seen[1:].to(self.mean.device),
            resolution=self.resolution if resolution is None else float(resolution),
        )

    @cached_property
    def _table(self) -> Tensor:
        """B-spline coefficients d, (n1 * ... * n5, k), float64."""
        values = self.coefficients.double().cpu().numpy()
        for number, axis in enumerate(self._axes):
            values = axis.to_bspline(values, number)
        table = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
        return torch.from_numpy(table).to(self.coefficients.device)

    def _gather(self, table: Tensor, labels: Tensor) -> Tensor:
        """Sum of the table's rows within reach of each star, (n, 5) -> (n, k)."""
        weights = labels.new_ones((len(labels), 1))
        index = torch.zeros((len(labels), 1), dtype=torch.long, device=labels.device)
        for column, axis in enumerate(self._axes):
            basis, first = axis.basis(labels[:, column])
            reach = first[:, None] + torch.arange(axis.degree + 1, device=labels.device)
            weights = (weights[:, :, None] * basis[:, None, :]).flatten(1)
            index = (index[:, :, None] * len(axis.nodes) + reach[:, None, :]).flatten(1)
        return embedding_bag(index, table, per_sample_weights=weights, mode="sum")


def _regular_axes(labels: np.ndarray, name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Axes of a full regular grid and the rows of `labels` in its order."""
    if labels.ndim != 2 or labels.shape[1] != len(LABELS) or not len(labels):
        raise InputError(name, "labels", f"shape {labels.shape}", "(spectra, 5), at least one")
    if not np.isfinite(labels).all():
        row, column = np.argwhere(~np.isfinite(labels))[0]
        raise InputError(
            name, f"{LABELS[column]} of row {row}", labels[row, column], "a finite number"
        )
    pairs = [np.unique(labels[:, i].round(6), return_inverse=True) for i in range(len(LABELS))]
    shape = tuple(len(nodes) for nodes, _ in pairs)
    flat = np.ravel_multi_index([inverse for _, inverse in pairs], shape)
    present = np.bincount(flat, minlength=int(np.prod(shape)))
    if (present != 1).any():
        cell = int(np.argmax(present != 1))
        node = np.unravel_index(cell, shape)
        where = ", ".join(
            f"{label} {nodes[i]:g}"
            for label, (nodes, _), i in zip(LABELS, pairs, node, strict=True)
        )
        raise InputError(
            name,
            "labels",
            f"{present[cell]} spectra at {where} ({len(labels)} spectra on a grid of "
            + " x ".join(map(str, shape))
            + ")",
            "a full regular grid, one spectrum at every combination of the labels",
        )
    axes = {label: nodes for label, (nodes, _) in zip(LABELS, pairs, strict=True)}
    return axes, np.argsort(flat)


def _principal_components(centred: np.ndarray, count: int) -> np.ndarray:
    """Leading right singular vectors (k, p) of (n, p), the same in every run."""
    rank = min(centred.shape)
    if count >= rank // 2:
        vectors = np.linalg.svd(centred, full_matrices=False)[2][:count]
    else:
        start = np.random.default_rng(0).standard_normal(rank).astype(np.float32)
        _, values, vectors = svds(centred, k=count, v0=start)
        vectors = vectors[np.argsort(-values)]
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])
    return np.ascontiguousarray(vectors * signs[:, None], dtype=np.float32)
