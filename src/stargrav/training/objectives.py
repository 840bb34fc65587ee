"""What a trial of a search trains: a head or boosted trees on given features, and the settings
it draws.

An objective is given train and valid stars only, so that nothing of the test stars can decide
which settings are best. Where a trial is given up, its training is, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from lightgbm import LGBMRegressor
from lightgbm.callback import CallbackEnv
from optuna.trial import Trial

from stargrav.models.probes import lightgbm
from stargrav.training.plan import Plan
from stargrav.training.search import report

Labelled = tuple[np.ndarray, np.ndarray]  # (n, f) features and (n,) labels in their unit

LEARNT = 0.5  # rate times rounds between two reports
UNTUNED_HEAD = {
    "depth": 2,
    "width": 256,
    "taper": 4,
    "dropout": 0.1,
    "learning_rate": 1e-3,
    "weight_decay": 1e-2,
}
UNTUNED_TREES = {
    "leaves": 15,
    "trees": 50,
    "learning_rate": 0.1,
    "min_child_samples": 20,
    "colsample_bytree": 1.0,
    "reg_lambda": 0.0,
}


@dataclass(frozen=True, eq=False)
class HeadObjective:
    """R2 of the valid stars that an MLP head reaches in its best epoch.

    Args:
        train: features and labels to train on.
        valid: to stop by and to judge by.
        plan: of each training.
        batch_size: rows in a batch.
    """

    train: Labelled
    valid: Labelled
    plan: Plan
    batch_size: int

    def __call__(self, trial: Trial) -> float:
        """Train with the settings that the trial draws.

        Raises:
            optuna.TrialPruned: it falls behind, or its loss is not finite.
        """
        from stargrav.training.head import train_head

        trial.suggest_int("depth", 1, 3)
        trial.suggest_categorical("width", [64, 128, 256, 512])
        trial.suggest_categorical("taper", [1, 2, 4])
        trial.suggest_float("dropout", 0.0, 0.5)
        trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        trial.suggest_float("weight_decay", 1e-5, 1.0, log=True)
        try:
            _, history = train_head(
                self.train,
                self.valid,
                self.plan,
                batch_size=self.batch_size,
                tell=lambda epoch, r2: report(trial, epoch, r2),
                **head_settings(trial.params),
            )
        except FloatingPointError as error:
            raise optuna.TrialPruned from error
        return float(history["valid_r2"].max())


def head_settings(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `train_head` that a trial stands for.

    Args:
        drawn: depth, width of the first hidden layer, taper by which each further one is
            narrower; dropout, learning_rate, weight_decay.
    """
    settings = {name: drawn[name] for name in ("dropout", "learning_rate", "weight_decay")}
    widths = [drawn["width"] // drawn["taper"] ** layer for layer in range(drawn["depth"])]
    return {"widths": widths, **settings}


@dataclass(frozen=True, eq=False)
class TreesObjective:
    """R2 of the valid stars that boosted trees reach after their last round.

    Trials are compared where they have learnt as much, by rate times rounds: after as many rounds
    those of small rates would be given up for being slow.

    Args:
        train: features and labels to fit to.
        valid: to judge by.
        rounds: at most so many trees; at least those of `UNTUNED_TREES`.
        seed: of the choice of features.
    """

    train: Labelled
    valid: Labelled
    rounds: int
    seed: int

    def __call__(self, trial: Trial) -> float:
        """Fit with the settings that the trial draws.

        Raises:
            optuna.TrialPruned: it falls behind.
        """
        trial.suggest_int("leaves", 4, 63, log=True)
        trial.suggest_int("trees", 20, self.rounds, log=True)
        trial.suggest_float("learning_rate", 0.02, 0.3, log=True)
        trial.suggest_int("min_child_samples", 5, 200, log=True)
        trial.suggest_float("colsample_bytree", 0.02, 1.0, log=True)
        trial.suggest_float("reg_lambda", 0.0, 20.0)
        model = trees(trial.params).set_params(random_state=self.seed)
        spread, rate = float(np.var(self.valid[1])), trial.params["learning_rate"]
        reached = []

        def tell(state: CallbackEnv) -> None:
            (_, _, square, _), *_ = state.evaluation_result_list
            reached.append(1 - square / spread)
            rounds = len(reached)
            learnt = int(rate * rounds / LEARNT)
            if learnt > int(rate * (rounds - 1) / LEARNT):
                report(trial, learnt, reached[-1])

        judged = {"eval_X": self.valid[0], "eval_y": self.valid[1], "eval_metric": "l2"}
        model.fit(*self.train, **judged, callbacks=[tell])
        return reached[-1]


def trees(drawn: Mapping[str, Any]) -> LGBMRegressor:
    """Unfitted boosted trees with the settings that a trial stands for."""
    others = {name: x for name, x in drawn.items() if name not in ("leaves", "trees")}
    return lightgbm(drawn["leaves"], drawn["trees"]).set_params(**others)
