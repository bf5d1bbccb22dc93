"""Damage many files and read them, in a process of bounded memory, with a time limit per case.

Run with `python -m benchmarks.fuzzing --artifacts 10000 --tables 2000`; the exit code is 1 if any
case ends in anything but a result or the library's own words.
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from benchmarks.fuzzing.worker import work
from benchmarks.report import publish

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
    slowest, peak = (0.0, ""), 0
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
        f"{sum(counts.values())} damaged files, seed {arguments.seed}: {sum(failed.values())} "
        "failed; "
        f"{seconds:.0f} s, slowest case {slowest[0]:.1f} s ({slowest[1]}), peak memory "
        f"{peak / 2**20:.0f} MiB"
    )
    publish("fuzzing", title, rows)
    return 1 if failed else 0


def _watch(
    what: str, seed: int, done: int, n: int, counts: Counter[Outcome]
) -> tuple[int, tuple[float, str], int]:
    """Let a process work until it is through, dies, or takes too long; returns the next case to
    do.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(what, seed, done, n, theirs))
    process.start()
    theirs.close()
    slowest, peak = (0.0, ""), 0
    limit = 10 * CASE_SECONDS  # for the imports
    try:
        while done < n:
            if not ours.poll(limit):
                counts[what, "?", f"FAILED: case {done} takes more than {CASE_SECONDS:g} s"] += 1
                return done + 1, slowest, peak
            kind, ended, seconds, high = ours.recv()
            counts[what, kind, ended] += 1
            done, limit = done + 1, CASE_SECONDS
            slowest, peak = max(slowest, (seconds, f"{what}, {kind}")), max(peak, high)
            if ended.startswith("FAILED"):
                print(f"{what} {done - 1} ({kind}): {ended}", flush=True)
    except EOFError:
        process.join()
        if not done:
            raise RuntimeError("the process of the cases does not start") from None
        counts[what, "?", f"FAILED: case {done} ended the process ({process.exitcode})"] += 1
        return done + 1, slowest, peak
    finally:
        process.kill()
        process.join()
    return done, slowest, peak


if __name__ == "__main__":
    sys.exit(main())
