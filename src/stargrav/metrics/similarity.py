r"""How alike two spectra look: structural similarity (Wang et al. 2004, IEEE TIP 13, 600, eq. 13),
in one dimension.

With means, variances and covariance under a Gaussian window of 1.5 pixels around each pixel,

    SSIM = (2 m_x m_y + C_1) (2 v_xy + C_2) / ((m_x^2 + m_y^2 + C_1) (v_x + v_y + C_2)),

C_1 = (.01 L)^2, C_2 = (.03 L)^2, L the range of the true spectrum; its mean over the pixels is 1
for equal spectra. A mean square error hardly sees a lost weak line, since most pixels hold none;
this does.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

WINDOW = 1.5  # deviation [pixels]
REACH = 5  # pixels on either side


def ssim(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Structural similarity of spectra.

    Args:
        true: (n, p).
        found: (n, p), in the same unit.

    Returns:
        (n,), at most 1.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (true, found))
    extent = np.ptp(x, axis=1, keepdims=True)
    c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
    # variances are of departures, so that they do not drown in the square of the level
    level = x.mean(axis=1, keepdims=True)
    u, v = x - level, y - level
    mean_u, mean_v = _window(u), _window(v)
    var_u, var_v = _window(u * u) - mean_u**2, _window(v * v) - mean_v**2
    both = _window(u * v) - mean_u * mean_v
    mean_x, mean_y = mean_u + level, mean_v + level
    alike = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    return (alike / ((mean_x**2 + mean_y**2 + c1) * (var_u + var_v + c2))).mean(axis=1)


def _window(x: np.ndarray) -> np.ndarray:
    return gaussian_filter1d(x, WINDOW, axis=1, radius=REACH)
