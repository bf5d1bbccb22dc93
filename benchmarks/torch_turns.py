"""What the scripts of the peers share: batches, turns of updates, numbers of threads. Imported by
them, never by us.
"""

import time
from collections.abc import Callable

import torch  # pyright: ignore[reportMissingImports]

# So many updates.
Update = Callable[[int], None]

DEFAULT_THREADS = torch.get_num_threads()
# Of each number of threads, in turn.
N_TRIALS = 2
N_PRODUCTS = 5


def repeat(one: Callable[[], object]) -> Update:
    """So many calls."""

    def run(n_updates: int) -> None:
        for _ in range(n_updates):
            one()

    return run


def batch_of(data: torch.Tensor, size: int) -> torch.Tensor:
    """Rows at random."""
    return data[torch.randint(len(data), (size,))]


def faster_threads(update: Update) -> int:
    """One thread or torch's own number, whichever is faster; the first update, which compiles, is
    over then.
    """
    update(1)
    trials = [(rate(update, 0.0, n), n) for n in N_TRIALS * [1, DEFAULT_THREADS]]
    return max(trials)[1]


def rate(update: Update, seconds: float, threads: int) -> float:
    """Updates per second over a turn, which ends with the first update after so long."""
    torch.set_num_threads(threads)
    started, n_updates = time.perf_counter(), 0
    while True:
        update(1)
        n_updates += 1
        passed = time.perf_counter() - started
        if passed >= seconds:
            return n_updates / passed


def product_rate(m: int, k: int, n: int) -> float:
    """FLOP/s of the fastest of some float32 products (m, k) @ (k, n)."""
    torch.set_num_threads(DEFAULT_THREADS)
    left, right = torch.randn(m, k), torch.randn(k, n)
    seconds = []
    for _ in range(N_PRODUCTS):
        started = time.perf_counter()
        _ = left @ right
        seconds.append(time.perf_counter() - started)
    return 2.0 * m * k * n / min(seconds)
