"""Programme `distill`: is the denoiser's latent a better place to read log g from?"""

from __future__ import annotations

from stargrav.experiments.spec import Count, NonNegative, at_least, experiment
from stargrav.experiments.steps import fit, latents, over, score, training_sizes
from stargrav.experiments.table import Table
from stargrav.labels import LABELS
from stargrav.models.probes import lightgbm, ols, ridge

SIZES = (1_000, 32_000, 100_000)


@experiment(
    plan="distill 1.1",
    claim="The teacher's deepest layer, averaged over the spectrum, tells log g to linear models",
    accept=[at_least("r2[log_g,ridge,all]", 0.5), at_least("r2[log_g,lightgbm,all]", 0.25)],
    published={
        "r2[T_eff,ridge,all]": 0.9775,
        "r2[M_H,ridge,all]": 0.9599,
        "r2[log_g,ridge,all]": 0.2192,
        "r2[log_g,lightgbm,all]": 0.2830,
        "r2[a_M,ridge,all]": 0.1908,
        "r2[C_M,ridge,all]": 0.1396,
    },
    needs=("dataset", "latents"),
    figures=("scores", "predicted", "residual"),
    serves="log_g,ridge,all",
)
def linear_probe(alpha: NonNegative = 1e-3, leaves: Count = 15, trees: Count = 50) -> Table:
    """Each label from enc_last + global_mean; OLS, Ridge and LightGBM at growing sizes."""
    z = latents("enc_last", "global_mean")
    probes = {"ols": ols(), "ridge": ridge(alpha), "lightgbm": lightgbm(leaves, trees)}
    table = over(label=LABELS, probe=probes, size=training_sizes(z.train, SIZES))
    for case in table:
        model = fit(case.probe, z.train.first(case.size), z.valid, target=case.label)
        case.record(score(model, z.test))
    return table
