"""Structural similarity: its definition, its ends, what it sees that a square error does not."""

import numpy as np
import pytest

from stargrav.metrics.similarity import REACH, WINDOW, ssim

RNG = np.random.default_rng(0)
X = 1 + 0.3 * RNG.standard_normal((3, 200))


def test_it_is_what_it_says_pixel_by_pixel():
    y = X + 0.1 * RNG.standard_normal(X.shape)
    offset = np.arange(-REACH, REACH + 1)
    weight = np.exp(-0.5 * (offset / WINDOW) ** 2)
    weight /= weight.sum()
    padded = [np.pad(v[0], REACH, mode="symmetric") for v in (X, y)]
    found = []
    for i in range(X.shape[1]):
        a, b = (p[i : i + 2 * REACH + 1] for p in padded)
        ma, mb = weight @ a, weight @ b
        va, vb, cov = (weight @ q for q in ((a - ma) ** 2, (b - mb) ** 2, (a - ma) * (b - mb)))
        c1, c2 = (0.01 * np.ptp(X[0])) ** 2, (0.03 * np.ptp(X[0])) ** 2
        top = (2 * ma * mb + c1) * (2 * cov + c2)
        found.append(top / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert ssim(X, y)[0] == pytest.approx(np.mean(found))


def test_equal_spectra_have_one_and_noise_lowers_it():
    assert ssim(X, X) == pytest.approx(np.ones(3))
    noise = RNG.standard_normal(X.shape)
    ladder = [ssim(X, X + level * noise).mean() for level in (0.02, 0.1, 0.5, 2.0)]
    assert all(a > b for a, b in zip([1.0, *ladder], ladder, strict=False))
    assert abs(ssim(X, 1 + noise).mean()) < 0.2


def test_the_unit_of_the_flux_does_not_matter():
    y = X + 0.1 * RNG.standard_normal(X.shape)
    assert ssim(7 * X, 7 * y) == pytest.approx(ssim(X, y))


def test_a_lost_line_is_seen_where_the_square_error_hardly_sees_it():
    """Losing all weak lines costs less square error than a wrong level."""
    pixels = np.arange(400)
    lines = sum(np.exp(-0.5 * ((pixels - at) / 2) ** 2) for at in range(20, 400, 20))
    strong = np.exp(-0.5 * ((pixels - 210) / 3) ** 2)
    true = (1 - 0.5 * strong - 0.05 * lines)[None]
    lost, dimmed = (1 - 0.5 * strong)[None], 0.97 * true
    square = [float(((true - other) ** 2).mean()) for other in (lost, dimmed)]
    assert square[0] < square[1]
    assert ssim(true, lost) < ssim(true, dimmed) - 0.1
