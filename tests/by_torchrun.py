"""Scripts run by two processes, as torchrun starts them."""

import os
import subprocess
import sys
from pathlib import Path

LONGEST = 300  # seconds, on a busy machine


def by_two(script: Path, *arguments: Path) -> tuple[str, str]:
    """Run a script by two processes; what they have printed, to stdout and to stderr."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    started = subprocess.Popen(
        [*launch, str(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        out, err = started.communicate(timeout=LONGEST)
    except BaseException:
        started.terminate()  # and not killed: it ends the processes below it
        started.communicate()
        raise
    assert started.returncode == 0, err
    return out, err
