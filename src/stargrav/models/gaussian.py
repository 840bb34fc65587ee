r"""Spectra as draws from a normal distribution: standardised, along their principal axes.

With x = (flux - mean) / scale, mean a spectrum and scale one number, the covariance of the
training spectra is taken to be

    C = sum_k lambda_k a_k a_k' + rest (1 - sum_k a_k a_k'),

with a_k the leading principal axes and `rest` the mean variance across them. Under white noise,
x_t = alpha x + sigma epsilon, what is known of x is normal again; along an axis of variance c

    mean = alpha c / (alpha^2 c + sigma^2) x_t,    variance = c sigma^2 / (alpha^2 c + sigma^2).

It is the best linear guess at x, and a network has only to learn what it misses.

Where a star has been measured, y = x + error n with an error for each pixel, x given x_t and y is
normal too. Along the axes, A with rows a_k, its precision is

    Lambda^-1 + A error^-2 A' + (alpha / sigma)^2 1 = V (D + (alpha / sigma)^2) V',

where V and D of a star serve all times. Across the axes, where next to nothing of the variance is,
x is taken to be known from x_t alone, and y to come from the axes alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST = 1e-8  # of a variance


class SpectrumGaussian(nn.Module):
    """Mean, scale and principal axes of training spectra, kept as buffers.

    Before it is fitted it is the standard normal distribution.

    Args:
        pixels: of a spectrum.
        axes: number of principal axes; 0 for one variance in all directions.
    """

    def __init__(self, pixels: int, axes: int = 0) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(pixels))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("axes", torch.eye(axes, pixels))
        self.register_buffer("variances", torch.ones(axes))
        self.register_buffer("rest", torch.ones(()))

    def fit(self, flux: Tensor, seed: int = 0) -> None:
        """Measure the clean training spectra.

        Args:
            flux: (n, pixels), more spectra than axes.
            seed: of the random projections that find the axes.
        """
        from sklearn.decomposition import PCA  # takes a second, of every network's process

        pixels, axes = flux.shape[1], len(self.axes)
        self.centre.copy_(flux.double().mean(0))
        offset = flux - self.centre.to(flux)
        total = offset.double().square().mean()
        self.scale.copy_(total.sqrt())
        share = 0.0
        if axes:
            found = PCA(axes, svd_solver="randomized", random_state=seed)
            found.fit((offset / self.scale.to(flux)).cpu().numpy())
            self.axes.copy_(torch.from_numpy(found.components_))
            self.variances.copy_(torch.from_numpy(found.explained_variance_).clamp(min=LEAST))
            share = float(self.variances.double().sum()) / pixels
        self.rest.copy_(torch.tensor((1 - share) * pixels / max(1, pixels - axes)).clamp(LEAST))

    def standardise(self, flux: Tensor) -> Tensor:
        """Flux (..., pixels) -> x, of mean 0 and mean variance 1."""
        return (flux - self.centre) / self.scale

    def flux(self, x: Tensor) -> Tensor:
        """The inverse of `standardise`."""
        return self.centre + self.scale * x

    def forward(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What is known of x under white noise.

        Args:
            x_t: (batch, pixels).
            alpha: scalar or (batch, 1).
            sigma: the same, positive.

        Returns:
            mean (batch, pixels), and the deviation of x from it, root mean square over the pixels,
            in the shape of alpha.
        """
        gain, left = self._known(self.variances, alpha, sigma)
        gain_rest, left_rest = self._known(self.rest, alpha, sigma)
        along = x_t @ self.axes.T  # (B, K)
        mean = gain_rest * x_t + ((gain - gain_rest) * along) @ self.axes
        k, pixels = self.axes.shape
        spread = (left.sum(-1, keepdim=alpha.ndim > 0) + (pixels - k) * left_rest) / pixels
        return mean, spread.sqrt()

    def given(self, measured: Tensor, error: Tensor) -> SpectrumPosterior:
        """What is known of x where y has been measured besides.

        Args:
            measured: (batch, pixels) y, standardised.
            error: (batch, pixels), in the unit of y, positive.
        """
        return SpectrumPosterior(self, measured, error)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Standardised spectra (count, pixels) of the distribution."""
        k, pixels = self.axes.shape
        drawn = {"generator": generator, "device": self.axes.device, "dtype": self.axes.dtype}
        noise, along = torch.randn(count, pixels, **drawn), torch.randn(count, k, **drawn)
        outside = noise - (noise @ self.axes.T) @ self.axes
        return self.rest.sqrt() * outside + (self.variances.sqrt() * along) @ self.axes

    def pixel_variance(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Variance (pixels,) of each pixel of x given x_t; alpha and sigma are scalars."""
        _, left = self._known(self.variances, alpha, sigma)
        _, left_rest = self._known(self.rest, alpha, sigma)
        return left_rest + (left - left_rest) @ self.axes.square()

    @staticmethod
    def _known(variance: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        total = alpha**2 * variance + sigma**2
        return alpha * variance / total, variance * sigma**2 / total


class SpectrumPosterior:
    """The normal distribution of the spectra of stars that have been measured.

    Double precision within: along the axes, precisions span ten orders of magnitude.

    Args:
        prior: of the spectra.
        measured: (batch, pixels) y, standardised.
        error: (batch, pixels), in the unit of y, positive.
    """

    def __init__(self, prior: SpectrumGaussian, measured: Tensor, error: Tensor) -> None:
        self.prior = prior
        axes, weight = prior.axes.double(), error.double() ** -2
        told = (axes * weight[:, None]) @ axes.T  # (B, K, K)
        total = told + prior.variances.double().reciprocal().diag()
        self._precision, self._turn = torch.linalg.eigh(total)
        self._seen = self._turned((weight * measured.double()) @ axes.T)  # (B, K)

    @property
    def mean(self) -> Tensor:
        """E[x | y], (batch, pixels)."""
        along = self._back(self._seen / self._precision)
        return along.to(self.prior.axes) @ self.prior.axes

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Standardised spectra (count, pixels) of the distribution, one for each star."""
        axes = self.prior.axes
        k, pixels = axes.shape
        drawn = {"generator": generator, "device": axes.device, "dtype": axes.dtype}
        noise, turned = torch.randn(count, pixels, **drawn), torch.randn(count, k, **drawn)
        spread = turned.double() / self._precision.sqrt()
        along = self._back(self._seen / self._precision + spread).to(axes)
        outside = noise - (noise @ axes.T) @ axes
        return self.prior.rest.sqrt() * outside + along @ axes

    def __call__(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What is known of x given x_t and y; as `SpectrumGaussian`, but spread is (batch, 1)."""
        axes = self.prior.axes
        k, pixels = axes.shape
        along = x_t @ axes.T  # (B, K)
        noisy, scale = (value.double() for value in (alpha / sigma**2, alpha / sigma))
        precision = self._precision + scale**2
        known = self._back((self._seen + noisy * self._turned(along.double())) / precision)
        gain_rest, left_rest = self.prior._known(self.prior.rest, alpha, sigma)
        mean = gain_rest * x_t + (known.to(along) - gain_rest * along) @ axes
        left = (1 / precision).sum(-1, keepdim=True).to(along)
        return mean, ((left + (pixels - k) * left_rest) / pixels).sqrt()

    def _turned(self, along: Tensor) -> Tensor:
        """Coefficients of the axes (batch, K) -> along the directions V."""
        return (along[:, None] @ self._turn)[:, 0]

    def _back(self, turned: Tensor) -> Tensor:
        """The inverse of `_turned`."""
        return (self._turn @ turned[..., None])[..., 0]
