"""Guidance: what is chosen is chosen on valid stars, and thirds of the stars are by SNR."""

import numpy as np
import pytest

from stargrav.experiments import guided
from stargrav.experiments.denoisers import THIRDS, Stars
from stargrav.experiments.steps import Bench, bench
from stargrav.inference import diffused

STARS, VALID = 60, 40
SIZES = {"stars": STARS, "draws": 2, "steps": 8, "dps_steps": 2, "chosen_on": VALID, "train": 400}


def run(inputs, monkeypatch, strengths, made):
    """The table, and the stars that each strength was tried on; `made` gives their flux."""
    drawn, tried = diffused.guided_draws, {}
    with bench(Bench(inputs, 7)):
        parts = Stars(1).parts
    split = {float(parts.valid.features[0, 0, 0]): "valid"}
    split[float(parts.test.features[0, 0, 0])] = "test"

    def draws(network, guide, noisy, *rest):
        if not isinstance(guide, float):
            return drawn(network, guide, noisy, *rest)
        stars = split[float(noisy[0, 0])]
        tried.setdefault(guide, []).append((stars, len(noisy)))
        return made(guide, noisy, stars)[:, None]

    monkeypatch.setattr(guided, "followed", float)
    monkeypatch.setattr(diffused, "guided_draws", draws)
    with bench(Bench(inputs, 7)):
        return guided.dps.function(**SIZES, strengths=strengths), tried


def test_the_strength_is_chosen_on_valid_stars_alone(inputs, monkeypatch):
    """One that does better on test stars is not even tried there."""

    def made(strength, noisy, stars):
        return noisy + np.float32(strength - (0.5 if stars == "valid" else 0.1))

    table, tried = run(inputs, monkeypatch, (0.1, 0.5, 2.0), made)
    valid, test = ("valid", VALID), ("test", STARS)
    assert tried == {0.1: [valid], 0.5: [valid, test], 2.0: [valid]}
    columns = table.case("dps,all").score.columns
    assert columns["strength"] == 0.5
    assert columns["valid_mse_0.5"] < columns["valid_mse_0.1"] < columns["valid_mse_2"]


def test_a_strength_that_leads_nowhere_is_not_chosen(inputs, monkeypatch):
    def made(strength, noisy, stars):
        return np.full_like(noisy, np.nan) if strength > 1 else noisy + 9

    table, _ = run(inputs, monkeypatch, (3.0, 0.1), made)
    assert table.case("dps,all").score.columns["strength"] == 0.1


def test_what_pixels_have_in_common_is_worth_knowing(inputs, monkeypatch):
    table, _ = run(inputs, monkeypatch, (1.0,), lambda strength, noisy, stars: noisy)
    found = table.metrics()
    assert found["mse[noisy,all]"].value == pytest.approx(1, abs=0.05)
    assert found["mse[matched,all]"].value < 0.5 * found["mse[product,all]"].value < 0.5


def test_thirds_are_by_snr_and_have_the_noise_of_their_own(inputs):
    with bench(Bench(inputs, 7)):
        stars = Stars(50)
        thirds = [stars.groups[name] for name in THIRDS]
        assert np.array_equal(np.sort(np.concatenate(thirds)), stars.groups["all"])
        for low, high in zip(thirds, thirds[1:], strict=False):
            assert stars.snr[low].max() <= stars.snr[high].min()
        noisy, clean = stars.measured[0], stars.clean
        for rows in thirds:
            flux = noisy.copy()
            flux[rows] += noisy[rows] - clean[rows]
            expected = [4 if rows is each else 1 for each in thirds]
            assert [stars.missed(flux, each).value for each in thirds] == pytest.approx(
                expected, rel=0.1
            )
