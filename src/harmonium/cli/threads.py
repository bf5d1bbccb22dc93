"""How many threads compute; XLA reads both settings when it is first used, and has no others."""

from collections.abc import MutableMapping

NUMBER_VARIABLE = "NPROC"
FLAGS_VARIABLE = "XLA_FLAGS"
# A pool of one thread would still be handed every product, and waited for.
WITHOUT_POOL = "--xla_cpu_multi_thread_eigen=false"


def limit_threads(threads: int, environment: MutableMapping[str, str]) -> None:
    """Set the number of threads of the CPU for processes that start with this environment."""
    environment[NUMBER_VARIABLE] = str(threads)
    if threads == 1:
        flags = environment.get(FLAGS_VARIABLE, "")
        environment[FLAGS_VARIABLE] = f"{flags} {WITHOUT_POOL}".strip()
