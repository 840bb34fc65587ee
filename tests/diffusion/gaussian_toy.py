"""A Gaussian whose denoiser, samples and posterior are known in closed form."""

import torch

from stargrav.diffusion.schedule import LinearBeta

# variances below and above that of the noise, along axes that are not the pixels'
VARIANCE = torch.tensor([3.0, 1.0, 0.3, 0.03], dtype=torch.float64)
AXES = torch.linalg.qr(
    torch.randn(4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
)[0]
MEAN = torch.tensor([0.5, -1.0, 0.0, 0.2], dtype=torch.float64)
COVARIANCE = (AXES * VARIANCE) @ AXES.T


class GaussianDenoiser:
    """E[x | x_t] of x ~ N(mean, covariance); float64."""

    def __init__(self, mean=MEAN, covariance=COVARIANCE, schedule=None):
        self.mean, self.covariance = mean, covariance
        self.schedule = schedule or LinearBeta()
        self.calls = 0

    def gain(self, t):
        alpha, sigma = self.schedule(t.double())
        total = alpha**2 * self.covariance + sigma**2 * torch.eye(len(self.mean)).double()
        return alpha, sigma, alpha * torch.linalg.solve(total, self.covariance)

    def __call__(self, x_t, t):
        self.calls += 1
        alpha, _, gain = self.gain(t)
        return self.mean + (x_t - alpha * self.mean) @ gain


def draws(n, mean=MEAN, covariance=COVARIANCE, seed=0):
    """(n, d) exact draws."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, len(mean), generator=generator, dtype=torch.float64)
    return mean + noise @ torch.linalg.cholesky(covariance).T


def deviations(samples, mean=MEAN, covariance=COVARIANCE):
    """Largest departures of sample mean and covariance in units of their standard errors,

    sqrt(C_ii / n) and sqrt((C_ii C_jj + C_ij^2) / n).
    """
    n = len(samples)
    spread = covariance.diagonal()
    off_mean = (samples.mean(0) - mean) / (spread / n).sqrt()
    error = ((torch.outer(spread, spread) + covariance**2) / n).sqrt()
    off_covariance = (torch.cov(samples.T) - covariance) / error
    return float(off_mean.abs().max()), float(off_covariance.abs().max())
