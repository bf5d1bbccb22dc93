"""Float64 and strict promotion, whatever a fixture of another folder has left switched on."""

import jax
import pytest


@pytest.fixture(autouse=True)
def double_precision():
    """The setting that the modules of this folder were imported with."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        yield
