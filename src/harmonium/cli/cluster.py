"""Work on many files by Ray Data: on this machine, or on the cluster that RAY_ADDRESS names."""

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harmonium.errors import HarmoniumError, InvalidInputError

# What is found of one file: plain values, which travel.
Answer = dict[str, Any]
Work = Callable[[Path], Answer]

_log = logging.getLogger(__name__)


def require_ray() -> None:
    """Raise before any work is done if Ray is not there."""
    try:
        is_there = importlib.util.find_spec("ray.data") is not None
    except ImportError:
        is_there = False
    if not is_there:
        raise InvalidInputError(
            "--ray: the package ray is not installed. Try: pip install 'harmonium[ray]'."
        )


def start_ray() -> None:
    """Start Ray unless it runs, until this process ends; it forks, which JAX bears only before it
    is imported.

    Ray is silent: its own lines would mix with those of the command.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = importlib.import_module("ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)


def work_on_files(
    make: Callable[..., Work], arguments: Mapping[str, Any], files: Sequence[Path]
) -> list[Answer]:
    """What the work finds of each file, in the order of `files`.

    `make(**arguments)` is called once in each of the processes, of which there is one per processor
    at most, and what it returns, with one file after the other.
    """
    ray, data = importlib.import_module("ray"), importlib.import_module("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    n_workers = max(1, min(len(files), int(ray.cluster_resources().get("CPU", 1))))
    items = [{"file": str(file.resolve())} for file in files]
    rows = data.from_items(items, override_num_blocks=len(items)).map(
        _Worker,
        fn_constructor_args=(make, dict(arguments)),
        compute=data.ActorPoolStrategy(min_size=1, max_size=n_workers),
    )
    found: dict[str, Answer] = {}
    for row in rows.iter_rows():
        if "error" in row:
            raise InvalidInputError(row["error"])
        found[row["file"]] = row
        _log.debug("%d of %d files done", len(found), len(files))
    return [found[item["file"]] for item in items]


class _Worker:
    """Does the work in a process of its own; what it refuses comes back in words."""

    def __init__(self, make: Callable[..., Work], arguments: dict[str, Any]):
        self._make, self._arguments = make, arguments
        self._work: Work | None = None

    def __call__(self, row: dict[str, Any]) -> Answer:
        try:
            # Here and not before: an error of a constructor would reach the user as a traceback of
            # Ray.
            self._work = self._work or self._make(**self._arguments)
            return {"file": row["file"], **self._work(Path(row["file"]))}
        except HarmoniumError as error:
            return {"file": row["file"], "error": str(error)}
