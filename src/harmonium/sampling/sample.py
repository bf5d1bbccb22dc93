"""Drawing from a model: annealed from the exact base, then moved by a kernel."""

from dataclasses import dataclass

import equinox as eqx
import jax

from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium
from harmonium.sampling.chains import run_chains
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.population import Population, anneal_population, default_kernel, resample
from harmonium.typing import Positions, RandomKey

ANNEALING_STEPS = 2


@dataclass(frozen=True)
class SampleDiagnostics:
    """How a sample came about: acceptance of the final moves, step size, weights, distinct ancestors."""

    kernel: str
    acceptance: float
    step_size: float
    ess: float
    n_ancestors: int


@dataclass(frozen=True)
class SampleResult:
    """Draws in model units, shape (n, visible), with their diagnostics."""

    samples: Positions
    diagnostics: SampleDiagnostics


def sample(
    model: Harmonium,
    n: int,
    *,
    key: RandomKey,
    kernel: AbstractKernel | None = None,
    n_steps: int = 500,
    n_chains: int | None = None,
) -> SampleResult:
    """Draw n rows x from p(x), approximately: chains annealed from the exact base, then moved.

    Chains start at exact draws of the base, follow beta to 1 with weights and resampling over
    half of the steps, and move with frozen step size for the other half. `kernel` is exact block Gibbs
    for affine feature maps and MALA otherwise, unless given. At least `n_chains` (256) chains run,
    because few chains weigh modes badly; n of them are returned. Raises `InvalidInputError` for n < 1.
    """
    if n < 1 or n_steps < 1:
        raise InvalidInputError(
            describe(
                "sample(model, n, n_steps=...)",
                expected="n and n_steps of at least 1",
                got=f"n={n}, n_steps={n_steps}",
            )
        )
    kernel = default_kernel(model) if kernel is None else kernel
    key_anneal, key_move = jax.random.split(key)
    n_chains = max(n, 256) if n_chains is None else max(n, n_chains)
    n_temperatures = max(1, n_steps // (2 * ANNEALING_STEPS))
    population = anneal_population(
        key_anneal, model, kernel, n_chains, n_temperatures=n_temperatures, n_steps=ANNEALING_STEPS
    )
    return continue_population(population, model, n, key=key_move, n_steps=max(1, n_steps // 2))


def continue_population(
    population: Population, model: Harmonium, n: int, *, key: RandomKey, n_steps: int
) -> SampleResult:
    """Draw n rows by moving a population that stands for `model` on for `n_steps` frozen steps."""
    settled, acceptance = _settle(key, population, model, n_steps)
    ess = float(population.ess())
    diagnostics = SampleDiagnostics(
        kernel=type(settled.kernel).__name__,
        acceptance=float(acceptance),
        step_size=float(settled.kernel.step_size),
        ess=ess,
        n_ancestors=len(set(settled.ancestors.tolist())),
    )
    return SampleResult(settled.states.position[:n], diagnostics)


@eqx.filter_jit
def _settle(key: RandomKey, population: Population, model: Harmonium, n_steps: int):
    key_resample, key_shuffle, key_move = jax.random.split(key, 3)
    population = resample(key_resample, population, below=1.0)
    # Systematic resampling sorts copies next to each other; a sample is read from the front.
    order = jax.random.permutation(key_shuffle, population.n_chains)
    states, ancestors = jax.tree.map(
        lambda leaf: leaf[order], (population.states, population.ancestors)
    )
    moved = run_chains(key_move, model, population.kernel, states, n_steps=n_steps)
    settled = eqx.tree_at(lambda p: (p.states, p.ancestors), population, (moved.states, ancestors))
    return settled, moved.acceptance
