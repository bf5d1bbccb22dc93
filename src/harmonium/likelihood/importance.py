"""log Z by importance sampling from the exact base, cross-checked by draws of the model.

Weights of draws of the base know nothing of mass where the base has none. So chains of the model
are held against them: some start at resampled draws, some at given rows; their weights show mass
that the base hardly meets, and Bennett's acceptance ratio between the two ends is a second estimate
(Bennett 1976; Shirts and Chodera 2008 for numbers of draws that differ).
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import compiled_briefly
from harmonium.likelihood.annealed import AnnealedEstimate, summarize
from harmonium.likelihood.bridge import LARGEST_WORK, Bridge, bridge
from harmonium.likelihood.modes import NEGLIGIBLE, free_energies
from harmonium.likelihood.result import Evidence, interval
from harmonium.model import Harmonium, Path, base_log_partition
from harmonium.sampling import AbstractKernel
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.importance import (
    LARGEST_PARETO_K,
    WeightedDraws,
    draw_weighted,
    pareto_k,
    weigh,
)
from harmonium.sampling.independence import alternating
from harmonium.sampling.kernel import jump_acceptance
from harmonium.sampling.sample import LOWEST_ACCEPTANCE
from harmonium.sampling.starts import pick_evenly
from harmonium.typing import Batch, Positions, RandomKey, Scalar

N_DRAWS = 65_536
# Where too few of them are effective, four times as many are drawn, up to so many, and up to so
# many numbers: they cost far less than a path from the base to the model.
MOST_DRAWS = 1_048_576
MOST_NUMBERS = 2**25
N_CHAINS = 256
# Of a move and a jump each; the first of them are burn-in.
N_STEPS = 20
N_SETTLING = 8
# Draws behind the estimate that unseen modes are looked for beside.
N_COMPARED = 1024
# Below it, weights are too uneven for their own standard error to be believed.
FEWEST_EFFECTIVE = 400.0
# Standard errors, and nats, by which the two estimates may differ.
SIGMAS = 3.0
ROUNDING = 0.02
# Share of draws of the model that may weigh more than every draw of the base: of n weights with
# Pareto k it is about n^(k - 1).
MOST_BEYOND = 0.05


@dataclass(frozen=True)
class FromBase:
    """What draws of the base say of log Z, before it is judged, and draws (draws, visible) of the
    model behind it.

    `resampled` (more, visible) are draws of the base, taken again by their weights.
    """

    evidence: Evidence
    draws: Batch
    resampled: Float[Array | np.ndarray, "more visible"]


@dataclass(frozen=True)
class _End:
    """Chains of the model after their burn-in: positions (steps, chains, visible), log-weights
    (steps, chains), how they moved.
    """

    positions: Float[np.ndarray, "steps chains visible"]
    log_weights: Float[np.ndarray, "steps chains"]
    acceptance: float
    jump_acceptance: float

    def of(self, chains: slice) -> "_End":
        """Some of the chains."""
        return replace(
            self, positions=self.positions[:, chains], log_weights=self.log_weights[:, chains]
        )


def estimate_from_base(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    found: Positions,
    starts: Batch | None,
) -> FromBase:
    """Weigh draws of the base of a path, and bridge to chains of its model.

    `kernel` is tuned to the model, `found` (chains, visible) is where chains from dispersed starts
    ended, `starts` (rows, visible) are given rows. Where the weights are bad already, no chains are
    run.
    """
    keys = [jax.random.fold_in(key, number) for number in range(5)]
    base = _effective_draws(keys[0], path)
    log_weights = np.asarray(base.log_weights, np.float64)
    with np.errstate(all="ignore"):
        log_base = float(base_log_partition(path.base))
        direct = summarize(log_weights, log_base, np.arange(base.n_draws))
    shape = pareto_k(log_weights)
    evidence = _direct_evidence(direct, shape)
    resampled = base.resampled(keys[4], N_DRAWS)[0]
    if evidence.concerns:
        return FromBase(evidence, base.resampled(keys[1], N_COMPARED)[0], resampled)
    positions, ancestors = base.resampled(keys[1], N_CHAINS)
    if starts is not None:
        (rows,) = pick_evenly(keys[2], (jnp.asarray(starts, positions.dtype),), N_CHAINS)
        positions = np.concatenate([positions, rows])
    end = _model_end(keys[3], path, alternating(kernel, 1), positions)
    own, given = end.of(slice(0, N_CHAINS)), end.of(slice(N_CHAINS, None))
    bridged = _bridge(log_base, log_weights, own, np.asarray(ancestors))
    evidence = _bridged_evidence(evidence, direct, bridged, len(np.unique(ancestors)), own)
    if starts is not None:
        evidence = _with_rows(evidence, _bridge(log_base, log_weights, given, None).value)
    spaced = max(1, own.positions.shape[0] * N_CHAINS // N_COMPARED)
    draws = jnp.asarray(own.positions[spaced - 1 :: spaced].reshape(-1, path.model.n_visible))
    beyond = _beyond(path, base, end, found, draws)
    return FromBase(replace(evidence, concerns=(*evidence.concerns, *beyond)), draws, resampled)


def _effective_draws(key: RandomKey, path: Path) -> WeightedDraws:
    """Draws of the base, so many that enough are effective, or the most that are made.

    More do not help where few carry the weight. Those that were drawn first are among them.
    """
    most = min(MOST_DRAWS, MOST_NUMBERS // path.model.n_visible)
    draws = draw_weighted(key, path, N_DRAWS)
    while draws.n_draws * 4 <= most and 0 < draws.ess() < FEWEST_EFFECTIVE:
        if not pareto_k(draws.log_weights) < LARGEST_PARETO_K:
            break
        draws = draw_weighted(key, path, 4 * draws.n_draws)
    return draws


def _direct_evidence(direct: AnnealedEstimate, shape: float) -> Evidence:
    concerns = []
    if not direct.ess >= FEWEST_EFFECTIVE:
        concerns.append(
            f"the model is far from its base: {direct.ess:.0f} of {direct.n_chains} draws of the "
            "base are "
            f"effective, fewer than {FEWEST_EFFECTIVE:g}"
        )
    if not shape < LARGEST_PARETO_K:
        concerns.append(
            f"few draws of the base carry the weight (Pareto k {shape:.2f}, not below "
            f"{LARGEST_PARETO_K:g})"
        )
    way = f"importance sampling by {direct.n_chains} draws of the base, Pareto k {shape:.2f}"
    return replace(
        direct.as_evidence("importance", way, direct.ess),
        concerns=tuple(concerns),
        pareto_k=shape if np.isfinite(shape) else None,
    )


def _bridged_evidence(
    evidence: Evidence, direct: AnnealedEstimate, bridged: Bridge, n_units: int, own: _End
) -> Evidence:
    """The better of both estimates, with an interval that holds those of both.

    Chains that start at resampled draws share the error of their weights until they have forgotten
    it: the standard error is the larger one of both.
    """
    error = max(direct.standard_error, bridged.standard_error)
    low, high = interval(bridged.value, error, n_units)
    concerns = []
    allowed = SIGMAS * float(np.hypot(direct.standard_error, bridged.standard_error)) + ROUNDING
    if not abs(bridged.value - direct.value) <= allowed:
        concerns.append(
            f"draws of the base give {direct.value:.2f}, draws of the model {bridged.value:.2f}"
        )
    # Either moves them; kernels that do not jump report NaN.
    if not np.fmax(own.acceptance, own.jump_acceptance) >= LOWEST_ACCEPTANCE:
        concerns.append(f"the chains hardly moved (acceptance {own.acceptance:.2f})")
    better = min(direct, bridged, key=lambda found: found.standard_error)
    return replace(
        evidence,
        value=better.value,
        low=min(evidence.low, low),
        high=max(evidence.high, high),
        standard_error=error,
        facts=(
            f"importance sampling by {direct.n_chains} draws of the base, Pareto k "
            f"{evidence.pareto_k:.2f}, and "
            f"bridge sampling to {N_CHAINS} chains of the model, {own.jump_acceptance:.0%} of "
            "their jumps "
            f"accepted, standard error {error:.3f} nats"
        ),
        concerns=(*evidence.concerns, *concerns),
    )


def _with_rows(evidence: Evidence, value: float) -> Evidence:
    """The evidence with its interval stretched to what chains from given rows say."""
    return replace(evidence, low=min(evidence.low, value), high=max(evidence.high, value))


def _beyond(
    path: Path, base: WeightedDraws, end: _End, found: Positions, draws: Batch
) -> list[str]:
    """Concerns about mass of the model where weights exceed those of all draws of the base."""
    largest = float(np.max(base.log_weights))
    concerns = []
    share = float(np.mean(end.log_weights > largest))
    if share > MOST_BEYOND:
        concerns.append(f"{share:.0%} of the draws of the model lie where the base hardly draws")
    energies = free_energies(path.model, np.concatenate([found, draws]))
    low = energies[: len(found)] < np.median(energies[len(found) :]) + NEGLIGIBLE
    share = float(np.mean(low & (weigh(path, found) > largest)))
    if share > MOST_BEYOND:
        concerns.append(
            f"{share:.0%} of the chains from dispersed starts ended where the base hardly draws"
        )
    return concerns


def _bridge(
    log_base: float,
    log_weights: Float[np.ndarray, "draws"],
    end: _End,
    ancestors: np.ndarray | None,
) -> Bridge:
    """Bennett's ratio between draws of the base and those of chains of the model."""
    down = -end.log_weights.T[:, :, None]
    up = -log_weights.reshape(len(down), -1, 1)
    bounded = [
        np.nan_to_num(works, nan=LARGEST_WORK, posinf=LARGEST_WORK, neginf=-LARGEST_WORK)
        for works in (up, down)
    ]
    found = bridge(*bounded, origins=ancestors)
    return replace(found, value=log_base + found.value)


def _model_end(
    key: RandomKey,
    path: Path,
    kernel: AbstractKernel,
    positions: Float[Array | np.ndarray, "chains visible"],
) -> _End:
    trace, acceptance, jumps = _move(key, path.model, kernel, jnp.asarray(positions))
    settled = np.asarray(trace)[N_SETTLING:]
    log_weights = weigh(path, settled.reshape(-1, path.model.n_visible))
    return _End(
        settled,
        log_weights.reshape(settled.shape[:2]),
        float(acceptance),
        float(jumps),
    )


@compiled_briefly
def _move(
    key: RandomKey, model: Harmonium, kernel: AbstractKernel, positions: Positions
) -> tuple[Float[Array, "steps chains visible"], Scalar, Scalar]:
    key_init, key_run = jax.random.split(key)
    states = init_chains(key_init, model, kernel, positions)
    moved = run_chains(
        key_run,
        model,
        kernel,
        states,
        n_steps=N_STEPS,
        record=lambda states, info: (states.position, jnp.mean(jump_acceptance(info))),
    )
    trace, jumps = moved.trace
    return trace, moved.acceptance, jnp.mean(jumps)
