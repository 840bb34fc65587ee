"""Searching for good settings: an Optuna study in a database file, to be gone on with.

Settings are drawn by the tree-structured Parzen estimator (Bergstra et al. 2011), and a trial is
given up when its R2 of the valid stars falls behind the median of those before it at the same
step.

The file is the whole state. Finished trials in it are kept; one that was under way when its
process ended is marked as failed and its settings are tried again. What is random in drawing the
settings of a trial depends on the seed and on its rank among those that did not fail, so that,
with one worker, a search that was killed and started again tries the same settings as one that
was not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from stargrav.files import alone
from stargrav.processes import start_worker

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
UNFINISHED = (TrialState.RUNNING, TrialState.FAIL)
RANDOM_TRIALS = 6  # before the estimator draws settings, and before trials are given up
RETRY_OF = "retry_of"
BUSY_S = 120.0  # for which a worker waits while another writes

Objective = Callable[[Trial], float]


class Found(NamedTuple):
    """What a search found.

    Attributes:
        best: settings of the best trial that was not given up.
        trials: one row per trial that came to an end: trial (from 1), state (`complete` or
            `pruned`), valid_r2 (None if nothing was reported), then its settings.
    """

    best: dict[str, Any]
    trials: list[dict[str, Any]]


def search(
    objective: Objective,
    trials: int,
    folder: Path,
    seed: int,
    first: Mapping[str, Any] | None = None,
    warmup: int = 0,
    workers: int = 1,
    identity: Mapping[str, Any] | None = None,
    progress: str | None = None,
) -> Found:
    """Look for the settings with the largest R2 of the valid stars.

    Args:
        objective: draws settings from a trial, tells it the R2 reached by `report`, returns the
            last word on it. With several workers it is pickled.
        trials: how many come to an end, those of earlier calls included.
        folder: where the database is kept; made if it is not there.
        seed: of the drawing.
        first: settings to try first, such as the untuned ones.
        warmup: steps that a trial may go before it is given up.
        workers: processes that work on the study.
        identity: what makes this search another one (space, hashes of the data), as plain values;
            another search finds nothing of this one in the folder.
        progress: name under which each trial is told; none is told without it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = json.dumps([seed, warmup, first, identity], sort_keys=True, default=str)
    path = folder / f"study-{hashlib.sha256(parts.encode()).hexdigest()[:12]}.db"
    with alone(path):  # what is under way then has no process
        study = _open(path, warmup)
        _take_up(study, first)
        done = len(study.get_trials(deepcopy=False, states=FINISHED))
        shares = [(trials - done + k) // workers for k in range(workers)]
        jobs = [(path, warmup, objective, share, seed, progress) for share in shares if share > 0]
        if len(jobs) < 2:
            for job in jobs:
                _work(*job)
        else:
            with ProcessPoolExecutor(len(jobs), get_context("spawn"), start_worker) as pool:
                for running in [pool.submit(_work, *job) for job in jobs]:
                    running.result()
        ended = study.get_trials(states=FINISHED)
        rows = [_row(rank, trial) for rank, trial in enumerate(ended, start=1)]
        return Found(dict(study.best_params), rows)


def report(trial: Trial, step: int, r2: float) -> None:
    """Tell a trial what has been reached.

    Args:
        trial: under way.
        step: such as the epoch.
        r2: of the valid stars.

    Raises:
        optuna.TrialPruned: it falls behind, and is to be given up.
    """
    trial.report(r2, step)
    if trial.should_prune():
        raise optuna.TrialPruned


def _open(path: Path, warmup: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(f"sqlite:///{path}", {"connect_args": {"timeout": BUSY_S}})
    return optuna.create_study(
        storage=storage,
        study_name="search",
        direction="maximize",
        pruner=MedianPruner(RANDOM_TRIALS, warmup),
        load_if_exists=True,
    )


def _take_up(study: optuna.Study, first: Mapping[str, Any] | None) -> None:
    """Queue the first settings, and those of trials whose process ended under way."""
    known = study.get_trials()
    if first is not None and not known:
        study.enqueue_trial(dict(first))
    retried = {trial.user_attrs.get(RETRY_OF) for trial in known}
    for trial in known:
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state in UNFINISHED and trial.number not in retried:
            settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            study.enqueue_trial(settings, user_attrs={RETRY_OF: trial.number})


def _work(
    path: Path,
    warmup: int,
    objective: Objective,
    trials: int,
    seed: int,
    progress: str | None,
) -> None:
    """Bring some trials to an end, in this process."""
    study = _open(path, warmup)

    def seeded(trial: Trial) -> float:
        failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        rank = trial.number - sum(other.number < trial.number for other in failed)
        study.sampler = TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed + rank)
        return objective(trial)

    def tell(_: optuna.Study, trial: FrozenTrial) -> None:
        if progress is not None:
            value = "nothing" if trial.value is None else f"{trial.value:.4f}"
            settings = ", ".join(f"{name} {_short(x)}" for name, x in trial.params.items())
            print(f"{progress}: {trial.state.name.lower()}, valid R2 {value}, {settings}")

    study.optimize(seeded, n_trials=trials, callbacks=[tell])


def _row(rank: int, trial: FrozenTrial) -> dict[str, Any]:
    state = trial.state.name.lower()
    return {"trial": rank, "state": state, "valid_r2": trial.value, **trial.params}


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
