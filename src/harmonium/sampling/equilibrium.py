"""The start-point test of a model: do chains from data, from a population and from the base agree?"""

from collections.abc import Mapping

import jax

from harmonium.model import Harmonium, sample_base
from harmonium.sampling.diagnostics import R_HAT_BELOW, ChainDiagnostics, diagnose_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.typing import Positions, RandomKey

CHAINS_PER_START = 32
N_STEPS = (400, 1600)
THIN = 4


def check_equilibrium(
    key: RandomKey,
    model: Harmonium,
    kernel: AbstractKernel,
    starts: Mapping[str, Positions],
    *,
    n_steps: tuple[int, ...] = N_STEPS,
) -> ChainDiagnostics:
    """Run chains from each of the named starts and from exact draws of the base, and compare them.

    Starts are positions (rows, visible), of which 32 are picked. The kernel moves as it is: its step size
    must be tuned. Where the starts agree and the chains are merely too slow to show it, the longer of `n_steps` is tried.
    """
    key_pick, key_base, key_run = jax.random.split(key, 3)
    picked = {
        name: positions[_pick(jax.random.fold_in(key_pick, i), len(positions))]
        for i, (name, positions) in enumerate(starts.items())
    }
    picked["the base"] = sample_base(key_base, model, CHAINS_PER_START)
    found = None
    for turn, steps in enumerate(n_steps):
        key_turn = jax.random.fold_in(key_run, turn)
        found = diagnose_chains(key_turn, model, kernel, picked, n_steps=steps, thin=THIN)
        if found.agrees or not found.start_r_hat < R_HAT_BELOW:
            break
    assert found is not None
    return found


def _pick(key: RandomKey, n_positions: int) -> jax.Array:
    replace = n_positions < CHAINS_PER_START
    return jax.random.choice(key, n_positions, (CHAINS_PER_START,), replace=replace)
