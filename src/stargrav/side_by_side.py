"""Stages side by side: each by a DVC of its own, as soon as what it reads is made.

DVC makes one stage after the other. Most stages here are networks too small to keep several cores
busy, so that as many stages as there are cores, on one thread each, are the faster way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path
from threading import Event

from stargrav import pipeline, settings
from stargrav.dvc_process import Stream, dvc, undisturbed


def make(root: Path, targets: Iterable[str], jobs: int | None) -> set[str]:
    """Make stages and all that they need; what has not changed is kept.

    A mistake or a failure ends all of it; what is finished stays.

    Args:
        root: the project's root.
        targets: names of stages.
        jobs: stages at a time, which share the cores; as many as there are cores if None.

    Returns:
        names of the stages that had to be made.

    Raises:
        InputError: params.yaml, the source or a stage tells of a user's mistake.
        StageError: one failed otherwise.
    """
    pipeline.fetch_library(root, settings.load(root / "params.yaml"))
    graph = pipeline.stages(root)
    wanted = {name for target in targets for name in pipeline.upstream(graph, target)}
    order = TopologicalSorter({name: graph[name].needs for name in sorted(wanted)})
    order.prepare()
    cores = len(os.sched_getaffinity(0))
    jobs, ended, made = jobs or cores, Event(), set()
    threads = max(1, cores // jobs)

    def one(name: str) -> set[str]:
        command = ("--wait-for-lock", "repro", "--pull", "--single-item", name)
        return dvc(root, *command, stream=Stream(name, threads, ended))

    running: dict[Future[set[str]], str] = {}
    with undisturbed(root), ThreadPoolExecutor(jobs) as pool:
        try:
            while order.is_active():
                running |= {pool.submit(one, name): name for name in order.get_ready()}
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in finished:
                    name = running.pop(each)
                    made |= each.result()
                    order.done(name)
        except BaseException:
            ended.set()
            for each in running:
                each.cancel()
            raise
    return made
