"""The process that works on cases, apart so that one of them may kill it."""

import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

# Beyond what the process holds once everything is imported and compiled.
EXTRA_BYTES = 2 << 30


def work(what: str, seed: int, first: int, n: int, pipe: Any) -> None:
    """The cases from `first` on, one message each."""
    from benchmarks.fuzzing.cases import artifact_case, table_case
    from benchmarks.fuzzing.models import save_models

    warnings.simplefilter("ignore")
    # Compiled code warns on the error channel, past Python.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = save_models(folder)
        sources = [path.read_bytes() for path in paths]
        model = next(path for path in paths if path.stem == "mixed")
        _limit_memory()
        for number in range(first, n):
            started = time.monotonic()
            if what == "artifact":
                kind, ended = artifact_case(seed, number, sources, folder)
            else:
                kind, ended = table_case(seed, number, model, folder)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            pipe.send((kind, ended, time.monotonic() - started, peak))


def _limit_memory() -> None:
    """The child may take so much more, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
