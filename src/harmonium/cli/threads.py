"""How many threads compute: XLA reads two settings when it is first used, NumPy's matrix products
one when it is imported.
"""

from collections.abc import MutableMapping

from harmonium.parallel import NUMBER_VARIABLE

FLAGS_VARIABLE = "XLA_FLAGS"
PRODUCTS_VARIABLE = "OPENBLAS_NUM_THREADS"
# A pool of one thread would still be handed every product, and waited for.
WITHOUT_POOL = "--xla_cpu_multi_thread_eigen=false"


def limit_threads(threads: int, environment: MutableMapping[str, str]) -> None:
    """Set the number of threads of the CPU for processes that start with this environment."""
    environment[NUMBER_VARIABLE] = str(threads)
    if threads == 1:
        flags = environment.get(FLAGS_VARIABLE, "")
        environment[FLAGS_VARIABLE] = f"{flags} {WITHOUT_POOL}".strip()


def keep_products_alone(environment: MutableMapping[str, str]) -> None:
    """One thread for each of NumPy's products, unless the user says otherwise.

    Those of a fit are many and small: more threads gain nothing, and beside other work they spin in
    wait for each other, several times as long as a product takes (docs/decisions.md).
    """
    environment.setdefault(PRODUCTS_VARIABLE, "1")
