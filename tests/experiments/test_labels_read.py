"""Labels read from denoised spectra tell a denoiser that shrinks them from one that does not."""

import numpy as np
import pytest

from stargrav.experiments.denoisers import LABELS, Stars, compared, slope
from stargrav.experiments.guided import dps
from stargrav.experiments.spec import FAIL, PASS
from stargrav.experiments.steps import Bench, bench
from stargrav.metrics.estimate import resamples


def read(inputs, **shares):
    """Metrics of denoisers that go that share of the way to the mean spectrum."""
    with bench(Bench(inputs, 7)):
        stars = Stars(120, train=400)
        mean = stars.clean.mean(axis=0)
        made = {
            name: lambda share=share: stars.clean + share * (mean - stars.clean)
            for name, share in shares.items()
        }
        return compared(made, stars).metrics()


def test_the_way_to_the_mean_spectrum_is_the_slope(inputs):
    found = read(inputs, none=0.0, half=0.5, all=1.0)
    for label in LABELS:
        for name in ("bias", "slope"):
            same = found[f"{name}_{label}[none,all]"]
            assert same.value == 0 and not same.draws.any()
        half, whole = (found[f"slope_{label}[{name},all]"].value for name in ("half", "all"))
        assert half == pytest.approx(whole / 2, rel=1e-3)
        assert whole == pytest.approx(-1, abs=0.002)  # -.991 if the reader learnt at noise 1
    assert abs(found["bias_log_g[half,all]"].value) < 0.01  # which would not find it out


def test_less_shrinkage_is_claimed(inputs):
    (claimed,) = (c for c in dps.accept if "slope" in c.expression)
    assert claimed.judge(read(inputs, matched=0.2, ddpm=0.5)).verdict == PASS
    assert claimed.judge(read(inputs, matched=0.5, ddpm=0.2)).verdict == FAIL


def test_a_slope_is_that_of_the_resample():
    rng = np.random.default_rng(0)
    label = rng.uniform(3500, 7000, 80)
    off = 30 - 0.4 * label + rng.normal(0, 300, 80)
    counts = resamples(80, seed=1)[:3]
    expected = [
        np.polyfit(*(np.repeat(values, row) for values in (label, off)), 1)[0] for row in counts
    ]
    assert slope(off, label, counts.astype(float)) == pytest.approx(expected)
    assert slope(off, label) == pytest.approx(np.polyfit(label, off, 1)[0])
