"""Small LAMOST files of both layouts, for tests."""

import numpy as np
from astropy.io import fits

WAVE = 10 ** (3.85 + 1e-4 * np.arange(300))
CLEAN = 1 - 0.5 * np.exp(-0.5 * ((WAVE - 7300) / 5) ** 2)


def write(path, layout, star="LAMOST J120000.00+300000.0", snr=20.0, seed=0, level=37.0, **change):
    """A visit of a given SNR; pixels 3 and 4 are masked, each in its own way."""
    sigma = 1 / snr
    flux = CLEAN + sigma * np.random.default_rng(seed).standard_normal(len(WAVE))
    rows = {
        "FLUX": level * flux,
        "IVAR": np.full(len(WAVE), 1 / (level * sigma) ** 2),
        "WAVELENGTH": WAVE,
        "ANDMASK": np.zeros(len(WAVE)),
        "ORMASK": np.ones(len(WAVE)),
    }
    rows["FLUX"][3:5] = 1e6
    rows["IVAR"][3] = 0
    rows["ANDMASK"][4] = 128
    rows |= change
    if layout == "image":
        main = fits.PrimaryHDU(np.stack(list(rows.values())).astype(np.float32))
        parts = [main]
    else:
        main = fits.PrimaryHDU()
        columns = [
            fits.Column(name, f"{len(v)}{'E' if 'MASK' not in name else 'I'}", array=v[None])
            for name, v in rows.items()
        ]
        parts = [main, fits.BinTableHDU.from_columns(columns, name="COADD")]
    main.header["DESIG"] = star
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(parts).writeto(path)
    return path
