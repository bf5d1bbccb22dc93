"""Diagnostics of chains: do chains from different starts agree, and how fast do they
forget?

R-hat compares chains of ONE model: the parameters must not change meanwhile.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.cards import card
from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.convergence import bulk_ess, nested_r_hat, split_r_hat, tail_ess
from harmonium.sampling.independence import name_of
from harmonium.sampling.kernel import AbstractKernel, jump_acceptance
from harmonium.typing import PerChain, Positions, RandomKey, Scalar

# Stan's rule for "have mixed"; Vehtari et al. (2021) ask for 1.01, which short chains cannot show.
R_HAT_BELOW = 1.05
# R-hat is about sqrt(1 + 2 tau / draws): here a chain holds no more than some five independent
# draws.
R_HAT_STUCK = 1.2
# Vehtari et al. (2021): below a total of 400, R-hat and ESS are themselves too noisy to be used.
ESS_AT_LEAST = 400.0
N_DIRECTIONS = 3
# Below this, a chain's halves have no variance to compare.
MIN_DRAWS = 4
MAX_CORRELATION = 0.999

Traces = dict[str, Float[Array, "draws chains"]]
Measured = dict[str, Float[np.ndarray, "chains draws"]]


@dataclass(frozen=True)
class ChainDiagnostics:
    """Whether chains from several starts came to one distribution, by the quantity that shows it
    worst.

    The quantities are F(x), |x|², and the projections of x and of E[h|x] on the leading principal
    directions of all draws; those that never vary are left out. Numbers are NaN if a
    quantity was not finite or nothing varied at all. `describe` puts everything into words.
    """

    r_hat: float
    """The worst rank-normalized split R-hat, every chain against all (Vehtari et al. 2021)."""
    start_r_hat: float
    """The worst nested R-hat, one superchain per start (Margossian et al. 2024); NaN with one
    start."""
    worst: str
    """The quantity with the worst `r_hat`, or that was not finite; empty if nothing varied."""
    bulk_ess: float
    """Smallest effective sample size for the middle of a quantity's distribution."""
    tail_ess: float
    """Smallest effective sample size for its 5 % and 95 % quantiles."""
    autocorrelation_time: float
    """Steps per effective draw of the slowest quantity, chains * draws * thin / bulk_ess; at least
    1.

    Times below `thin` cannot be told apart. Chains that disagree count as correlated.
    """
    acceptance: float
    """Mean acceptance over the steps of the draws."""
    n_chains: int
    """Number of chains of all starts together."""
    n_steps: int
    """Steps of each chain, the first half of which is burn-in."""
    starts: tuple[str, ...]
    """Names of the starts."""
    kernel: str
    """Name of the kernel."""
    start_gaps: dict[str, float]
    """How far each start ended from the others; NaN with one start.

    The largest difference, over the quantities, between the mean over its draws and that over all
    other draws, in standard deviations of all draws. Of two starts that share nothing it is 2.
    """
    agrees: bool
    """Whether both R-hats are below 1.05 and the bulk effective sample size is at least 400."""
    jump_acceptance: float = math.nan
    """Share of the jumps by draws of the base that were accepted: whether chains travel; NaN for
    kernels that do not jump."""

    def _repr_html_(self) -> str:
        facts = {
            "worst R-hat": f"{self.r_hat:.3f}, of {self.worst}" if self.worst else None,
            "R-hat between starts": None if math.isnan(self.start_r_hat) else self.start_r_hat,
            "bulk effective sample size": self.bulk_ess,
            "tail effective sample size": self.tail_ess,
            "autocorrelation time": f"{self.autocorrelation_time:.3g} steps",
            "acceptance": self.acceptance,
            "chains": self.n_chains,
        }
        return card("ChainDiagnostics", facts, verdict=self.describe(), trusted=self.agrees)

    def describe(self) -> str:
        """The verdict in one to three plain sentences."""
        chains = f"{self.kernel} chains from {_listed(self.starts)}"
        steps = f"{self.n_steps} steps{self._jumps()}"
        worst = f"the {self.worst}" if self.worst[:1].isalpha() else self.worst
        if math.isnan(self.r_hat):
            if not self.worst:
                return f"{chains} did not move at all in {steps}: nothing can be said of the model."
            return (
                f"{chains} cannot be judged: {worst} did not stay finite. Trust no draws of them."
            )
        r_hat = f"worst R-hat {_rounded(self.r_hat)}, of {worst}"
        ess = f"effective sample size {self.bulk_ess:.0f}"
        if self.agrees:
            return f"{chains} agree after {steps} ({r_hat}; {ess})."
        if self.start_r_hat >= R_HAT_BELOW:
            return f"{chains} do NOT agree after {steps} ({r_hat}): {self._disagreement()}"
        if not self.r_hat < R_HAT_BELOW:
            return f"{chains} {self._average()}{self._slowness()} in {steps} ({r_hat})."
        return (
            f"{chains} show no disagreement after {steps} ({r_hat}), but their {ess} is below "
            f"{ESS_AT_LEAST:.0f}, too small to judge. Try more steps or more chains."
        )

    def _jumps(self) -> str:
        if math.isnan(self.jump_acceptance):
            return ""
        return f" with {self.jump_acceptance:.0%} of their jumps accepted"

    def _disagreement(self) -> str:
        farthest = max(self.start_gaps, key=lambda start: self.start_gaps[start])
        return (
            f"R-hat between the starts is {_rounded(self.start_r_hat)}, and the chains from "
            f"{farthest} ended {self.start_gaps[farthest]:.1f} standard deviations from the rest. "
            "Draws depend on where chains start. Try more steps, or ReplicaExchange."
        )

    def _average(self) -> str:
        return "" if len(self.starts) == 1 else "agree on average, but "

    def _slowness(self) -> str:
        if self.r_hat >= R_HAT_STUCK:
            return (
                "do NOT travel between separate modes, or hardly: each chain sees a part of the "
                "distribution"
            )
        time = f"{self.autocorrelation_time:.0f} steps at least"
        return f"are slow: they forget in {time}, too slowly to judge"


def diagnose_chains(
    key: RandomKey,
    model: Harmonium,
    kernel: AbstractKernel,
    starts: Mapping[str, Positions],
    *,
    n_steps: int = 200,
    thin: int = 2,
    adaptation_rate: float = 0.0,
) -> ChainDiagnostics:
    """Run chains from every start and compare them over the second half, in which the kernel does
    not change.

    `starts` maps names, such as "data" or "base", to positions (chains, visible) in model units,
    equally many for each. Every `thin`-th step is kept. In the first half the step size is adapted
    if a rate is given. Even of chains in equilibrium, R-hat exceeds 1 by about twice the
    autocorrelation time over `n_steps`: a verdict of agreement needs some 40 autocorrelation times.
    Raises `InvalidInputError` for starts or numbers that do not fit.
    """
    _check(starts, model.n_visible, n_steps, thin)
    dtype = model.visible_bias.dtype
    positions = jnp.concatenate([jnp.asarray(rows, dtype) for rows in starts.values()])
    n_draws = n_steps // (2 * thin)
    n_burn_in = n_steps - n_draws * thin
    traces, acceptance, jumps = trace_chains(
        key, model, kernel, positions, n_burn_in, n_draws, thin, adaptation_rate
    )
    measured = {name: np.asarray(trace, float).T for name, trace in traces.items()}
    names = tuple(starts)
    return ChainDiagnostics(
        **_measure(measured, names, thin),
        acceptance=float(acceptance),
        n_chains=positions.shape[0],
        n_steps=n_steps,
        starts=names,
        kernel=name_of(kernel),
        jump_acceptance=float(jumps),
    )


@eqx.filter_jit
def trace_chains(
    key: RandomKey,
    model: Harmonium,
    kernel: AbstractKernel,
    positions: Positions,
    n_burn_in: int,
    n_draws: int,
    thin: int,
    adaptation_rate: float = 0.0,
) -> tuple[Traces, Scalar, Scalar]:
    """The quantities by which chains are compared, and the mean acceptance of moves and of jumps,
    after a burn-in.
    """
    key_init, key_burn_in, key_draws = jax.random.split(key, 3)
    states = init_chains(key_init, model, kernel, positions)
    settled = run_chains(
        key_burn_in, model, kernel, states, n_steps=n_burn_in, adaptation_rate=adaptation_rate
    )

    def draw(states: Any, key: RandomKey):
        moved = run_chains(
            key,
            model,
            settled.kernel,
            states,
            n_steps=thin,
            record=lambda states, info: jnp.mean(jump_acceptance(info)),
        )
        position = moved.states.position
        hidden = jax.vmap(model.hidden_mean)(position)
        accepted = jnp.mean(moved.acceptance), jnp.mean(moved.trace)
        return moved.states, (moved.states.free_energy, position, hidden, accepted)

    keys = jax.random.split(key_draws, n_draws)
    _, (free_energy, visible, hidden, accepted) = jax.lax.scan(draw, settled.states, keys)
    traces = {"free energy": free_energy, "|x|²": jnp.sum(visible**2, axis=-1)}
    traces |= project(visible, "visible units", 1) | project(hidden, "hidden means", N_DIRECTIONS)
    acceptance, jumps = accepted
    return traces, jnp.mean(acceptance), jnp.mean(jumps)


def project(values: Float[Array, "draws chains units"], name: str, n_directions: int) -> Traces:
    """Projections on the leading principal directions; 0 where nothing but rounding varies."""
    rows = values.reshape(-1, values.shape[-1])
    centered = rows - jnp.mean(rows, axis=0, keepdims=True)
    _, directions = jnp.linalg.eigh(centered.T @ centered / rows.shape[0])
    projected = centered @ directions[:, ::-1][:, :n_directions]
    rounding = 100 * jnp.finfo(rows.dtype).eps * jnp.sqrt(jnp.mean(jnp.sum(rows**2, axis=1)))
    constant = jnp.std(projected, axis=0, keepdims=True) <= rounding
    traces = jnp.where(constant, 0, projected).T.reshape(-1, *values.shape[:2])
    return {f"{name}, direction {i + 1}": trace for i, trace in enumerate(traces)}


def _measure(traces: Measured, starts: tuple[str, ...], thin: int) -> dict[str, Any]:
    """Everything of `ChainDiagnostics` that is read from the traces."""
    broken = [name for name, trace in traces.items() if not np.all(np.isfinite(trace))]
    varying = {} if broken else {name: t for name, t in traces.items() if np.ptp(t) > 0}
    if varying:
        return _compare(varying, starts, thin)
    numbers = ("r_hat", "start_r_hat", "bulk_ess", "tail_ess", "autocorrelation_time")
    gaps = dict.fromkeys(starts, math.nan)
    verdict = {"worst": broken[0] if broken else "", "start_gaps": gaps, "agrees": False}
    return dict.fromkeys(numbers, math.nan) | verdict


def _compare(traces: Measured, starts: tuple[str, ...], thin: int) -> dict[str, Any]:
    stacked = np.stack(list(traces.values()))
    r_hats = split_r_hat(stacked)
    r_hat, start_r_hat = float(np.max(r_hats)), math.nan
    if len(starts) > 1:
        start_r_hat = float(np.max(nested_r_hat(stacked, len(starts))))
    smallest_ess = float(np.min(bulk_ess(stacked)))
    return {
        "r_hat": r_hat,
        "start_r_hat": start_r_hat,
        "worst": list(traces)[int(np.argmax(r_hats))],
        "bulk_ess": smallest_ess,
        "tail_ess": float(np.min(tail_ess(stacked))),
        "autocorrelation_time": max(1.0, stacked[0].size * thin / smallest_ess),
        "start_gaps": _gaps(stacked, starts),
        "agrees": r_hat < R_HAT_BELOW
        and not start_r_hat >= R_HAT_BELOW
        and smallest_ess >= ESS_AT_LEAST,
    }


def _gaps(
    stacked: Float[np.ndarray, "quantities chains draws"], starts: tuple[str, ...]
) -> dict[str, float]:
    if len(starts) == 1:
        return {starts[0]: math.nan}
    means = stacked.reshape(len(stacked), len(starts), -1).mean(axis=2)
    others = (means.sum(axis=1, keepdims=True) - means) / (len(starts) - 1)
    gaps = np.abs(means - others) / stacked.std(axis=(1, 2))[:, None]
    return dict(zip(starts, gaps.max(axis=0).tolist(), strict=True))


def lagged_correlation(before: PerChain, after: PerChain) -> Scalar:
    """Correlation, across chains, of F before and after the moves of one update; 0 without
    variance.
    """
    constant = (jnp.ptp(before) == 0) | (jnp.ptp(after) == 0)
    before, after = before - jnp.mean(before), after - jnp.mean(after)
    scale = jnp.sqrt(jnp.sum(before**2) * jnp.sum(after**2))
    constant |= scale == 0
    return jnp.where(constant, 0, jnp.sum(before * after) / jnp.where(constant, 1, scale))


def autocorrelation_time(correlation: Scalar) -> Scalar:
    """Integrated autocorrelation time 1 + 2 (rho + rho² + …) = (1 + rho) / (1 - rho), in updates.

    This holds if F along a chain is autoregressive of order one. What F does not show, such as a
    change between modes of one depth, can be much slower: read it as a lower bound. Rho is
    clipped to [0, 0.999], the time to [1, 1999].
    """
    correlation = jnp.clip(correlation, 0, MAX_CORRELATION)
    return (1 + correlation) / (1 - correlation)


def _check(starts: Mapping[str, Any], n_visible: int, n_steps: int, thin: int) -> None:
    shapes = {name: jnp.shape(rows) for name, rows in starts.items()}
    equal = len(set(shapes.values())) == 1
    fits = equal and all(len(s) == 2 and s[0] >= 2 and s[1] == n_visible for s in shapes.values())
    if fits and thin >= 1 and n_steps >= 2 * MIN_DRAWS * thin:
        return
    raise InvalidInputError(
        describe(
            "diagnose_chains(key, model, kernel, starts, n_steps=..., thin=...)",
            expected=f"named starts, all of one shape (chains, {n_visible}) with at least 2 "
            "chains, "
            f"a thin of at least 1, and n_steps of at least {2 * MIN_DRAWS} * thin",
            got=f"starts of shapes {shapes}, n_steps={n_steps}, thin={thin}",
            hint='starts={"data": rows[:64], "base": sample_base(key, model, 64)}',
        )
    )


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _rounded(r_hat: float) -> str:
    return f"{r_hat:.2f}" if r_hat < 100 else "above 100"
