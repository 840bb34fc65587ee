"""LAMOST files of both layouts are read alike, and visits are paired by star."""

import re

import numpy as np
import pytest
from astropy.io import fits
from lamost_files import CLEAN, WAVE, write

from stargrav.data.lamost import UNKNOWN, read_pairs, read_visit
from stargrav.errors import InputError


@pytest.mark.parametrize("layout", ["image", "table"])
@pytest.mark.parametrize("ending", ["fits", "fits.gz"])
def test_both_layouts_say_the_same(layout, ending, tmp_path):
    visit = read_visit(write(tmp_path / f"spec.{ending}", layout))
    assert visit.star == "LAMOST J120000.00+300000.0"
    assert visit.wave == pytest.approx(WAVE, rel=1e-6)
    assert np.median(visit.flux) == pytest.approx(1, abs=0.01)
    level = visit.flux[50:].mean() / CLEAN[50:].mean()
    assert np.std(visit.flux / level - CLEAN) == pytest.approx(0.05, rel=0.2)
    good = np.ones(len(WAVE), dtype=bool)
    good[3:5] = False
    assert (visit.error[~good] == UNKNOWN).all()
    assert visit.error[good] == pytest.approx(0.05, rel=0.1)
    assert visit.flux.max() < 1.5  # what was masked is interpolated
    assert visit.snr == pytest.approx(20, rel=0.1)


def test_the_range_is_cut(tmp_path):
    visit = read_visit(write(tmp_path / "a.fits", "table"), 7200, 7400)
    assert visit.wave[0] >= 7200 and visit.wave[-1] <= 7400 and len(visit.wave) > 100


def test_visits_are_paired_by_star_and_snr(tmp_path):
    star, other, single = "LAMOST J1", "LAMOST J2", "LAMOST J3"
    write(tmp_path / "a.fits", "image", star, 5, 1)
    write(tmp_path / "b.fits.gz", "table", star, 40, 2, level=900.0)
    write(tmp_path / "deep" / "c.fits", "table", star, 10, 3)
    write(tmp_path / "d.fits", "image", other, 20, 4)
    write(tmp_path / "e.fits", "image", other, 25, 5)  # too alike
    write(tmp_path / "f.fits", "image", single, 99, 6)
    (tmp_path / "notes.txt").write_text("no spectrum")
    found = read_pairs(tmp_path, 7200, 7400)
    assert found.stars.tolist() == [star, star]
    errors = np.median(found.error, axis=1), np.median(found.flux_error, axis=1)
    assert errors[0] == pytest.approx([0.2, 0.1], rel=0.15)
    assert errors[1] == pytest.approx([0.025, 0.025], rel=0.15)
    assert np.array_equal(found.flux[0], found.flux[1])
    assert found.noisy.shape == (2, len(found.wave)) and found.noisy.dtype == np.float32
    assert np.abs(found.flux - np.interp(found.wave, WAVE, CLEAN)).max() < 0.15


def test_pairs_on_finer_wavelengths_are_the_same_spectra(tmp_path):
    write(tmp_path / "a.fits", "image", snr=5, seed=1)
    write(tmp_path / "b.fits", "table", snr=200, seed=2)
    pairs = read_pairs(tmp_path, 7200, 7400)
    fine = np.linspace(pairs.wave[0], pairs.wave[-1], 5 * len(pairs.wave))
    found = pairs.on(fine)
    assert found.flux[0] == pytest.approx(np.interp(fine, WAVE, CLEAN), abs=0.05)
    assert np.abs(pairs.on(pairs.wave).noisy - pairs.noisy).max() < 1e-5
    # the error is that of one of its pixels, and not of what neighbours say together
    assert np.median(found.error) == pytest.approx(np.median(pairs.error), rel=0.01)
    scatter = np.std(found.noisy - np.interp(fine, WAVE, CLEAN))
    assert scatter == pytest.approx(0.2, rel=0.25)


@pytest.mark.parametrize("layout", ["image", "table"])
def test_unusable_files_are_told_by_name(layout, tmp_path):
    nothing = {"IVAR": np.zeros(len(WAVE))}
    below = {"FLUX": np.full(len(WAVE), -1.0)}
    for number, (change, told) in enumerate(
        [(nothing, "IVAR above 0"), (below, "a median of"), ({"star": ""}, "DESIG")]
    ):
        path = write(tmp_path / f"{number}.fits", layout, **change)
        with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{told}"):
            read_visit(path)


def test_other_files_are_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((2, 9))).writeto(tmp_path / "two.fits")
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("no FITS")
    for name, told in (("two", "shape"), ("none", "no image"), ("text", "LAMOST")):
        with pytest.raises(InputError, match=told):
            read_visit(tmp_path / f"{name}.fits")
    with pytest.raises(InputError, match="nowhere.*no such folder"):
        read_pairs(tmp_path / "nowhere", 7200, 7400)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="0 visits to 0 stars"):
        read_pairs(tmp_path / "empty", 7200, 7400)
    write(tmp_path / "pair" / "a.fits", "image")
    with pytest.raises(InputError, match="1 visits to 1 stars"):
        read_pairs(tmp_path / "pair", 7200, 7400)


@pytest.mark.parametrize(
    ("old", "new"), [(b"TFORM1  = '300E", b"TFORM1  = '!00E"), (b"= 'LAMOST", b"= \\LAMOST")]
)
def test_a_damaged_header_is_unreadable(tmp_path, old, new):
    path = write(tmp_path / "a.fits", "table")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InputError, match="a.fits: content: .*a FITS file of LAMOST"):
        read_visit(path)
