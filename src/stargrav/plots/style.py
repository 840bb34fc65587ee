"""How all figures look: one size of type, few lines, colours that colour-blind eyes tell apart.

The colours are those of Okabe & Ito (2008), in an order of falling contrast to white.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stargrav.labels import UNITS

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MUTED = "#6B7280"
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#374151",
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.titlesize": 11.5,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#E5E7EB",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "xtick.color": "#374151",
    "ytick.color": "#374151",
}
DPI = 150
SYMBOLS = {
    "T_eff": r"$T_\mathrm{eff}$",
    "log_g": r"$\log\,g$",
    "M_H": "[M/H]",
    "a_M": r"[$\alpha$/M]",
    "C_M": "[C/M]",
    "snr": "median S/N per pixel",
    "mag": "HSC $i$ (AB mag)",
}


def axis_label(column: str, prefix: str = "") -> str:
    """The label of an axis, with its unit: `log g (dex)`, `predicted T_eff (K)`."""
    unit = f" ({UNITS[column].split()[0]})" if column in UNITS else ""
    return f"{prefix} {SYMBOLS.get(column, column)}{unit}".strip()


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; equal figures give equal bytes, as no date or version enters."""
    FigureCanvasAgg(figure)
    with mpl.rc_context(STYLE):
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
