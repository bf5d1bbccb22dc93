"""Drawing some coordinates of x given the others, and the mass of what is left open.

Chains of every row are annealed from a Gaussian that is conditioned exactly to the model, so they come with weights:
their mean is the integral of exp(-F) over the open coordinates (annealed importance sampling, Neal 2001).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from harmonium.model import Harmonium
from harmonium.model.precision import full_precision
from harmonium.sampling.hamiltonian import jittered, leapfrog
from harmonium.sampling.langevin import FreeEnergy, LangevinState, evaluate
from harmonium.sampling.metropolis import metropolis
from harmonium.sampling.noise import draw_noise
from harmonium.sampling.opened import Given, Matrix, Opened, Rows, open_rows
from harmonium.sampling.population import (
    effective_sample_size,
    log_mean_exp,
    systematic_indices,
)
from harmonium.typing import RandomKey, Scalar, Visible

TARGET_ACCEPTANCE = 0.8
N_LEAPFROG = 5
FIRST_STEP = 0.25
PILOT_RATE = 0.2
RESAMPLE_BELOW = 0.5

PerRow = Float[Array, "rows"]
StepSizes = Float[Array, "temperatures"]


class ConditionalDraws(NamedTuple):
    """Draws of rows given what is known of them.

    `positions` (rows, kept, chains, visible) holds the chains at `kept` moments; known coordinates are as given.
    `log_mass` (rows,) is an estimate, low by about half of its variance, of log ∫ exp(-F) over what is open;
    `ess` (rows,) the effective sample size of its weights. `acceptance` is the mean over the moves.
    """

    positions: Float[Array, "rows kept chains visible"]
    log_mass: PerRow
    ess: PerRow
    acceptance: Scalar


def draw_conditional(
    key: RandomKey,
    model: Harmonium,
    given: Given,
    *,
    matrix: Matrix | None = None,
    center: Visible | None = None,
    step_sizes: StepSizes | None = None,
    n_chains: int = 16,
    n_temperatures: int = 20,
    n_kept: int = 1,
    n_between: int = 4,
) -> ConditionalDraws:
    """Draw rows x from the model given some coordinates, approximately.

    Coordinates are those of x = `matrix` y (the identity unless given): bounds and draws are of y, for which a
    fitted transform knows what a column is. The reference is the Gaussian of y with mean `center` (0) for which x
    has covariance I/2, conditioned exactly; it is the model itself where W = 0. `n_chains` chains per row climb
    `n_temperatures` steps from it to the model, are resampled among the chains of their row, and are then kept
    `n_kept` times, `n_between` moves apart. `step_sizes` (temperatures,) are those of `tune_conditional`, which
    is asked for them first unless they are given.
    """
    matrix, center = _defaults(model, matrix, center)
    key_tune, key_run = jax.random.split(key)
    if step_sizes is None:
        step_sizes = tune_conditional(
            key_tune, model, given, matrix=matrix, center=center, n_temperatures=n_temperatures
        )
    opened = open_rows(given, matrix, center)
    return _draw(key_run, model, matrix, opened, step_sizes, n_chains, n_kept, n_between)


def tune_conditional(
    key: RandomKey,
    model: Harmonium,
    given: Given,
    *,
    matrix: Matrix | None = None,
    center: Visible | None = None,
    n_temperatures: int = 20,
) -> StepSizes:
    """The step size for every temperature of `draw_conditional`, adapted on one chain per row."""
    matrix, center = _defaults(model, matrix, center)
    opened = open_rows(given, matrix, center)
    steps = jnp.zeros(n_temperatures, center.dtype)
    return _climb(key, model, matrix, opened, steps, 1, True)[1]


def importance_log_mass(
    key: RandomKey,
    model: Harmonium,
    given: Given,
    *,
    matrix: Matrix | None = None,
    center: Visible | None = None,
    n_draws: int,
) -> PerRow:
    """log ∫ exp(-F) over what is open, (rows,), by importance sampling from the conditioned Gaussian: low."""
    matrix, center = _defaults(model, matrix, center)
    opened = open_rows(given, matrix, center)
    noise = jnp.zeros_like(opened.mean)
    return opened_log_mass(key, model, matrix, opened, noise, n_draws)


@full_precision
@eqx.filter_jit
def opened_log_mass(
    key: RandomKey, model: Harmonium, matrix: Matrix, opened: Opened, noise: Rows, n_draws: int
) -> PerRow:
    """The same for rows `matrix` y + `noise` whose coordinates are found already."""

    def log_weight(key: RandomKey, opened: Opened, noise: Visible) -> Scalar:
        t = opened.draw_reference(key)
        free_energy = model.free_energy(matrix @ opened.position(t) + noise)
        return opened.reference_energy(t) + opened.log_jacobian(t) - free_energy

    def of_row(keys: Array, opened: Opened, noise: Visible) -> Scalar:
        return log_mean_exp(jax.vmap(lambda key: log_weight(key, opened, noise))(keys))

    keys = jax.random.split(key, (opened.low.shape[0], n_draws))
    return jax.vmap(of_row)(keys, opened, noise)


def _defaults(
    model: Harmonium, matrix: Matrix | None, center: Visible | None
) -> tuple[Matrix, Visible]:
    size, dtype = model.n_visible, model.visible_bias.dtype
    return (
        jnp.eye(size, dtype=dtype) if matrix is None else matrix,
        jnp.zeros(size, dtype) if center is None else center,
    )


class _Chains(NamedTuple):
    """Chains (rows, chains) in t, with their weights and the logarithm of the mass so far (rows,)."""

    t: Float[Array, "rows chains visible"]
    log_weights: Float[Array, "rows chains"]
    log_mass: PerRow


@full_precision
@eqx.filter_jit
def _climb(
    key: RandomKey,
    model: Harmonium,
    matrix: Matrix,
    opened: Opened,
    step_sizes: StepSizes,
    n_chains: int,
    adapts: bool,
) -> tuple[_Chains, StepSizes]:
    """From the reference to the model, with the step sizes given or, if it adapts, found on the way; and these."""
    n_rows, n_temperatures = opened.low.shape[0], step_sizes.shape[0]
    key_start, key_scan = jax.random.split(key)
    keys = jax.random.split(key_start, (n_rows, n_chains))
    start = jax.vmap(lambda o, k: jax.vmap(o.draw_reference)(k))(opened, keys)
    dtype = start.dtype
    chains = _Chains(start, jnp.zeros((n_rows, n_chains), dtype), jnp.zeros(n_rows, dtype))
    betas = jnp.linspace(0, 1, n_temperatures + 1, dtype=dtype)

    def one_temperature(carry: tuple[_Chains, Scalar], inputs: tuple):
        chains, adapted = carry
        before, beta, frozen, key = inputs
        step_size = adapted if adapts else frozen
        key_resample, key_move = jax.random.split(key)
        chains = _reweight(chains, model, matrix, opened, beta - before)
        chains = _resample(key_resample, chains, RESAMPLE_BELOW)
        t, acceptance = _move(key_move, model, matrix, opened, chains.t, beta, step_size)
        adapted = adapted * jnp.exp(PILOT_RATE * (acceptance - TARGET_ACCEPTANCE))
        return (chains._replace(t=t), adapted), step_size

    keys = jax.random.split(key_scan, n_temperatures)
    carry = (chains, jnp.asarray(FIRST_STEP, dtype))
    inputs = (betas[:-1], betas[1:], step_sizes, keys)
    (chains, _), used = jax.lax.scan(one_temperature, carry, inputs)
    return chains, used


@full_precision
@eqx.filter_jit
def _draw(
    key: RandomKey,
    model: Harmonium,
    matrix: Matrix,
    opened: Opened,
    step_sizes: StepSizes,
    n_chains: int,
    n_kept: int,
    n_between: int,
) -> ConditionalDraws:
    key_climb, key_resample, key_keep = jax.random.split(key, 3)
    weighted, _ = _climb(key_climb, model, matrix, opened, step_sizes, n_chains, False)
    log_mass = weighted.log_mass + jax.vmap(log_mean_exp)(weighted.log_weights)
    ess = jax.vmap(effective_sample_size)(weighted.log_weights)
    settled = _resample(key_resample, weighted, 1.0)
    step_size = step_sizes[-1]

    def keep(t: Array, key: RandomKey):
        def one_move(t: Array, key: RandomKey):
            return _move(key, model, matrix, opened, t, jnp.ones((), t.dtype), step_size)

        t, acceptance = jax.lax.scan(one_move, t, jax.random.split(key, n_between))
        position = jax.vmap(lambda o, t: jax.vmap(o.position)(t))(opened, t)
        return t, (position, jnp.mean(acceptance))

    _, (kept, acceptance) = jax.lax.scan(keep, settled.t, jax.random.split(key_keep, n_kept))
    return ConditionalDraws(jnp.moveaxis(kept, 0, 1), log_mass, ess, jnp.mean(acceptance))


def _energy(model: Harmonium, matrix: Matrix, opened: Opened, beta: Scalar) -> FreeEnergy:
    """(1 - beta) of the reference and beta of the model, in t."""

    def energy(t: Visible) -> Scalar:
        target = model.free_energy(matrix @ opened.position(t)) - opened.log_jacobian(t)
        return (1 - beta) * opened.reference_energy(t) + beta * target

    return energy


def _reweight(
    chains: _Chains, model: Harmonium, matrix: Matrix, opened: Opened, rise: Scalar
) -> _Chains:
    def change(opened: Opened, t: Visible) -> Scalar:
        zero, one = jnp.zeros((), t.dtype), jnp.ones((), t.dtype)
        reference = _energy(model, matrix, opened, zero)(t)
        return rise * (reference - _energy(model, matrix, opened, one)(t))

    changes = jax.vmap(lambda o, t: jax.vmap(lambda t: change(o, t))(t))(opened, chains.t)
    return chains._replace(log_weights=chains.log_weights + changes)


def _resample(key: RandomKey, chains: _Chains, below: float) -> _Chains:
    """Systematic resampling among the chains of a row where its effective sample size is low."""

    def of_row(key: RandomKey, t: Array, log_weights: Array, log_mass: Scalar):
        needed = effective_sample_size(log_weights) < below * log_weights.shape[0]
        chosen = systematic_indices(key, log_weights)
        return (
            jnp.where(needed, t[chosen], t),
            jnp.where(needed, jnp.zeros_like(log_weights), log_weights),
            jnp.where(needed, log_mass + log_mean_exp(log_weights), log_mass),
        )

    keys = jax.random.split(key, chains.log_mass.shape[0])
    return _Chains(*jax.vmap(of_row)(keys, *chains))


def _move(
    key: RandomKey,
    model: Harmonium,
    matrix: Matrix,
    opened: Opened,
    t: Float[Array, "rows chains visible"],
    beta: Scalar,
    step_size: Scalar,
) -> tuple[Float[Array, "rows chains visible"], Scalar]:
    """One Hamiltonian move of every chain, and the mean acceptance."""

    def of_chain(key: RandomKey, opened: Opened, t: Visible):
        energy = _energy(model, matrix, opened, beta)
        return move_free(key, energy, ~opened.is_known, t, step_size)

    def of_row(keys: Array, opened: Opened, t: Array):
        return jax.vmap(lambda key, t: of_chain(key, opened, t))(keys, t)

    keys = jax.random.split(key, t.shape[:2])
    moved, acceptance = jax.vmap(of_row)(keys, opened, t)
    return moved, jnp.mean(acceptance)


@full_precision
def move_free(
    key: RandomKey,
    energy: FreeEnergy,
    is_free: Bool[Array, "visible"],
    t: Visible,
    step_size: Scalar,
) -> tuple[Visible, Scalar]:
    """One Hamiltonian move that leaves exp(-energy) invariant, and its acceptance.

    The energy must not depend on coordinates that are not free; these stay where they are.
    """
    noise, uniform = draw_noise(key, t.size, 2, t.dtype)
    momentum = jnp.where(is_free, noise, 0)
    state = evaluate(energy, t)
    proposal, end = leapfrog(energy, state, momentum, jittered(step_size, uniform[0]), N_LEAPFROG)
    kinetic = (momentum @ momentum - end @ end) / 2
    log_ratio = state.free_energy - proposal.free_energy + kinetic
    moved: LangevinState
    moved, info = metropolis(uniform[1], log_ratio, proposal, state)
    return moved.position, info.acceptance
