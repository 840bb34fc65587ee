"""Stargrav: surface gravity of faint stars from PFS spectra, with honest uncertainties."""

__version__ = "0.1.0"
