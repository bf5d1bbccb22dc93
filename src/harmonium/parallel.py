"""Parts of a computation by NumPy side by side, on the cores of this machine.

NumPy and SciPy let go of the interpreter while they compute, so threads do where arrays are large.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

# Numbers in all parts from which on threads gain more than they cost.
LEAST_SIZE = 20_000
# How many threads compute, as XLA reads it too; one per core where it is not set.
NUMBER_VARIABLE = "NPROC"


def side_by_side(function: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """`function` of every part, in their order.

    Threads live no longer than a call, so that processes may fork between calls. How NumPy treats
    errors is as in the thread of the caller.
    """
    parts = list(parts)
    n_threads = min(len(parts), count_threads())
    if n_threads < 2:
        return [function(part) for part in parts]
    # A context can be entered by one thread only.
    contexts = [copy_context() for _ in parts]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(lambda own, part: own.run(function, part), contexts, parts))


def side_by_side_if(
    size: int, function: Callable[[Part], Result], parts: Iterable[Part]
) -> list[Result]:
    """`side_by_side` for so many numbers in all parts; one after the other where these are few."""
    if size < LEAST_SIZE:
        return [function(part) for part in parts]
    return side_by_side(function, parts)


def count_threads() -> int:
    """How many threads may compute: those that `NUMBER_VARIABLE` asks for, or one per core."""
    asked = os.environ.get(NUMBER_VARIABLE, "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
