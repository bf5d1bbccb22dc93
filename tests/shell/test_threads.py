"""Kind of truth: contract. The number of threads reaches XLA before it starts, and changes no
result but by rounding."""

import subprocess
import sys

import pytest

from harmonium.cli.threads import (
    FLAGS_VARIABLE,
    NUMBER_VARIABLE,
    PRODUCTS_VARIABLE,
    keep_products_alone,
    limit_threads,
)

PROGRAM = """
import os, sys
from harmonium.cli import app
from harmonium.cli.shell import app as commands

@commands.command()
def probe():
    import jax
    import jax.numpy as jnp
    x = jax.random.normal(jax.random.key(0), (64, 64))
    y = jax.jit(lambda x: jnp.tanh(x @ x).sum())(x)
    print(float(y), len(os.listdir("/proc/self/task")))

app.run(sys.argv[1:])
"""


def probe(*options):
    call = [sys.executable, "-c", PROGRAM, *options, "probe"]
    value, threads = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    return float(value), int(threads)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_fewer_threads_and_the_same_result():
    value, one = probe("--threads", "1")
    other, five = probe("--threads", "5")
    assert value == pytest.approx(other, rel=1e-6)
    # XLA keeps more than one pool of that size.
    assert five - one >= 4


def test_flags_of_the_user_are_kept():
    environment = {FLAGS_VARIABLE: "--xla_dump_to=here"}
    limit_threads(1, environment)
    assert environment[NUMBER_VARIABLE] == "1"
    assert environment[FLAGS_VARIABLE].split() == [
        "--xla_dump_to=here",
        "--xla_cpu_multi_thread_eigen=false",
    ]


def test_no_thread_is_refused():
    call = [sys.executable, "-c", PROGRAM, "--threads", "0", "probe"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--threads" in done.stderr


def test_products_have_one_thread_unless_the_user_says_otherwise():
    environment = {}
    keep_products_alone(environment)
    assert environment == {PRODUCTS_VARIABLE: "1"}
    environment = {PRODUCTS_VARIABLE: "8"}
    keep_products_alone(environment)
    assert environment == {PRODUCTS_VARIABLE: "8"}
