"""What programme `logg_1m` is to decide: its decision points, and which directions go on.

In the same form as those of programme `distill` (`experiments.decisions`). A direction is what
one experiment changes of the transformer; it gains if R2(log g) of all test stars rises by it. Of
those that gain the best three go on, those that lose are closed, the others stay open (D4).
What is `chosen` was chosen on valid stars.
"""

from __future__ import annotations

from stargrav.experiments.evidence import Evidence, Found
from stargrav.experiments.rules import Finding, Proposition
from stargrav.experiments.spec import FAIL, PASS, at_least, more_than

MOST = 3  # directions that go on

FAR_FROM_LIMIT = Finding("low_noise_protocol", more_than("fisher_ratio[low,vit]", 2.0))
WINDOWS_SUFFICE = Finding("sensitive_windows", at_least("r2[chosen,all] - r2[full,all]", 0.0))
LOWER_ERROR = Finding("multitask", more_than("mae[one,all] - mae[three,all]", 0.0))
LOWER_BIAS = Finding("multitask", more_than("bias[one,all] - bias[three,all]", 0.0))
BEATS_PLAIN = Finding("low_noise_protocol", more_than("r2[all,vit] - r2[all,plain]", 0.0))
AT_THE_LIMIT = Finding("low_noise_protocol", at_least("efficiency[all,vit]", 0.95))
BEATS_PLAIN_LOW = Finding("low_noise_protocol", more_than("r2[low,vit] - r2[low,plain]", 0.0))

DECISION_POINTS = (
    Proposition(
        "D1",
        "At low noise the error is more than twice the bound: better models can gain (else a "
        "physical prior, or more arms)",
        (FAR_FROM_LIMIT,),
    ),
    Proposition(
        "D2",
        "The most sensitive windows hold what the whole spectrum holds: tokens of several lengths "
        "first (else windows are skipped)",
        (WINDOWS_SUFFICE,),
    ),
    Proposition(
        "D3",
        "T_eff and M_H taught beside log g help: several labels become the default",
        (LOWER_ERROR, LOWER_BIAS),
    ),
)
GAINS = {  # experiment -> gain over the base in R2(log g) of all test stars
    "error_input": "gain[chosen,all]",
    "normalization": "r2[chosen,all] - r2[median,all]",
    "sensitive_windows": "r2[chosen,all] - r2[full,all]",
    "multitask": "gain[three,all]",
    "masked_pretraining": "r2[pretrained,all] - r2[longer,all]",
    "denoising_pretraining": "r2[denoised,all] - r2[noisy,all]",
    "multiscale_tokens": "r2[both,all] - r2[base,all]",
    "wavelength_encoding": "gain[chosen,all]",
    "heteroscedastic": "gain[gaussian,all]",
    "error_masking": "r2[chosen,all] - r2[none,all]",
    "derivative_channel": "r2[chosen,all] - r2[flux,all]",
    "window_attention": "r2[leaning,all] - r2[even,all]",
    "ordinal": "gain[ordinal,all]",
}
DIRECTIONS = tuple(
    Proposition(f"V{number}", f"Does {name} gain?", (Finding(name, more_than(gain, 0.0)),))
    for number, (name, gain) in enumerate(GAINS.items(), start=1)
)
WORTH = (
    Proposition(
        "W1", "Does the transformer beat the plain network that saw as much?", (BEATS_PLAIN,)
    ),
    Proposition("W2", "Does it at low noise?", (BEATS_PLAIN_LOW,)),
    Proposition("W3", "Does it read .95 of what the flux can tell?", (AT_THE_LIMIT,)),
)


def conclusion(evidence: Evidence) -> str:
    """D4 in a sentence: which directions go on, which are closed, which stay open."""
    found = [one for direction in DIRECTIONS for one in evidence.find(direction.rests_on[0])]
    gained = sorted((f for f in found if f.state == PASS), key=_gain, reverse=True)
    kinds = {
        "go on": gained[:MOST],
        "gained less": gained[MOST:],
        "closed": sorted((f for f in found if f.state == FAIL), key=_gain),
        "open": [f for f in found if f.found and f.state not in (PASS, FAIL)],
        "no result yet": [f for f in found if not f.found],
    }
    parts = [
        f"{kind}: " + ", ".join(f"{one.experiment}{_shown(one)}" for one in those)
        for kind, those in kinds.items()
        if those
    ]
    return "; ".join(parts)


def _gain(found: Found) -> float:
    return found.found["value"]


def _shown(found: Found) -> str:
    return f" ({found.found['value']:+.3f})" if found.found else ""
