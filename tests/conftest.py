"""The numerical strictness of the whole suite, in one place.

Two CPU devices, float64, no silent rank or dtype promotion, and jaxtyping annotations of harmonium
checked at run time. All of it is set before harmonium or jax is imported by a test.
"""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Processes that tests start are many, and would each compile our modules to bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Most of the time of the suite is compilation: neither the optimizer nor the newer way to write
# loops, which takes twice the time of the older one, pays for itself on programs that run once.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false"
)
# Shared reference implementations are imported as `exact.brute`, whatever the import mode.
sys.path.insert(0, str(Path(__file__).parent))

# Modules compile the same code anew after `compiled_code_is_dropped`, and so do both workers and
# every run. Entries are keyed by program, flags and versions; `make clean` drops them.
# Processes that tests start have a folder for every worker, because JAX does not write entries in
# one go; tests themselves do, and share one.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
    Path(__file__).parents[1] / ".cache" / "jax" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# Else the folder would be part of the keys.
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"

import jax
import jaxtyping
import pytest
from jax._src.lru_cache import LRUCache

SHARED = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).with_name("shared")
jax.config.update("jax_compilation_cache_dir", str(SHARED))
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def put_in_one_go(cache: LRUCache, key: str, value: bytes) -> None:
    """Write an entry so that another process sees all of it or nothing."""
    with tempfile.NamedTemporaryFile(dir=cache.path, delete=False) as part:
        part.write(value)
    Path(part.name).replace(Path(cache.path) / f"{key}-cache")


LRUCache.put = put_in_one_go

MATHEMATICS = [
    "harmonium.model",
    "harmonium.sampling",
    "harmonium.likelihood",
    "harmonium.learning",
]
jaxtyping.install_import_hook(MATHEMATICS, "beartype.beartype")


@contextmanager
def without_annotations() -> Iterator[None]:
    """Run-time annotation checks are off, and then as they were."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def unannotated():
    """Run-time annotation checks off, as for a user: the library's own messages appear."""
    with without_annotations():
        yield


@pytest.fixture
def usual_promotion():
    """Dtype promotion as users have it, for what third-party code cannot do strictly."""
    with jax.numpy_dtype_promotion("standard"):
        yield


# Those that take longest. They start first, so that none runs alone at the end; a list that is out
# of date costs a minute, no more.
# fmt: off
LONGEST = [
    "boxes", "importance", "devices", "estimator", "report", "kernels", "checkpoints",
    "log_partition", "population", "negatives", "cli", "truncated_boxes", "noise_contrastive",
    "conditioning", "resume", "bases", "kernels_contract", "imports", "mixed_tables",
    "evaluation", "development_sets",
]
# fmt: on


# Files and functions, FILE::NAME, that `make test` leaves out, beside those that are marked
# themselves: made by `list_slow.py`.
SLOW = set((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").split())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others as they stand; slow tests are marked."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        file = item.path.relative_to(Path(__file__).parents[1]).as_posix()
        if {file, f"{file}::{item.name.partition('[')[0]}"} & SLOW:
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Modules stay: the collector need not look at what they hold, nor as often as it would."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture(scope="module", autouse=True)
def compiled_code_is_dropped():
    """Every executable keeps memory mappings; a thousand tests would use up what a process may
    have."""
    yield
    if mappings_are_many():
        jax.clear_caches()
        gc.collect()


def mappings_are_many() -> bool:
    """Whether this process holds an eighth of those that Linux allows; elsewhere, always."""
    try:
        allowed = int(Path("/proc/sys/vm/max_map_count").read_text())
        with open("/proc/self/maps", "rb") as held:
            return sum(1 for _ in held) > allowed / 8
    except OSError:
        return True
