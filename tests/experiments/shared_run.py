"""What torchrun runs for test_shared_run.py: an experiment by two processes."""

import sys
from pathlib import Path

from stargrav import ranks
from stargrav.experiments import run as runner
from stargrav.experiments.inputs import Inputs
from stargrav.experiments.spec import experiment
from stargrav.experiments.steps import Mlp, fit, latents, over, score
from stargrav.experiments.table import Table
from stargrav.models.probes import ols

SEED = 3


@experiment(
    plan="toy 2",
    claim="Two networks and a probe",
    accept=[],
    needs=("dataset", "train@teacher", "latents@base"),
)
def shared() -> Table:
    """Least squares beside two trainings, the second on noise that is drawn anew."""
    z = latents("enc_pre_latent", "seg_mean_8")
    how = {"widths": (16,), "dropout": 0.0, "learning_rate": 1e-2, "batch_size": 50, "epochs": 3}
    models = {"ols": ols(), "stored": Mlp(**how), "fresh": Mlp(**how, fresh_noise=True)}
    table = over(model=models)
    for case in table:
        case.record(score(fit(case.model, z.train, z.valid), z.test))
    return table


def main(root: Path, out: Path) -> None:
    """The experiment, by whatever rank this process has."""
    stages = ("dataset", "train@teacher", "latents@base", "limits")
    inputs = Inputs({name: root / name for name in stages})
    if ranks.follows():
        assert ranks.meet(shared.stage)
        runner.follow(shared, {}, inputs, SEED, "cpu")
        return
    with ranks.leading(shared.stage):
        runner.run(shared, {}, inputs, out, "laptop", SEED, {"accelerator": "cpu"}, {}, None)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
