"""`stargrav` as forks of one process that has imported what its stages need.

Dozens of stages are a process each, and at `quick` most of their time goes into imports. Called as
a script, this passes its arguments, environment, folder and streams on to `serve`, and ends with
the exit status that comes back.
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

SOCKET = "STARGRAV_WARM_START"  # environment variable: where `serve` listens
STREAMS = (0, 1, 2)
IMPORTS = 120  # seconds that they take at most


def ask() -> int:
    """Have a fork do what this process was called for."""
    call = {"argv": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX) as connection:
        until = time.monotonic() + IMPORTS
        while connection.connect_ex(os.environ[SOCKET]) and time.monotonic() < until:
            time.sleep(0.1)
        socket.send_fds(connection, [b"\0"], STREAMS)
        connection.sendall(json.dumps(call).encode())
        connection.shutdown(socket.SHUT_WR)
        return (connection.recv(1) or b"\1")[0]


def serve(path: str) -> None:
    """Import, then fork for each call until this process is ended."""
    import lightning.pytorch  # noqa: F401
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    import stargrav.experiments.run  # noqa: F401
    from stargrav.experiments import registry

    registry()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    listener.close()
                    status = _answer(connection)
                    connection.send(bytes([status]))
                    os._exit(0)


def _answer(connection: socket.socket) -> int:
    _, streams, _, _ = socket.recv_fds(connection, 1, len(STREAMS))
    for stream, number in zip(streams, STREAMS, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    with connection.makefile("rb") as sent:
        call = json.load(sent)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = ["stargrav", *call["argv"]]
    try:
        from stargrav import cli

        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        sys.exit(ask())
