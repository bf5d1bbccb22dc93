"""Damage many files and read them, in a process of bounded memory, with a time limit per case.

Run with `python -m benchmarks.fuzzing --artifacts 10000 --tables 2000`; the exit code is 1 if any case ends in
anything but a result or the library's own words.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.report import publish

# Beyond what the process holds once everything is imported and compiled.
EXTRA_BYTES = 2 << 30
CASE_SECONDS = 60.0

Outcome = tuple[str, str, str]


def main() -> int:
    """Run all cases, print and store the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifacts", type=int, default=10_000)
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    counts: Counter[Outcome] = Counter()
    slowest, peak = 0.0, 0
    for what, n in (("artifact", arguments.artifacts), ("table", arguments.tables)):
        done = 0
        while done < n:
            done, slow, high = _watch(what, arguments.seed, done, n, counts)
            slowest, peak = max(slowest, slow), max(peak, high)
    failed = {key: count for key, count in counts.items() if key[2].startswith("FAILED")}
    rows = [
        {"file": what, "damage": kind, "outcome": ended, "cases": count}
        for (what, kind, ended), count in sorted(counts.items())
    ]
    seconds = time.monotonic() - started
    title = (
        f"{sum(counts.values())} damaged files, seed {arguments.seed}: {sum(failed.values())} failed; "
        f"{seconds:.0f} s, slowest case {slowest:.1f} s, peak memory {peak / 2**20:.0f} MiB"
    )
    publish("fuzzing", title, rows)
    return 1 if failed else 0


def _watch(
    what: str, seed: int, done: int, n: int, counts: Counter[Outcome]
) -> tuple[int, float, int]:
    """Let a process work until it is through, dies, or takes too long; returns the next case to do."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(what, seed, done, n, theirs))
    process.start()
    theirs.close()
    slowest, peak = 0.0, 0
    limit = 10 * CASE_SECONDS  # for the imports
    try:
        while done < n:
            if not ours.poll(limit):
                counts[what, "?", f"FAILED: case {done} takes more than {CASE_SECONDS:g} s"] += 1
                return done + 1, slowest, peak
            kind, ended, seconds, high = ours.recv()
            counts[what, kind, ended] += 1
            done, limit = done + 1, CASE_SECONDS
            slowest, peak = max(slowest, seconds), max(peak, high)
            if ended.startswith("FAILED"):
                print(f"{what} {done - 1} ({kind}): {ended}", flush=True)
    except EOFError:
        process.join()
        counts[what, "?", f"FAILED: case {done} ended the process ({process.exitcode})"] += 1
        return done + 1, slowest, peak
    finally:
        process.kill()
        process.join()
    return done, slowest, peak


def _work(what: str, seed: int, first: int, n: int, pipe: Any) -> None:
    """The cases from `first` on, one message each."""
    from benchmarks.fuzzing.cases import artifact_case, table_case
    from benchmarks.fuzzing.models import save_models

    warnings.simplefilter("ignore")
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115 - for as long as the process lives
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
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
