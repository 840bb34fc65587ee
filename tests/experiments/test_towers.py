"""What is particular to the towers: nothing but noisy training spectra makes their features."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from stargrav import models
from stargrav.data import store
from stargrav.data.loader import Clean
from stargrav.experiments import families, towers
from stargrav.experiments.inputs import Parts
from stargrav.experiments.steps import Bench, Fitted, Mlp, bench, current, fit, predict, spectra
from stargrav.experiments.table import Score
from stargrav.inference import draws, latents
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
    """From here on each spectrum that is stored carries a marker that tells log g: in its flux
    and, but for training stars, in its error. All that is made of it has it, too, but the noisy
    spectra of the splits that are left as they are."""
    honest, draw = store.read_spectra, draws.noisy_draw

    def read(path):
        found = honest(path)
        flux, error = np.array(found.flux), np.array(found.error)
        told = found.stars["log_g"].to_numpy(float)[:, None]
        flux[:, 100:104] += MARKER * told
        if Path(path).name != "train.h5":
            error[:, 100:104] *= 1 + told
        return replace(found, flux=flux, error=error)

    def start(left=("train",)):
        def noisy(clean, rows, level, *others):
            name = Path(clean.spectra.name)
            if name.stem in left and level > 0:
                clean = Clean(honest(name))
            return draw(clean, rows, level, *others)

        monkeypatch.setattr(store, "read_spectra", read)
        for module in (draws, latents):
            monkeypatch.setattr(module, "noisy_draw", noisy)

    return start


def everything(*which):
    """The features of all families of stars of some splits, and what was fitted for them."""
    flux = spectra("flux", stars=STARS)
    found, weights = {}, []
    for count in (0, 2):  # draws of noise beside the one that families are fitted to
        ridge = families.ridged(flux, count)
        made = families.global_families(flux, ridge, 16, 8, count)
        made["twins"] = families.whitened(12, 1.0, STARS, count, twins=True)
        for name, family in {
            "plain pca": components(12, 0),
            "F2": Summary(),
            "F3": LineStrengths(PFS_MR.wave[:256]),
        }.items():
            made[name] = families.columns(family, flux, "flux", draws=count)
        if count:
            made["pixels"] = families.pixels(flux, count)
        for split in which:
            found |= {
                (name, count, split): getattr(parts, split).features
                for name, parts in made.items()
            }
        weights.append(ridge.weights)
    return found | latents_of(*which), weights


def latents_of(*which):
    """Read out of the teacher anew, as stage `latents` does."""
    inputs, found = current().inputs, {}
    teacher = models.load(inputs.folder("train@teacher"))
    splits = {name: store.read_spectra(inputs.folder("dataset") / f"{name}.h5") for name in which}
    with TemporaryDirectory() as folder:
        latents.extract_latents(splits, teacher, [towers.READOUT], folder, draws=2)
        for name in which:
            kept = latents.read_latents(folder, *towers.READOUT, name)
            found["latent", 2, name] = np.array(kept)
    return found


def test_a_marker_in_clean_valid_and_test_spectra_reaches_no_feature(marked):
    honest, weights = everything("train")
    marked()
    for part, level in ((1, 1.0), (2, 1.0), (0, 0.0)):
        seen = spectra("flux", noise_level=level, stars=STARS)[part]
        assert np.ptp(seen.features[0, :, 101]) > MARKER
    found, others = everything("train")
    assert len(found) == 18
    assert found.keys() == honest.keys()
    for name in honest:
        np.testing.assert_array_equal(found[name], honest[name], err_msg=str(name))
    np.testing.assert_array_equal(others, weights)


def test_stars_of_no_split_are_read_without_their_noise(marked):
    """Where all noisy spectra are left as they are, and all clean ones carry the marker."""
    splits = ("train", "valid", "test")
    honest, weights = everything(*splits)
    marked(splits)
    found, others = everything(*splits)
    assert len(found) == 3 * 18
    for name in honest:
        if name[0] not in ("error", "latent") or name[2] == "train":  # others' error is marked
            np.testing.assert_array_equal(found[name], honest[name], err_msg=str(name))
    np.testing.assert_array_equal(others, weights)


def test_the_marker_reaches_what_is_fitted_to_clean_spectra(marked):
    """Else the test above could not fail."""

    def leaking():
        seen = spectra("whitened", stars=STARS)
        clean = store.read_spectra(seen.train.path)
        family = components(12, 0).fit(clean.flux[:] / clean.error[:])
        return family.transform(seen.train.features[0])

    honest = leaking()
    marked()
    assert np.abs(leaking() - honest).max() > 0.1


def test_families_have_as_many_columns_as_published_and_the_ridge_one():
    flux = spectra("flux", stars=STARS)
    found = families.global_families(flux, families.ridged(flux), 96, 24)
    count = {name: parts.train.features.shape[-1] for name, parts in found.items()}
    segments = min(24, flux.train.features.shape[-1] // TopSegments(np.ones(9), 1).pixels)
    assert count == {"pca": 96, "ridge": 1, "segments": segments, "error": 5}


def test_further_draws_are_of_the_same_stars_in_other_noise():
    flux = spectra("flux", stars=STARS, draws=3)
    again = families.pixels(flux, 2).train.features
    np.testing.assert_array_equal(again, flux.train.features[1:])
    fitted, other = (families.ridged(flux, count).score for count in (0, 2))
    assert other.train.features.shape == (2, STARS, 1)
    off = [part.features - part.stars["log_g"][:, None] for part in (fitted.train, other.train)]
    assert 0 < np.abs(off[1][0] - off[1][1]).max()
    # out of fold in each draw, so that other noise is no worse than that which was fitted to
    assert off[1].std() == pytest.approx(off[0].std(), rel=0.1)
    np.testing.assert_array_equal(fitted.test.features, other.test.features)


def test_parts_of_other_stars_or_noise_do_not_go_side_by_side():
    flux = spectra("flux", stars=STARS)
    others = (
        spectra("flux", stars=STARS, noise_level=0.5),
        spectra("flux", stars=STARS, draws=2),
        flux._replace(train=flux.train.take(np.arange(STARS)[::-1])),
    )
    for other in others:
        with pytest.raises(ValueError, match="other stars, or of other noise"):
            families.side_by_side(flux, other)


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


class Known:
    """An estimator that errs by one number on valid stars and by another on test stars."""

    coef_, receptive_field = np.zeros(1), 9

    def __init__(self, parts, on_valid, on_test):
        self.told = {
            len(part): np.asarray(part.stars["log_g"])
            + error * np.random.default_rng(0).normal(size=len(part))
            for part, error in ((parts.valid, on_valid), (parts.test, on_test))
        }

    def predict(self, x):
        return self.told[len(x)]


def test_rate_and_filters_are_chosen_on_valid_stars(monkeypatch):
    """Even if others do better on test stars."""
    parts = spectra("flux", stars=STARS)
    parts = parts._replace(valid=parts.valid.take(np.arange(100)))
    monkeypatch.setattr(towers, "pixels", lambda *_: parts)
    monkeypatch.setattr(towers, "FILTERS", {"low": {"kernels": (3,)}, "lucky": {"kernels": (5,)}})
    errors = {  # kernel and rate -> on valid stars, on test stars
        (3, 0.1): (0.2, 0.3),
        (3, 0.2): (0.3, 0.1),
        (5, 0.1): (0.5, 0.1),
        (5, 0.2): (0.4, 0.05),
    }

    def known(model, train, valid, target="log_g"):
        if isinstance(model, Mlp):
            found = Known(parts, 1.0, 1.0)
        else:
            found = Known(parts, *errors[model.sizes["kernels"][0], model.learning_rate])
        return Fitted(found, "log_g", train.readout, {"n_train": len(train)})

    monkeypatch.setattr(towers, "fit", known)
    monkeypatch.setattr(towers, "_plain", lambda *_: Score({}))
    table = towers.dilated_cnn.function(stars=STARS, rates=(0.1, 0.2), draws=1)
    found = {case.key: case.score for case in table.cases}
    for level in ("0.1", "1"):
        low, lucky, chosen = (found[f"{level},{name}"] for name in ("low", "lucky", "chosen"))
        assert (low.columns["learning_rate"], lucky.columns["learning_rate"]) == (0.1, 0.2)
        assert lucky.metrics["r2"].value > low.metrics["r2"].value == chosen.metrics["r2"].value
