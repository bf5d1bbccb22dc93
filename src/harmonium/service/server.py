"""Processes and sockets: one worker in this process, or several that share a socket."""

import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from harmonium.errors import HarmoniumError, InvalidInputError
from harmonium.service.app import STOPPING, load_app
from harmonium.service.counters import shared_cells
from harmonium.service.limits import Limits
from harmonium.service.protocol import LimitedConfig
from harmonium.service.run import ServedRun

# A worker is busy for so long at most before it is taken for lost: compiling is part of its start.
LOST_AFTER = 120
# Connections that wait to be accepted.
BACKLOG = 2048


class Supervisor(Multiprocess):
    """Workers that are replaced when they end, also while they are asked whether they are well."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended."""
        # A worker that dies ends the wait for its answer only if nobody here holds its end, too.
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()


def serve_run(
    name: str,
    paths: tuple[Path, ...],
    card: dict[str, Any] | None,
    limits: Limits,
    *,
    host: str,
    port: int,
    workers: int,
    announce: Callable[[str], None],
) -> None:
    """Serve the density and the detector in files of a run, and its card, until SIGTERM or Ctrl-C.

    Requests that are being answered then come to their end. `announce` gets the address, of which
    port 0 takes any that is free. Raises `InvalidInputError` if there is no such address to listen
    at, or it is taken.
    """
    # A damaged run is an error of this process, before any worker starts.
    ServedRun.load(name, paths)
    listening = _listen(host, port)
    cells = shared_cells()
    config = LimitedConfig(
        partial(load_app, name, paths, card, limits, cells),
        limits,
        factory=True,
        workers=workers,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=int(limits.whole_seconds) + 1,
        timeout_worker_healthcheck=LOST_AFTER,
    )
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    announce(f"http://{shown}:{address[1]}")
    with listening:
        if workers == 1:
            # uvicorn raises them once more when it has stopped: it is no failure to be stopped.
            for stopping in STOPPING:
                signal.signal(stopping, signal.SIG_IGN)
            server = uvicorn.Server(config)
            server.run(sockets=[listening])
            failed = not server.started
        else:
            supervisor = Supervisor(config, sockets=[listening])
            supervisor.run()
            failed = any(own.exitcode == STARTUP_FAILURE for own in supervisor.processes)
    if failed:
        raise HarmoniumError(f"{name} could not be served; the lines above say why.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(
            f"--host {host} --port {port}: cannot listen there ({reason.lower()}). Try: another "
            "port, or 0 for any that is free."
        ) from error
