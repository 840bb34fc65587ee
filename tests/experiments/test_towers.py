"""What is particular to the towers: nothing but noisy training spectra makes their features."""

from dataclasses import replace

import numpy as np
import pytest

from stargrav.experiments import families
from stargrav.experiments.inputs import Inputs, Parts
from stargrav.experiments.steps import Bench, Mlp, bench, fit, predict, spectra
from stargrav.models.features import LineStrengths, Statistics, Summary, TopSegments, components
from stargrav.models.probes import lightgbm, ridge
from stargrav.models.residual import OnRidge
from stargrav.models.ridge import RidgeScore
from stargrav.observation.instrument import PFS_MR

STARS = 256
MARKER = 40.0  # added to a few pixels of every star, in the place of its log g


@pytest.fixture(autouse=True)
def on_the_bench(inputs):
    with bench(Bench(inputs, 3, "cpu")):
        yield


@pytest.fixture
def marked(monkeypatch):
    """From here on each spectrum but the noisy training ones carries a marker that tells log g."""
    honest = Inputs.spectra

    def spectra(self, *inputs, noise_level=1.0, **others):
        parts = honest(self, *inputs, noise_level=noise_level, **others)
        clean = noise_level == 0

        def plant(part):
            features = part.features.copy()
            features[..., 100:104] += MARKER * part.stars["log_g"][:, None]
            return replace(part, features=features)

        train = plant(parts.train) if clean else parts.train
        return Parts(train, plant(parts.valid), plant(parts.test))

    def start():
        monkeypatch.setattr(Inputs, "spectra", spectra)

    return start


def everything():
    """The features of all families of training stars, and what was fitted for them."""
    flux = spectra("flux", stars=STARS)
    score = families.ridged(flux)
    found = families.global_families(flux, score, 16, 8)
    for name, family in {"F2": Summary(), "F3": LineStrengths(PFS_MR.wave[:256])}.items():
        found[name] = families.columns(family, flux)
    return {name: parts.train.features for name, parts in found.items()}, score.weights


def test_a_marker_in_clean_valid_and_test_spectra_reaches_no_feature(marked):
    honest, weights = everything()
    marked()
    assert np.ptp(spectra("flux", stars=STARS).valid.features[0, :, 101]) > MARKER
    found, others = everything()
    assert found.keys() == honest.keys() == {"pca", "ridge", "segments", "error", "F2", "F3"}
    for name in honest:
        np.testing.assert_array_equal(found[name], honest[name])
    np.testing.assert_array_equal(others, weights)


@pytest.mark.parametrize(
    "family",
    [
        components(8, 0),
        RidgeScore((1.0,)),
        TopSegments(np.arange(256.0), 4),
        Statistics(),
        Summary(),
        LineStrengths(PFS_MR.wave[:256]),
    ],
    ids=lambda family: type(family).__name__,
)
def test_the_features_of_a_star_do_not_depend_on_the_others_of_its_split(family):
    """Nothing is fitted where features are only taken, not even a mean."""
    seen = spectra("flux", stars=STARS)
    whole = families.columns(family, seen)
    few = families.columns(family, seen._replace(test=seen.test.take(np.arange(5))))
    np.testing.assert_allclose(
        few.test.features[0], whole.test.features[0, :5], rtol=1e-5, atol=1e-4
    )


def test_components_know_themselves_without_noise_and_noise_falls_on_them_evenly():
    level = 0.5
    train = families.whitened(
        5, level, STARS, twins=True
    ).train  # as many as the spectra have labels
    noise = train.features[0] - train.noiseless
    assert noise.std() == pytest.approx(level, rel=0.15)  # fitted to it, hence not exactly
    assert np.abs(noise.mean(axis=0)).max() < 5 * level / np.sqrt(STARS)


def test_components_of_observed_errors_have_no_noiseless_twins(inputs):
    honest = families.store.read_spectra

    def observed(path):
        return replace(honest(path), error_kind="observed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families.store, "read_spectra", observed)
        train = families.whitened(12, 1.0, STARS, twins=True).train
    assert train.noiseless is None
    assert not families.plain_mlp(train, 1, 1).fresh_noise


@pytest.mark.parametrize(
    "model", [ridge(1.0), lightgbm(4, 5), Mlp((8,), 0.0, epochs=2)], ids=["ridge", "lgb", "mlp"]
)
def test_any_model_can_correct_a_ridge(model):
    """It says what the ridge says, and what the model says of the rest."""
    flux = spectra("flux", stars=STARS)
    score = families.ridged(flux).score
    parts = families.side_by_side(flux, score)
    found = fit(OnRidge(model), parts.train, parts.valid)
    left = Parts(
        *(
            part.with_label("left", part.stars["log_g"] - told.features[0, :, 0])
            for part, told in zip(flux, score, strict=True)
        )
    )
    alone = fit(model, left.train, left.valid, target="left")
    expected = predict(alone, left.test).value + score.test.features[0, :, 0]
    np.testing.assert_allclose(predict(found, parts.test).value, expected, rtol=1e-4, atol=1e-4)


def test_noise_cannot_be_drawn_anew_below_a_ridge():
    parts = families.whitened(12, 1.0, STARS, twins=True)
    with pytest.raises(ValueError, match="stored noise"):
        fit(OnRidge(Mlp(fresh_noise=True)), parts.train, parts.valid)


def test_the_pixels_of_the_largest_weights_come_from_blue_to_red():
    assert families.top_pixels(np.array([0.1, -3, 2, 0.2, 2]), 3) == [1, 2, 4]
    assert families.top_pixels(np.array([1.0, 2.0]), 9) == [0, 1]


def test_parameters_are_counted():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((80, 5)), rng.standard_normal(80)
    assert families.parameters(ridge(1.0).fit(x, y)) == 6
    trees = lightgbm(4, 7).fit(x, y)
    leaves = trees.booster_.predict(x, pred_leaf=True).max(axis=0) + 1
    assert families.parameters(OnRidge(trees)) == leaves.sum()
