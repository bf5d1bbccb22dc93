"""The start-point test of a model: do chains from data, from a population and from the base
agree?
"""

from collections.abc import Mapping

import equinox as eqx
import jax

from harmonium.model import Harmonium, sample_base
from harmonium.sampling.chains import ADAPTATION_RATE
from harmonium.sampling.diagnostics import ChainDiagnostics, diagnose_chains
from harmonium.sampling.independence import Alternate, alternating
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.starts import pick_evenly
from harmonium.typing import Positions, RandomKey

CHAINS_PER_START = 32
N_STEPS = 1200
THIN = 4
# Steps of a move and a jump each, which forget sooner.
N_JUMPING_STEPS = 600
JUMPING_THIN = 3


def check_equilibrium(
    key: RandomKey, model: Harmonium, kernel: AbstractKernel, starts: Mapping[str, Positions]
) -> ChainDiagnostics:
    """Run chains from each of the named starts and from exact draws of the base, and compare them.

    Starts are positions (rows, visible), of which 32 are picked, at even distances; some more than
    once if there are fewer. The step size of the kernel is adapted over the first half of the
    steps. Where the base has modes, a jump between them follows every move (`Alternate`), for half
    of the steps; `jump_acceptance` of the result shows whether chains travel. Kernels of several
    replicas move as they are.
    """
    key_pick, key_base, key_run = jax.random.split(key, 3)
    picked = pick_evenly(key_pick, tuple(starts.values()), CHAINS_PER_START)
    base = eqx.filter_jit(sample_base)(key_base, model, CHAINS_PER_START)
    named = dict(zip([*starts, "the base"], [*picked, base], strict=True))
    jumping = alternating(kernel, 1) if model.base.has_modes else kernel
    is_jumping = isinstance(jumping, Alternate)
    return diagnose_chains(
        key_run,
        model,
        jumping,
        named,
        n_steps=N_JUMPING_STEPS if is_jumping else N_STEPS,
        thin=JUMPING_THIN if is_jumping else THIN,
        adaptation_rate=ADAPTATION_RATE,
    )
