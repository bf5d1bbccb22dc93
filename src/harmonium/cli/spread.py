"""The tables of a folder spread over the processes of Ray Data, which has to run."""

import importlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harmonium.cli.folders import Answers, Job, Work, attempt


def answers_on_ray(
    make: Callable[..., Work], arguments: Mapping[str, Any], jobs: list[Job]
) -> Answers:
    """What `make(**arguments)` finds of each table, in any order.

    It is made once in each of the processes, of which there is one per processor at most, and works
    on one table after the other.
    """
    if not jobs:
        return
    ray, data = importlib.import_module("ray"), importlib.import_module("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    n_workers = max(1, min(len(jobs), int(ray.cluster_resources().get("CPU", 1))))
    items = [
        {"number": number, "source": str(job.source.resolve()), "result": str(job.result.resolve())}
        for number, job in enumerate(jobs)
    ]
    rows = data.from_items(items, override_num_blocks=len(items)).map(
        Worker,
        fn_constructor_args=(make, dict(arguments)),
        compute=data.ActorPoolStrategy(min_size=1, max_size=n_workers),
    )
    for row in rows.iter_rows():
        yield jobs[row["number"]], json.loads(row["answer"])


class Worker:
    """Does the work in a process of its own; what is wrong with a table comes back in words."""

    def __init__(self, make: Callable[..., Work], arguments: dict[str, Any]):
        self._make, self._arguments = make, arguments
        self._work: Work | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The answer to a row with the paths of a table and its results, as text that travels."""
        answer = attempt(self._do, Path(row["source"]), Path(row["result"]))
        return {"number": row["number"], "answer": json.dumps(answer, default=str)}

    def _do(self, source: Path, result: Path) -> dict[str, Any]:
        # Made here and not before: an error of a constructor would reach the user as a traceback of
        # Ray.
        self._work = self._work or self._make(**self._arguments)
        return self._work(source, result)
