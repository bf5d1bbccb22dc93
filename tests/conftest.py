"""The numerical strictness of the whole suite, in one place.

Two CPU devices, float64, no silent rank or dtype promotion, and jaxtyping annotations of harmonium
checked at run time. All of it is set before harmonium or jax is imported by a test.
"""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time of the suite is compilation, of which the optimizer takes a quarter.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
)
# Shared reference implementations are imported as `exact.brute`, whatever the import mode.
sys.path.insert(0, str(Path(__file__).parent))

# Modules compile the same code anew after `compiled_code_is_dropped`, and so do every run and every
# process that a test starts: most of the time of the suite. Entries are keyed by program, flags and
# versions; `make clean` drops them. Every process that runs tests has a folder of its own, because
# JAX does not write entries in one go.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
    Path(__file__).parents[1] / ".cache" / "jax" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

MATHEMATICS = [
    "harmonium.model",
    "harmonium.sampling",
    "harmonium.likelihood",
    "harmonium.learning",
]
jaxtyping.install_import_hook(MATHEMATICS, "beartype.beartype")


@pytest.fixture
def unannotated():
    """Run-time annotation checks off, as for a user: the library's own messages appear."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def usual_promotion():
    """Dtype promotion as users have it, for what third-party code cannot do strictly."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module", autouse=True)
def compiled_code_is_dropped():
    """Every executable keeps memory mappings; a thousand tests would use up what a process may
    have."""
    yield
    jax.clear_caches()
    gc.collect()
