"""Weak and strong scaling of updates over simulated devices, and what travels between them.

`python -m benchmarks.scaling [--devices 1 2 4 8] [--updates 50] [--repeats 5]`

Each number of devices runs in a process of its own, in which XLA divides the CPU into so many
devices; rounds over the numbers alternate, and the median counts. Strong: the same chains and rows
for all. Weak: chains and rows grow with the devices. Simulated devices share the cores of the
machine, so that time per update cannot fall with more devices than cores: what the table shows is
what the layout adds (exchange, smaller pieces), and that the work of a device does shrink. The
bytes are those of the compiled program.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import harmonium as hm
from benchmarks.report import Row, publish
from harmonium.learning.devices import on_devices, replicate, use_devices
from harmonium.learning.rows import CompleteRows
from harmonium.learning.trainer import Control, FitSettings, State, Trainer, default_optimizer

N_VISIBLE, WIDTH, N_HIDDEN, N_ROWS = 64, 256, 128, 4096
# Of one device, or of all of them together: multiples of 8 devices.
N_CHAINS, BATCH_SIZE = 384, 512
# Updates of one compiled call.
PER_CALL = 10

EXCHANGES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
BYTES = {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "pred": 1}


def make_trainer(n_chains: int, batch_size: int) -> tuple[Trainer, State]:
    """Maximum likelihood with the default population, of the size of a 64-column table."""
    keys = jax.random.split(jax.random.key(0), 4)
    feature_map = hm.feature_maps.MLP(N_VISIBLE, (WIDTH,), key=keys[0])
    model = hm.Harmonium(N_VISIBLE, N_HIDDEN, feature_map=feature_map, key=keys[1])
    rows = jax.random.normal(keys[2], (N_ROWS, N_VISIBLE)) / math.sqrt(2)
    trainer = Trainer(
        objective=hm.MaximumLikelihood(hm.WeightedPopulation(n_chains=n_chains)),
        optimizer=default_optimizer(),
        settings=FitSettings(batch_size=batch_size),
        training=CompleteRows(rows),
        held_out=CompleteRows(rows[:512]),
        static=eqx.filter(model, eqx.is_inexact_array, inverse=True),
        updates_per_evaluation=PER_CALL,
    )
    return trainer, trainer.start(keys[3], keys[3], model)


def measure(n_devices: int, n_chains: int, batch_size: int, updates: int) -> dict[str, float]:
    """Seconds per update after compilation, and bytes that one device sends or receives in an
    update.
    """
    with use_devices(n_devices), on_devices():
        trainer, state = replicate(make_trainer(n_chains, batch_size))
        control = Control(jnp.asarray(1e4), jnp.asarray(1.0))
        arrays, static = eqx.partition((trainer, state), eqx.is_array)

        @jax.jit
        def advance(arrays: Any) -> Any:
            trainer, state = eqx.combine(arrays, static)
            state, _ = trainer.advance(state, trainer.training, control)
            return eqx.filter((trainer, state), eqx.is_array)

        program = advance.lower(arrays).compile()
        always, resampling = exchanged_bytes(program.as_text() or "")
        arrays = jax.block_until_ready(program(arrays))
        n_calls = max(1, updates // PER_CALL)
        started = time.perf_counter()
        for _ in range(n_calls):
            arrays = program(arrays)
        jax.block_until_ready(arrays)
        seconds = (time.perf_counter() - started) / (n_calls * PER_CALL)
    return {"seconds": seconds, "bytes": always, "resampling": resampling}


def exchanged_bytes(program: str) -> tuple[int, int]:
    """Sizes of the results of all exchanges of a compiled program: at every update, and where
    chains are resampled.
    """
    always = resampling = 0
    for line in program.splitlines():
        found = re.search(rf"= (.*?) (?:{EXCHANGES})(?:-start)?\(", line)
        if found is None:
            continue
        arrays = re.findall(r"(\w+)\[([\d,]*)\]", found[1])
        size = sum(
            BYTES[kind] * math.prod(map(int, filter(None, shape.split(","))))
            for kind, shape in arrays
        )
        if "cond/branch" in line:
            resampling += size
        else:
            always += size
    return always, resampling


def run_apart(n_devices: int, scale: int, updates: int) -> dict[str, float]:
    """`measure` in a process with so many devices, with chains and rows for `scale` devices."""
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    numbers = (n_devices, scale * N_CHAINS, scale * BATCH_SIZE, updates)
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "--measure", *map(str, numbers)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def scaling(kind: str, counts: list[int], updates: int, repeats: int) -> list[Row]:
    """One row per number of devices, against the first."""
    found: dict[int, list[dict[str, float]]] = {n: [] for n in counts}
    for _ in range(repeats):
        for n in counts:
            found[n].append(run_apart(n, n if kind == "weak" else 1, updates))
    rows: list[Row] = []
    seconds = {n: statistics.median(run["seconds"] for run in runs) for n, runs in found.items()}
    first = counts[0]
    base = first if kind == "weak" else 1
    for n in counts:
        work = n if kind == "weak" else 1
        rows.append(
            {
                "scaling": kind,
                "devices": n,
                "chains": work * 2 * N_CHAINS,
                "rows per update": work * BATCH_SIZE,
                "ms per update": 1e3 * seconds[n],
                "work per second / that of the first": work * seconds[first] / seconds[n] / base,
                "kB exchanged per update": found[n][0]["bytes"] / 1e3,
                "kB where resampled": found[n][0]["resampling"] / 1e3,
            }
        )
    return rows


def main() -> None:
    """Both tables, or one measurement for a process that makes them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", type=int, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    rows = [
        row
        for kind in ("strong", "weak")
        for row in scaling(kind, options.devices, options.updates, options.repeats)
    ]
    publish("scaling", f"simulated devices on {os.cpu_count()} cores", rows)


if __name__ == "__main__":
    main()
