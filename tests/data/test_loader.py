"""Batches: every row once, noise anew in training and fixed in testing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from stargrav.data.loader import Clean, NoisySpectra
from stargrav.errors import InputError
from stargrav.labels import LABELS
from stargrav.observation.instrument import PFS_MR
from stargrav.observation.noise import Conditions, NoiseModel, fixed_noise
from stargrav.observation.simulate import draw_stars
from stargrav.spectrum import Spectra

N, P = 50, 30


@pytest.fixture(scope="module")
def spectra():
    rng = np.random.default_rng(0)
    flux = rng.uniform(0.5, 1.5, (N, P)).astype(np.float32)
    error = rng.uniform(0.1, 0.3, (N, P)).astype(np.float32)
    stars = pd.DataFrame(rng.uniform(0, 1, (N, 5)), columns=list(LABELS))
    return Spectra(np.arange(float(P)), flux, error, stars)


def gather(loader):
    batches = list(loader)
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def test_every_row_once_with_what_belongs_to_it(spectra):
    loader = NoisySpectra(spectra, 8, 1.0, shuffle=True, generator=seeded())
    got = gather(loader)
    assert len(loader) == 7 and sorted(got["index"].tolist()) == list(range(N))
    assert got["index"].tolist() != list(range(N))
    rows = got["index"].numpy()
    np.testing.assert_array_equal(got["flux"], spectra.flux[rows])
    np.testing.assert_array_equal(got["error"], spectra.error[rows])
    np.testing.assert_array_equal(got["labels"], spectra.labels[rows])


def test_training_noise_is_new_in_each_pass_and_as_large_as_the_error(spectra):
    loader = NoisySpectra(spectra, 50, 0.5, generator=seeded())
    first, second = gather(loader), gather(loader)
    assert not torch.equal(first["noisy"], second["noisy"])
    pull = (first["noisy"] - first["flux"]) / (0.5 * first["error"])
    assert float(pull.mean()) == pytest.approx(0, abs=0.1)
    assert float(pull.std()) == pytest.approx(1, abs=0.08)
    again = gather(NoisySpectra(spectra, 50, 0.5, generator=seeded()))
    assert torch.equal(again["noisy"], first["noisy"])


def test_two_processes_share_the_rows_and_draw_noise_of_their_own(spectra):
    shares = []
    for rank in (0, 1):
        loader = NoisySpectra(spectra, 7, 1.0, shuffle=True, generator=seeded())
        loader.share.rank, loader.share.ranks = rank, 2
        shares.append(gather(loader))
        assert len(loader) == len(list(loader)) == 7  # the last batch has one row: for neither
    rows = torch.cat([share["index"] for share in shares])
    assert len(rows) == len(rows.unique()) == 42  # of each batch of seven, six
    one, other = ((s["noisy"] - s["flux"]) / s["error"] for s in shares)
    assert abs(float((one * other).mean())) < 0.15
    np.testing.assert_array_equal(shares[1]["flux"], spectra.flux[shares[1]["index"].numpy()])


def test_testing_noise_belongs_to_the_row(spectra):
    whole = gather(NoisySpectra(spectra, 50, 1.0))
    parts = NoisySpectra(spectra, 7, 1.0)
    assert torch.equal(gather(parts)["noisy"], whole["noisy"])
    assert torch.equal(gather(parts)["noisy"], whole["noisy"])  # and in each pass
    some = np.array([3, 11, 40])
    few = gather(NoisySpectra(spectra, 2, 1.0, rows=some))
    assert torch.equal(few["noisy"], whole["noisy"][some])
    other = gather(NoisySpectra(spectra, 50, 1.0, seed=43))
    assert not torch.equal(other["noisy"], whole["noisy"])
    pull = (whole["noisy"] - whole["flux"]) / whole["error"]
    assert float(pull.std()) == pytest.approx(1, abs=0.08)


def test_the_same_noise_at_each_level(spectra):
    one, half = (gather(NoisySpectra(spectra, 50, level)) for level in (1.0, 0.5))
    torch.testing.assert_close(half["noisy"] - half["flux"], 0.5 * (one["noisy"] - one["flux"]))
    clean = gather(NoisySpectra(spectra, 50, 0.0))
    assert torch.equal(clean["noisy"], clean["flux"])


def test_rows_limit_training_too_and_a_data_loader_serves_it(spectra):
    rows = np.arange(10, 30)
    loader = NoisySpectra(spectra, 6, 1.0, rows=rows, shuffle=True, generator=seeded())
    got = gather(DataLoader(loader, batch_size=None))
    assert sorted(got["index"].tolist()) == rows.tolist()


def test_shuffling_needs_a_generator(spectra):
    with pytest.raises(ValueError, match="generator"):
        NoisySpectra(spectra, 8, 1.0, shuffle=True)


@pytest.fixture(scope="module")
def observed():
    """Spectra of a part of the arm whose stored errors belong to other noise."""
    instrument = PFS_MR.cut(8400.0, 8600.0)
    stars = draw_stars(20, (19.0, 20.0), rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    flux = rng.uniform(0.5, 1.5, (20, len(instrument.wave))).astype(np.float32)
    spectra = Spectra(instrument.wave, flux, np.full_like(flux, 99), stars, "o.h5", "observed")
    model, at = NoiseModel(instrument), Conditions.of(stars)
    sigma = model.error(torch.from_numpy(flux), at)
    return spectra, sigma, model.photon_variance(torch.from_numpy(flux), at)


@pytest.mark.parametrize("generator", [None, "seeded"])
def test_observed_errors_belong_to_the_noise_of_their_batch(observed, generator):
    spectra, sigma, photons = observed
    loader = NoisySpectra(spectra, 6, 1.0, generator=seeded() if generator else None)
    first, second = gather(loader), gather(loader)
    for got in (first, second):
        counted = got["flux"] + (got["error"] ** 2 - sigma**2) / photons
        torch.testing.assert_close(counted, got["noisy"].clamp(min=0), rtol=0, atol=1e-3)
        pull = (got["noisy"] - got["flux"]) / sigma
        assert float(pull.std()) == pytest.approx(1, abs=0.03)
    assert torch.equal(first["error"], second["error"]) == (generator is None)
    clean = gather(NoisySpectra(spectra, 6, 0.0))
    torch.testing.assert_close(clean["error"], sigma)


def test_noiseless_errors_of_an_observed_set_are_those_that_the_flux_scatters_by(observed):
    spectra, sigma, _ = observed
    flux, error, photons = Clean(spectra, error="noiseless")(slice(None))
    assert photons is None
    torch.testing.assert_close(error, sigma)
    np.testing.assert_array_equal(flux, spectra.flux)


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_stored_errors_give_the_same_bits_as_the_formulas(spectra, level):
    drawn = gather(NoisySpectra(spectra, N, level, generator=seeded()))
    flux, error = torch.from_numpy(spectra.flux), torch.from_numpy(spectra.error)
    noise = torch.randn(flux.shape, generator=seeded())
    assert torch.equal(drawn["noisy"], torch.addcmul(flux, noise, error, value=level))
    fixed = gather(NoisySpectra(spectra, 7, level, seed=5))
    noise = np.stack([fixed_noise(5, row, P) for row in range(N)])
    np.testing.assert_array_equal(
        fixed["noisy"], spectra.flux + np.float32(level) * spectra.error * noise
    )
    assert torch.equal(fixed["error"], error)


def test_fixed_noise_belongs_to_the_star_whatever_its_row(spectra):
    ids = np.random.default_rng(1).permutation(10 * N)[:N]
    named = replace(spectra, stars=spectra.stars.assign(id=ids))
    found = gather(NoisySpectra(named, 7, 1.0, seed=5))
    noise = np.stack([fixed_noise(5, star, P) for star in ids])
    np.testing.assert_array_equal(found["noisy"], spectra.flux + spectra.error * noise)


def test_observed_errors_need_the_pixels_and_the_conditions(observed):
    spectra, _, _ = observed
    with pytest.raises(InputError, match="o.h5: column 'seeing': found only"):
        NoisySpectra(replace(spectra, stars=spectra.stars.drop(columns="seeing")), 6, 1.0)
    with pytest.raises(InputError, match="o.h5: wave: found 467 pixels"):
        NoisySpectra(replace(spectra, wave=spectra.wave + 0.1), 6, 1.0)
