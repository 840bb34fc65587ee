"""The library: exact at its nodes, smooth and differentiable between, closed outside."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.interpolate import make_interp_spline

from stargrav.errors import InputError
from stargrav.labels import LABELS
from stargrav.physics.grid import Library

AXES = {
    "T_eff": np.array([4000.0, 4100.0, 4500.0, 5200.0, 6000.0]),
    "log_g": np.array([1.0, 2.0, 3.5, 4.0, 5.0]),
    "M_H": np.array([-2.0, -1.0, -0.5, 0.0]),
    "a_M": np.array([0.0, 0.2, 0.5]),
    "C_M": np.array([0.1]),
}
NODES = np.array(list(product(*AXES.values())))


def library_of(values, nodes=NODES):
    """A library whose one coefficient is `values` (n,): flux = 1 + value * (pixel shape)."""
    shape = tuple(len(axis) for axis in AXES.values())
    return Library(
        wave=torch.linspace(8000.0, 8100.0, 11, dtype=torch.float64),
        axes=AXES,
        mean=torch.ones(11),
        components=torch.linspace(-1, 1, 11)[None],
        coefficients=torch.as_tensor(values, dtype=torch.float32).reshape(*shape, -1),
        resolution=5000.0,
        name="grid.h5",
    )


def draw(n, seed=0):
    rng = np.random.default_rng(seed)
    low, high = np.array([(a[0], a[-1]) for a in AXES.values()]).T
    return torch.tensor(rng.uniform(low, high, (n, 5)))


def test_exact_at_the_nodes():
    values = np.random.default_rng(1).standard_normal((len(NODES), 7))
    at_nodes = library_of(values).coefficients_at(torch.tensor(NODES))
    np.testing.assert_allclose(at_nodes, values, atol=1e-6)


def test_from_grid_in_any_order_gives_back_its_spectra():
    rng = np.random.default_rng(2)
    wave = np.linspace(8000, 8100, 40)
    flux = rng.uniform(1e5, 3e5, (len(NODES), 40))
    shuffled = rng.permutation(len(NODES))
    library = Library.from_grid(wave, flux[shuffled], NODES[shuffled], 40, 5000.0)
    expected = flux / np.median(flux, axis=1, keepdims=True)
    np.testing.assert_allclose(library.flux_at(torch.tensor(NODES)), expected, atol=2e-6)


def test_few_components_are_the_best_ones():
    rng = np.random.default_rng(3)
    basis = rng.standard_normal((3, 200)) * np.array([[0.05], [0.02], [0.01]])
    flux = 1 + rng.standard_normal((len(NODES), 3)) @ basis
    library = Library.from_grid(np.arange(200.0), flux, NODES, 4, 5000.0)
    expected = flux / np.median(flux, axis=1, keepdims=True)
    assert np.abs(library.flux_at(torch.tensor(NODES)).numpy() - expected).max() < 2e-4


def polynomial(x):
    """Cubic where the axis has four nodes, quadratic in a_M (three nodes)."""
    t, g, m, a = (x[:, 0] - 5000) / 1000, x[:, 1], x[:, 2], x[:, 3]
    return t**3 - t * g + 0.1 * g**3 * m + m**3 + a**2 * t - a


def test_reproduces_cubic_polynomials():
    library = library_of(polynomial(NODES))
    x = draw(200)
    got = library.coefficients_at(x)[:, 0].numpy()
    np.testing.assert_allclose(got, polynomial(x.numpy()), atol=3e-6)


def test_local_support_equals_the_dense_spline():
    values = np.random.default_rng(4).standard_normal(len(NODES)).astype(np.float32)
    x = draw(20)
    got = library_of(values).coefficients_at(x)[:, 0].numpy()
    dense = values.astype(float).reshape([len(a) for a in AXES.values()])
    for star, expected in zip(x.numpy(), got, strict=True):
        table = dense[..., 0]
        for position, nodes in zip(star[:4], list(AXES.values())[:4], strict=True):
            table = make_interp_spline(nodes, table, k=min(3, len(nodes) - 1), axis=0)(position)
        assert table == pytest.approx(expected, abs=1e-10)


def test_gradient_is_the_finite_difference():
    library = library_of(np.random.default_rng(5).standard_normal(len(NODES)))
    x = draw(50).requires_grad_()
    library.coefficients_at(x).sum().backward()
    for column, step in enumerate((0.1, 1e-4, 1e-4, 1e-4)):
        shift = torch.zeros(5, dtype=torch.float64)
        shift[column] = step
        with torch.no_grad():
            difference = library.coefficients_at(x + shift, check=False)
            difference -= library.coefficients_at(x - shift, check=False)
        slope = difference[:, 0].numpy() / (2 * step)
        np.testing.assert_allclose(x.grad[:, column], slope, rtol=1e-4, atol=1e-5)
    assert (x.grad[:, 4] == 0).all()


def test_float32_agrees_and_batches_do_not_matter():
    library = library_of(np.random.default_rng(6).standard_normal(len(NODES)))
    x = draw(3000)
    double = library.coefficients_at(x)
    single = library.coefficients_at(x.float())
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    np.testing.assert_allclose(single, double, atol=2e-4)
    torch.testing.assert_close(library.coefficients_at(x[1500:1510]), double[1500:1510])


def test_the_upper_edge_belongs_to_the_library():
    library = library_of(polynomial(NODES))
    corner = torch.tensor(NODES[-1:]).float()
    expected = polynomial(NODES[-1:])[0]
    assert float(library.coefficients_at(corner)[0, 0]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("column", "value"), [(0, 3999.0), (1, 5.01), (4, 0.2), (2, np.nan)])
def test_outside_is_refused_with_the_label_its_value_and_range(column, value):
    x = draw(3)
    x[2, column] = value
    low, high = library_of(polynomial(NODES)).ranges[LABELS[column]]
    with pytest.raises(InputError) as caught:
        library_of(polynomial(NODES)).flux_at(x)
    message = str(caught.value)
    for part in ("grid.h5", f"{LABELS[column]} of star 2", f"{value:g}", f"{low:g} to {high:g}"):
        assert part in message


def test_a_grid_with_a_hole_or_a_double_is_refused():
    flux = np.ones((len(NODES), 20))
    with pytest.raises(InputError, match="0 spectra at .*T_eff 4000, log_g 1.*full regular grid"):
        Library.from_grid(np.arange(20.0), flux[1:], NODES[1:], 2, 5000.0, "hole.h5")
    twice = NODES.copy()
    twice[1] = twice[0]
    with pytest.raises(InputError, match="hole.h5: labels: found [02] spectra at"):
        Library.from_grid(np.arange(20.0), flux, twice, 2, 5000.0, "hole.h5")


def test_a_linear_operator_acts_on_the_spectra():
    library = library_of(polynomial(NODES))
    matrix = np.random.default_rng(7).standard_normal((11, 4))
    seen = library.transformed(lambda flux: flux @ matrix, np.arange(4.0), resolution=900.0)
    x = draw(10)
    expected = library.flux_at(x).numpy() @ matrix
    np.testing.assert_allclose(seen.flux_at(x), expected, rtol=1e-5, atol=1e-4)
    assert seen.resolution == 900.0 and seen.wave.tolist() == [0, 1, 2, 3]
