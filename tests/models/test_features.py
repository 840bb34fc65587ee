"""Features: what they measure, and that a transformer keeps to what it was fitted to."""

import numpy as np
import pytest
import torch

from stargrav.errors import InputError
from stargrav.models.features import (
    LineStrengths,
    Statistics,
    Summary,
    TopSegments,
    components,
)
from stargrav.models.residual import OnRidge
from stargrav.named_lines import HALF_WIDTH, LINES, SIDE
from stargrav.observation.instrument import PFS_MR
from stargrav.physics.hydrogen import line_wavelength
from stargrav.physics.lines import read_lines
from stargrav.training.redrawn import FreshNoise

WAVE = PFS_MR.wave


def test_named_lines_lie_where_the_synthesis_has_them():
    known = read_lines()
    for name, at in LINES.items():
        if name.startswith("H I"):
            distance = np.abs(line_wavelength(np.arange(11, 20)) - at).min()
            assert distance < 0.1, name
        else:
            own = known.wave[known.species == " ".join(name.split()[:2])]
            assert np.abs(own - at).min() < 0.01, name
        assert name.split()[-1] == f"{at:.1f}"


def test_equivalent_width_and_depth_of_a_made_up_line_on_a_sloping_continuum():
    at = LINES["Ca II 8664.5"]
    depth, sigma = 0.4, 1.2
    continuum = 1 + 2e-4 * (WAVE - 8000)
    flux = continuum * (1 - depth * np.exp(-0.5 * ((WAVE - at) / sigma) ** 2))
    family = LineStrengths(WAVE).fit(flux[None])
    found = dict(zip(family.lines_, family.transform(flux[None])[0].reshape(2, -1).T, strict=True))
    width, deepest = found["Ca II 8664.5"]
    assert width == pytest.approx(depth * sigma * np.sqrt(2 * np.pi), rel=0.01)
    assert deepest == pytest.approx(depth, rel=0.05)
    assert np.abs(found["Mg I 8809.2"]).max() < 1e-6  # no line there


def test_lines_outside_the_spectrum_are_left_out():
    part = WAVE[WAVE < 7200]
    family = LineStrengths(part).fit(np.ones((2, len(part))))
    reach = HALF_WIDTH + SIDE
    assert list(family.lines_) == [n for n, at in LINES.items() if at < part[-1] - reach]
    assert np.allclose(family.transform(np.ones((2, len(part)))), 0)
    with pytest.raises(InputError, match="Ca II"):
        LineStrengths(WAVE[(WAVE > 7300) & (WAVE < 7500)]).fit(None)


def test_the_segments_of_the_largest_weights_are_kept():
    weights = np.zeros(103)
    weights[[25, 26, 71, 102]] = 3, -2, 4, 100  # the last pixel belongs to no whole segment
    x = np.arange(206.0).reshape(2, 103)
    family = TopSegments(weights, count=2, pixels=10).fit(x)
    np.testing.assert_allclose(family.transform(x), [[24.5, 74.5], [127.5, 177.5]])


def test_statistics_of_the_error_scale_with_it():
    error = np.random.default_rng(0).lognormal(size=(5, 200))
    found, louder = Statistics().transform(error), Statistics().transform(10 * error)
    assert found.shape == (5, 5)
    np.testing.assert_allclose(louder - found, np.tile([1.0, 0, 1, 1, 1], (5, 1)), atol=1e-12)


def test_summary_tells_mean_spread_and_colour():
    flux = np.ones((2, 300))
    flux[1, 200:] = 10.0
    np.testing.assert_allclose(
        Summary().transform(flux), [[1, 0, 0], [4, flux[1].std(), 1]], atol=1e-12
    )


def test_noise_on_components_is_noise_on_pixels():
    """Redrawn on k components or on p pixels, the features have the same mean and covariance."""
    rng = np.random.default_rng(3)
    stars, pixels, level = 400, 60, 0.7
    clean = rng.standard_normal((stars, 5)) @ rng.standard_normal((5, pixels))
    family = components(6, seed=0).fit(clean + rng.standard_normal((stars, pixels)))
    one = np.repeat(clean[:1], 20_000, axis=0)
    by_pixels = family.transform(one + level * rng.standard_normal(one.shape))
    features = torch.from_numpy(family.transform(one)).float()
    batches = FreshNoise(features, torch.zeros(len(one)), level, 20_000)
    batches.generator.manual_seed(0)
    by_components = next(iter(batches))["x"].numpy()
    error = 4 * level / np.sqrt(len(one))
    np.testing.assert_allclose(by_components.mean(0), by_pixels.mean(0), atol=2 * error)
    np.testing.assert_allclose(np.cov(by_components.T), np.cov(by_pixels.T), atol=2 * error)
    np.testing.assert_allclose(np.cov(by_pixels.T), level**2 * np.eye(6), atol=2 * error)


def test_fresh_noise_is_fresh_and_repeats_with_its_seed():
    batches = FreshNoise(torch.zeros(10, 3), torch.arange(10.0), 1.0, 4)

    def drawn(seed=None):
        if seed is not None:
            batches.generator.manual_seed(seed)
        found = list(batches)
        assert [len(batch["x"]) for batch in found] == [4, 4, 2] and len(batches) == 3
        order = torch.cat([batch["y"] for batch in found])[:, 0].argsort()
        return torch.cat([batch["x"] for batch in found])[order]

    first = drawn(1)
    assert not torch.allclose(drawn(), first)
    assert torch.equal(drawn(1), first)


def test_a_model_on_ridge_corrects_the_last_column():
    class Mean:
        def fit(self, x, y):
            assert x.shape[1] == 2
            self.mean = y.mean()
            return self

        def predict(self, x):
            return np.full(len(x), self.mean)

    x, y = np.array([[0.0, 0, 1], [0, 0, 3], [5, 5, 5]]), np.array([2.0, 4, 6])
    fitted = OnRidge(Mean().fit(*OnRidge.left(x, y)))
    np.testing.assert_allclose(fitted.predict(x), y)
