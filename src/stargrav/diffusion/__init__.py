"""Spectra by gradual denoising: schedule, denoiser, sampler and guidance, which combine freely."""
