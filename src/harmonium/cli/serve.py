"""The command that answers requests over HTTP: serve."""

import ipaddress
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium import service
from harmonium.cli.later import Later
from harmonium.cli.layout import wrapped
from harmonium.cli.options import DETECTOR_FILE, MODEL_FILE, existing, find_model
from harmonium.cli.shell import command, errors, progress
from harmonium.errors import InvalidInputError

if TYPE_CHECKING:
    from harmonium.cli import run_card
else:
    run_card = Later("harmonium.cli.run_card")

PACKAGES = ("httptools", "msgspec", "starlette", "uvicorn")
HOW_TO_INSTALL = 'pip install "harmonium[serve]"'


@command
def serve(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder, or a model.safetensors or detector.safetensors.", callback=existing
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen at; 0 takes any that is free.", min=0, max=65535)
    ] = 8000,
    workers: Annotated[
        int, typer.Option(help="Processes that answer; each holds the run.", min=1, max=64)
    ] = 1,
    max_rows: Annotated[int, typer.Option(help="Rows per request.", min=1)] = 4096,
    max_bytes: Annotated[int, typer.Option(help="Bytes per body.", min=1)] = 8 * 2**20,
    time_limit: Annotated[
        float, typer.Option(help="Seconds for an answer, and for a body to arrive.", min=0.1)
    ] = 10.0,
) -> None:
    """Answer requests over HTTP: score, detect, impute and sample, as JSON or Arrow.

    The address itself shows a page for single rows, /docs all endpoints, /model what the run is,
    /health whether it answers, and /metrics counts for Prometheus. Programs are compiled at the
    start. SIGTERM and Ctrl-C let requests come to their end. Requests change nothing: a service
    that was killed is started again, and that is all.

    Example: harmonium serve run --port 8000
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise InvalidInputError(
            f"harmonium serve: expected the packages that serve; got an installation without "
            f"{' and '.join(missing)}. Try: {HOW_TO_INSTALL}."
        )
    limits = service.Limits(
        rows=max_rows, bytes=max_bytes, seconds=time_limit, body_seconds=time_limit
    )
    if not _is_loopback(host):
        warning = (
            f"warning: {host} can be reached from other machines, and whoever reaches it may ask: "
            "there is no password and no encryption. Try: a reverse proxy with both."
        )
        errors.print(wrapped(warning))
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # Says when programs are compiled, of one worker.
    ready = logging.INFO if progress() is errors else logging.WARNING
    logging.getLogger("harmonium.service.warming").setLevel(ready)

    def announce(address: str) -> None:
        print(f"{model} at {address}", flush=True)
        words = "It answers when programs are compiled, the first time after minutes: "
        progress().print(f"{words}{address}/health. Ctrl-C stops.")

    service.serve_run(
        model.name,
        _files(model),
        run_card.find_card(model),
        limits,
        host=host,
        port=port,
        workers=workers,
        announce=announce,
    )


def _files(model: Path) -> tuple[Path, ...]:
    """The files of a run, absolute: workers may be elsewhere."""
    whole = find_model(model).resolve()
    beside = whole.with_name(DETECTOR_FILE)
    return (whole, beside) if whole.name == MODEL_FILE and beside.is_file() else (whole,)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
