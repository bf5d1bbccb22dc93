"""What a command does not need it does not import: by module names, in own processes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from harmonium.estimators import DensityEstimator

COMMAND = """
import atexit, sys
atexit.register(lambda: print("MODULES", *sorted(sys.modules)))
from harmonium.cli import main
main()
"""
# Of the report.
PICTURES = {"matplotlib", "jinja2"}
# Of estimators, which a command does without unless it fills cells.
ESTIMATING = {"sklearn", "scipy.stats"}


def modules_of(*arguments):
    """Top-level and dotted names of all modules that a command has imported at its end."""
    found = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return set(found.stdout.split("MODULES")[1].split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table and a model of its base alone."""
    path = tmp_path_factory.mktemp("imports")
    rows = np.random.default_rng(0).normal(size=(200, 3))
    np.savetxt(path / "table.csv", rows, delimiter=",", header="x1,x2,x3", comments="")
    DensityEstimator(effort="quick").fit(rows).save(path / "model.safetensors")
    return path


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"]])
def test_words_need_no_numbers(arguments):
    heavy = {"jax", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "equinox", "optax"}
    assert not modules_of(*arguments) & (heavy | PICTURES)


@pytest.mark.parametrize("command", ["score", "detect", "impute"])
def test_using_a_model_imports_nothing_that_draws(command, folder):
    if command == "detect":
        arguments = ("fit", folder / "table.csv", "--output", folder / "run", "--effort", "quick")
        modules = modules_of(*arguments, "--no-report")
        assert not modules & (PICTURES | ESTIMATING)
        model = folder / "run" / "detector.safetensors"
    else:
        model = folder / "model.safetensors"
    output = folder / f"{command}.csv"
    modules = modules_of(command, model, folder / "table.csv", "--output", output)
    assert not modules & PICTURES
    assert command == "impute" or not modules & ESTIMATING
    assert output.is_file()
