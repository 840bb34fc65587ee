r"""The library as the likelihood sees it: label vectors in, coefficients of a linear model out.

Every noiseless spectrum lies in the span of the mean m and the components e_k of a library,

    F(theta) = (m + sum_k c_k(theta) e_k) / median = B' u(theta),
    B = [m; e_1; ...; e_k],    u = [1, c_1, ..., c_k] / median.

The coefficients c are tensor-product cubic splines (`physics.grid`). On one cell of the knots
each is a sum over the same 4^5 B-splines, so that the points of a cell share one matrix product,
(points x 4^5) @ (4^5 x k): microseconds per label vector, and as many for each derivative.

The median of a spectrum is not linear; it is taken exactly, over all pixels, or over those that
can be the middle ones in a small region of the labels (`middle_pixels`). As a function of the
labels it is continuous but follows one pixel after the other, so that its exact derivative, that
of the one middle pixel, says nothing about a step of finite size. The derivative of a quantile of
many values is the mean derivative of those near it (Hong 2009, Operations Research 57, 118).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.interpolate import BSpline, PPoly, make_interp_spline
from torch import Tensor

from stargrav.errors import InputError
from stargrav.labels import LABELS, RANGES
from stargrav.observation.simulate import median
from stargrav.physics.grid import Library

_POINTS = 2048  # label vectors whose spectra, or B-splines, are held at a time
_SPARE = 128  # pixels beside those seen to cross the median, among which it is sought
_NEAR = 64  # share of the pixels, on either side, over which the median's derivative is averaged


class Emulator:
    """Fast coefficients, medians and derivatives of a library.

    Args:
        library: as the instrument sees it (`Simulator.library`).
        device: where it computes.
        dtype: of the computation.
        whole: whether labels go as far as the library does, rather than as far as `RANGES`.

    Attributes:
        vectors: (1 + k, p) mean and components, the B of the module.
        low, high: (5,) box of the labels, `RANGES` clipped to the library, or all of this; equal
            where the library holds a label fixed.
        free: columns of the labels that vary.
    """

    def __init__(
        self,
        library: Library,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        whole: bool = False,
    ) -> None:
        box = [library.ranges[name] if whole else clipped(library, name) for name in LABELS]
        box = np.array(box)
        self.low, self.high = torch.from_numpy(box.T.copy()).to(device, dtype)
        self.free = [i for i in range(len(LABELS)) if box[i, 1] > box[i, 0]]
        stack = torch.cat([library.mean[None], library.components])
        self.vectors = stack.to(device, dtype)
        table = library.coefficients.double().cpu().numpy()
        self._axes = []
        for number, name in enumerate(LABELS):
            nodes = library.axes[name]
            degree = min(3, len(nodes) - 1)
            if degree:
                table = np.moveaxis(
                    make_interp_spline(nodes, table, k=degree, axis=number).c, 0, number
                )
            self._axes.append(_Intervals(nodes, degree, device, dtype))
        self._table = torch.from_numpy(np.ascontiguousarray(table)).to(device, dtype)

    def labels(self, unit: Tensor) -> Tensor:
        """Labels (..., 5) from the unit cube of the free ones, (..., d)."""
        found = self.low.expand(*unit.shape[:-1], len(LABELS)).clone()
        free = torch.tensor(self.free, device=unit.device)
        found[..., free] += unit.to(found.dtype) * (self.high - self.low)[free]
        return found

    def coefficients(self, labels: Tensor) -> Tensor:
        """Coefficients of the components.

        Args:
            labels: (n, 5), order `LABELS`; beyond the library the outermost polynomials go on.

        Returns:
            (n, k).
        """
        return self._splines(labels, [None])[0]

    def weights(self, labels: Tensor) -> Tensor:
        """The linear model's u (n, 1 + k) at labels (n, 5), its median over all pixels."""
        coefficients = self.coefficients(labels)
        middle = torch.cat([median(flux) for _, flux in self._spectra(coefficients)])
        return stacked(coefficients) / middle[:, None]

    def middle_pixels(self, coefficients: Tensor) -> list[Tensor]:
        """Pixels among which the middle ones of similar spectra are found.

        Pixels that cross the median between the given spectra, half as many and a few more beside
        them: as many are left out below as above, and the median of those taken is that of all.

        Args:
            coefficients: (s, m, k) of spectra that span s small regions of the labels.

        Returns:
            for each region, its pixels (q,).
        """
        found = []
        for part in coefficients:
            flux = stacked(part) @ self.vectors
            flux = flux - median(flux)[:, None]
            low, high = flux.amin(dim=0), flux.amax(dim=0)
            crossing = (low <= 0) & (high >= 0)
            nearest = torch.where(high < 0, high, low)
            nearest = torch.where(crossing, (low + high) * 1e-6, nearest)
            pixels = flux.shape[1]
            wanted = int(1.5 * crossing.sum()) + _SPARE
            drop = max(0, (pixels - wanted) // 2)
            found.append(torch.argsort(nearest, stable=True)[drop : pixels - drop])
        return found

    def divided(self, coefficients: Tensor, pixels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """u at points of small regions, medians taken over the regions' middle pixels.

        Args:
            coefficients: (s, m, k) at points of s regions.
            pixels: of each region, as `middle_pixels` gives them.

        Returns:
            u (s, m, 1 + k) and the medians (s, m).
        """
        found = stacked(coefficients)
        parts = zip(found, pixels, strict=True)
        middle = torch.stack([median(part @ self.vectors[:, at]) for part, at in parts])
        return found / middle[:, :, None], middle

    def slopes(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients and their derivatives by the free labels.

        Args:
            labels: (n, 5).

        Returns:
            (n, k) and (n, d, k), per unit of each label.
        """
        value, *slope = self._splines(labels, [None, *self.free])
        return value, torch.stack(slope, dim=1)

    def median_slopes(self, slopes: Tensor, pixels: list[Tensor]) -> Tensor:
        """Derivative of the median in small regions: the mean one of the central pixels.

        Args:
            slopes: (s, m, d, k) derivatives of the coefficients at points of s regions.
            pixels: of each region, as `middle_pixels` gives them.

        Returns:
            (s, m, d).
        """
        reach = self.vectors.shape[1] // _NEAR
        central = []
        for at in pixels:
            middle = len(at) // 2
            near = at[max(0, middle - reach) : middle + reach + 1]
            central.append(self.vectors[1:, near].mean(dim=1))
        return (slopes @ torch.stack(central)[:, None, :, None])[..., 0]

    def jacobian(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Noiseless flux (median 1) and its derivative by the labels.

        d(F/m) = (dF - (F/m) dm) / m, with dm averaged over the pixels next to the middle.

        Args:
            labels: (n, 5).

        Returns:
            flux (n, p) and derivative (n, 5, p), per unit of each label; 0 for fixed labels.
        """
        value, slope = self.slopes(labels)
        flux = stacked(value) @ self.vectors
        slopes = slope @ self.vectors[1:]
        count = flux.shape[1]
        order = torch.argsort(flux, dim=1)
        reach = (count - 1) // 2 - count // _NEAR
        near = order[:, reach : count - reach][:, None].expand(-1, slopes.shape[1], -1)
        lift, height = slopes.gather(2, near).mean(dim=2), median(flux)
        flux = flux / height[:, None]
        found = torch.zeros(len(flux), len(LABELS), count, dtype=flux.dtype, device=flux.device)
        found[:, self.free] = (slopes - flux[:, None] * lift[:, :, None]) / height[:, None, None]
        return flux, found

    def _splines(self, labels: Tensor, along: list[int | None]) -> Tensor:
        """Coefficients (a, n, k), or their derivatives by the columns of labels in `along`."""
        shape = [axis.intervals for axis in self._axes]
        places = [axis.interval(labels[:, i]) for i, axis in enumerate(self._axes)]
        cell = torch.zeros_like(places[0])
        for place, count in zip(places, shape, strict=True):
            cell = cell * count + place
        order = torch.argsort(cell, stable=True)
        cells, counts = torch.unique_consecutive(cell[order], return_counts=True)
        at = [(labels[order, i], places[i][order]) for i in range(len(self._axes))]
        plain = [axis.basis(*x) for axis, x in zip(self._axes, at, strict=True)]
        factors = [torch.stack([basis] * len(along)) for basis in plain]
        for number, column in enumerate(along):
            if column is not None:
                factors[column][number] = self._axes[column].slope(*at[column])
        parts, start, most = [], 0, max(1, _POINTS // len(along))
        for number, count in zip(cells.tolist(), counts.tolist(), strict=True):
            corner = np.unravel_index(number, shape)
            window = tuple(
                slice(i, i + axis.degree + 1) for i, axis in zip(corner, self._axes, strict=True)
            )
            table = self._table[window].reshape(-1, self._table.shape[-1])
            for first in range(start, start + count, most):
                rows = slice(first, min(first + most, start + count))
                products = _product([factor[:, rows].flatten(0, 1) for factor in factors])
                parts.append((products @ table).unflatten(0, (len(along), -1)))
            start += count
        return torch.cat(parts, dim=1)[:, torch.argsort(order)]

    def _spectra(self, coefficients: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Spectra, not yet divided by their median, in portions."""
        for start in range(0, len(coefficients), _POINTS):
            rows = slice(start, start + _POINTS)
            yield rows, stacked(coefficients[rows]) @ self.vectors


class _Intervals:
    """The B-splines along one label as polynomials of each interval between knots."""

    def __init__(
        self, nodes: np.ndarray, degree: int, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        self.degree = degree
        self.intervals = len(nodes) - degree
        if degree == 0:
            knots = np.array([nodes[0], nodes[0] + 1.0])
        else:
            knots = make_interp_spline(nodes, nodes, k=degree).t
        edges = knots[degree : degree + self.intervals + 1]
        powers = np.zeros((self.intervals, degree + 1, degree + 1))
        for number in range(len(nodes)):
            one = np.zeros(len(nodes))
            one[number] = 1.0
            pieces = PPoly.from_spline(BSpline(knots, one, degree), extrapolate=True)
            for interval, left in enumerate(edges[:-1]):
                if interval <= number <= interval + degree:
                    piece = int(np.searchsorted(pieces.x, left, side="right")) - 1
                    width = (edges[interval + 1] - left) ** np.arange(degree + 1)
                    powers[interval, :, number - interval] = pieces.c[::-1, piece] * width
        self._edges = torch.from_numpy(edges.copy()).to(device, dtype)
        self._powers = torch.from_numpy(powers).to(device, dtype)

    def interval(self, x: Tensor) -> Tensor:
        """Number of the interval of each position (n,)."""
        found = torch.searchsorted(self._edges, x.contiguous(), right=True) - 1
        return found.clamp(0, self.intervals - 1)

    def basis(self, x: Tensor, interval: Tensor) -> Tensor:
        """The degree + 1 B-splines (n, degree + 1) at positions (n,) of intervals (n,)."""
        share, _ = self._share(x, interval)
        powers = torch.stack([share**i for i in range(self.degree + 1)], dim=1)
        return torch.bmm(powers[:, None], self._powers[interval])[:, 0]

    def slope(self, x: Tensor, interval: Tensor) -> Tensor:
        """Their derivatives (n, degree + 1)."""
        share, width = self._share(x, interval)
        powers = [i * share ** max(i - 1, 0) / width for i in range(self.degree + 1)]
        return torch.bmm(torch.stack(powers, dim=1)[:, None], self._powers[interval])[:, 0]

    def _share(self, x: Tensor, interval: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (n,) within their intervals, 0..1, and the intervals' widths."""
        width = self._edges[interval + 1] - self._edges[interval]
        return (x - self._edges[interval]) / width, width


def _product(bases: list[Tensor]) -> Tensor:
    """Products (n, 4^5) of the B-splines (n, 4) along each label."""
    found = bases[0]
    for basis in bases[1:]:
        found = (found[:, :, None] * basis[:, None, :]).flatten(1)
    return found


def stacked(coefficients: Tensor) -> Tensor:
    """[1, c] of coefficients (..., k), (..., 1 + k)."""
    return torch.cat([torch.ones_like(coefficients[..., :1]), coefficients], dim=-1)


def clipped(library: Library, name: str) -> tuple[float, float]:
    """Range of a label: where `RANGES` and the library overlap.

    Raises:
        InputError: they do not.
    """
    low, high = library.ranges[name]
    if low == high:
        return low, high
    first, last = max(low, RANGES[name][0]), min(high, RANGES[name][1])
    if first > last:
        wanted = f"overlap with {RANGES[name]}"
        raise InputError(library.name, name, f"{low:g} to {high:g}", wanted)
    return first, last
