"""Programme `logg_1m`: how a transformer makes tokens of a spectrum, and where it looks."""

from __future__ import annotations

from functools import partial

from stargrav.experiments.spec import Count, at_least, experiment, more_than
from stargrav.experiments.table import Table
from stargrav.experiments.transformer import (
    NEEDS,
    base,
    beats_plain,
    compared,
    sensitivity,
    settings,
    variant,
    varying,
)

NOT_WORSE = -0.01  # R2 that a difference may lose and still count as none


@experiment(
    plan="logg_1m 2.3",
    claim="Fine and coarse patches together tell more log g than the base, and than fine ones",
    accept=[
        more_than("r2[both,all] - r2[base,all]", 0.0),
        more_than("r2[both,all] - r2[fine,all]", 0.0),
        beats_plain("both"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def multiscale_tokens(fine: Count = 32, coarse: Count = 256) -> Table:
    """Patches as the base has them, fine ones, and fine beside coarse ones."""
    others = {"fine": [fine], "both": [fine, coarse]}
    models = {name: partial(variant, patches=patches) for name, patches in others.items()}
    return compared({"base": base, **models})


@experiment(
    plan="logg_1m 3.1",
    claim="Codes of log wavelength place tokens as well as vectors that are learnt for each",
    accept=[
        at_least("r2[sinusoidal,all] - r2[learned,all]", NOT_WORSE),
        at_least("r2[rotary,all] - r2[learned,all]", NOT_WORSE),
        beats_plain("chosen"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def wavelength_encoding() -> Table:
    """Places learnt, as sines and cosines of log wavelength, and as turns by it."""
    others = {name: partial(variant, position=name) for name in ("sinusoidal", "rotary")}
    return compared({"learned": base, **others}, choose=tuple(others))


@experiment(
    plan="logg_1m 3.5",
    claim="Attention that leans towards sensitive windows reads more log g, other labels no less",
    accept=[
        more_than("r2[leaning,all] - r2[even,all]", 0.0),
        at_least("r2_T_eff[leaning,all] - r2_T_eff[even,all]", NOT_WORSE),
        at_least("r2_M_H[leaning,all] - r2_M_H[even,all]", NOT_WORSE),
        beats_plain("leaning"),
    ],
    needs=NEEDS,
    figures=("scores",),
)
def window_attention() -> Table:
    """Three labels read with attention as it is learnt, and with a bias towards some tokens."""
    (patch,) = settings()[0]["patches"]
    lean = sensitivity(patch).tolist()
    models = {
        "even": partial(variant, labels=varying()),
        "leaning": partial(variant, labels=varying(), sensitivity=lean),
    }
    return compared(models)
