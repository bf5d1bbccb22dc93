"""The start-point test of a model: do chains from data, from a population and from the base agree?"""

from collections.abc import Mapping

import equinox as eqx
import jax

from harmonium.model import Harmonium, sample_base
from harmonium.sampling.diagnostics import ChainDiagnostics, diagnose_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.starts import pick_evenly
from harmonium.typing import Positions, RandomKey

CHAINS_PER_START = 32
N_STEPS = 1200
THIN = 4


def check_equilibrium(
    key: RandomKey, model: Harmonium, kernel: AbstractKernel, starts: Mapping[str, Positions]
) -> ChainDiagnostics:
    """Run chains from each of the named starts and from exact draws of the base, and compare them.

    Starts are positions (rows, visible), of which 32 are picked, at even distances; some more than once if there are fewer. The kernel moves as it is: its step size
    must be tuned.
    """
    key_pick, key_base, key_run = jax.random.split(key, 3)
    picked = pick_evenly(key_pick, tuple(starts.values()), CHAINS_PER_START)
    base = eqx.filter_jit(sample_base)(key_base, model, CHAINS_PER_START)
    named = dict(zip([*starts, "the base"], [*picked, base], strict=True))
    return diagnose_chains(key_run, model, kernel, named, n_steps=N_STEPS, thin=THIN)
