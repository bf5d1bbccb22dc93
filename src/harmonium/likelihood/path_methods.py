"""log Z along a path from the exact base: annealing up and down, and bridges over replica
exchange.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from harmonium.likelihood.annealed import (
    AnnealedEstimate,
    anneal_down,
    anneal_up,
    equally_weighted,
)
from harmonium.likelihood.ladders import LadderEstimate, run_ladders
from harmonium.likelihood.modes import Comparison, compare, with_comparison
from harmonium.likelihood.result import Evidence, interval
from harmonium.model import Path
from harmonium.sampling import AbstractKernel
from harmonium.sampling.population import RESAMPLE_BELOW, Population
from harmonium.sampling.schedule import PathProfile
from harmonium.sampling.starts import pick_evenly
from harmonium.typing import Batch, Positions, RandomKey

TEMPERATURES = (100, 400, 1600, 6400)
EFFECTIVE_SHARE = 0.5
LADDERS_PER_START = 16
MIN_ROUND_TRIPS = 1.0
# Weights of fewer effective chains say nothing about their own error.
MIN_ANNEALED_ESS = 20.0


@dataclass(frozen=True)
class Task:
    """What every Monte-Carlo method is given."""

    path: Path
    kernel: AbstractKernel
    profile: PathProfile
    n_chains: int
    n_temperatures: int | None
    found: Positions
    starts: Batch | None


@dataclass(frozen=True)
class _Exchanged:
    """A population annealed upwards, ladders from there and elsewhere, and what they have not
    seen.
    """

    annealed: AnnealedEstimate
    ladders: LadderEstimate
    comparison: Comparison


def _upwards(key: RandomKey, task: Task, resample_below: float) -> Evidence:
    key_anneal, key_resample, key_compare = jax.random.split(key, 3)

    def anneal(key: RandomKey, n_temperatures: int) -> tuple[AnnealedEstimate, Population]:
        schedule = task.profile.schedule(n_temperatures + 1)
        return anneal_up(
            key, task.path, task.kernel, schedule, task.n_chains, resample_below=resample_below
        )

    estimate, population = _until_effective(key_anneal, task, anneal)
    draws = equally_weighted(key_resample, population)
    comparison = compare(key_compare, task.path.model, task.found, draws)
    name = "sequential Monte Carlo" if resample_below > 0 else "annealed importance sampling"
    method = "smc" if resample_below > 0 else "ais"
    return with_comparison(_annealed_evidence(method, name, estimate), comparison)


def _ais(key: RandomKey, task: Task) -> Evidence:
    return _upwards(key, task, 0.0)


def _smc(key: RandomKey, task: Task) -> Evidence:
    return _upwards(key, task, RESAMPLE_BELOW)


def _reverse_ais(key: RandomKey, task: Task) -> Evidence:
    key_exchange, key_anneal = jax.random.split(key)
    exchanged = _exchange(key_exchange, task)
    available = len(exchanged.ladders.draws)
    # Evenly from the whole run; all there are, if more chains are asked for.
    rows = np.linspace(0, available - 1, min(task.n_chains, available)).round().astype(int)
    draws, origins = exchanged.ladders.draws[rows], rows % exchanged.ladders.n_ladders

    def anneal(key: RandomKey, n_temperatures: int) -> tuple[AnnealedEstimate, None]:
        schedule = task.profile.schedule(n_temperatures + 1)
        return anneal_down(key, task.path, task.kernel, schedule, draws, origins), None

    estimate, _ = _until_effective(key_anneal, task, anneal)
    evidence = _annealed_evidence("reverse_ais", "reverse annealing", estimate)
    bracket = _bracket(exchanged)
    evidence = replace(
        evidence, low=min(evidence.low, bracket[1]), high=max(evidence.high, bracket[0])
    )
    return with_comparison(_with_travel(evidence, exchanged.ladders), exchanged.comparison)


def _bar(key: RandomKey, task: Task) -> Evidence:
    exchanged = _exchange(key, task)
    ladders = exchanged.ladders
    low, high = _bracket(exchanged)
    evidence = Evidence(
        method="bar",
        value=ladders.together.value,
        low=low,
        high=high,
        standard_error=ladders.together.standard_error,
        ess=ladders.ess,
        facts=(
            f"bridge sampling over {ladders.n_levels} levels, {ladders.n_ladders} ladders from "
            f"{' and '.join(ladders.by_start)}, standard error "
            f"{ladders.together.standard_error:.3f} nats, {ladders.round_trips:.1f} round trips "
            "per ladder"
        ),
    )
    return with_comparison(_with_travel(evidence, ladders), exchanged.comparison)


def _bracket(exchanged: _Exchanged) -> tuple[float, float]:
    """The interval of the bridge, stretched to what other starts say.

    Ladders that began at the base miss what no annealing meets, ladders that began elsewhere
    overstate the modes they began in: the bracket holds the estimate of each. Of the annealed
    estimate it holds the nearer end.
    """
    ladders, annealed = exchanged.ladders, exchanged.annealed
    together = interval(ladders.together.value, ladders.together.standard_error, ladders.n_ladders)
    values = [estimate.value for estimate in ladders.by_start.values()]
    low, high = min(together[0], *values), max(together[1], *values)
    if annealed.ess < MIN_ANNEALED_ESS:
        return low, high
    annealed_low, annealed_high = interval(annealed.value, annealed.standard_error, annealed.ess)
    return min(low, annealed_high), max(high, annealed_low)


def _exchange(key: RandomKey, task: Task) -> _Exchanged:
    key_anneal, key_resample, key_compare, key_ladders, key_pick = jax.random.split(key, 5)
    n_temperatures = TEMPERATURES[0] if task.n_temperatures is None else task.n_temperatures
    estimate, population = anneal_up(
        key_anneal,
        task.path,
        task.kernel,
        task.profile.schedule(n_temperatures + 1),
        task.n_chains,
        resample_below=RESAMPLE_BELOW,
    )
    annealed = equally_weighted(key_resample, population)
    starts = {"the base": annealed, "dispersed starts": task.found}
    if task.starts is not None:
        starts["given rows"] = jnp.asarray(task.starts, annealed.dtype)
    picked = pick_evenly(key_pick, tuple(starts.values()), LADDERS_PER_START)
    named = dict(zip(starts, picked, strict=True))
    ladders = run_ladders(key_ladders, task.path, task.kernel, task.profile, named)
    comparison = compare(key_compare, task.path.model, task.found, ladders.draws)
    return _Exchanged(estimate, ladders, comparison)


def _until_effective(key: RandomKey, task: Task, anneal: Callable[[RandomKey, int], tuple]):
    """The first annealing of growing length whose weights are effective; the last in any case."""
    lengths = TEMPERATURES if task.n_temperatures is None else (task.n_temperatures,)
    found = None
    for turn, n_temperatures in enumerate(lengths):
        found = anneal(jax.random.fold_in(key, turn), n_temperatures)
        if found[0].ess >= EFFECTIVE_SHARE * found[0].n_chains:
            break
    assert found is not None
    return found


def _annealed_evidence(method: str, name: str, estimate: AnnealedEstimate) -> Evidence:
    return estimate.as_evidence(method, f"{name}, {estimate.n_chains} chains", estimate.n_units)


def _with_travel(evidence: Evidence, ladders: LadderEstimate) -> Evidence:
    if ladders.round_trips >= MIN_ROUND_TRIPS:
        return evidence
    concern = (
        f"replicas hardly travel between base and model ({ladders.round_trips:.1f} round trips "
        "per ladder)"
    )
    return replace(evidence, concerns=(*evidence.concerns, concern))


PATH_METHODS: dict[str, Callable[[RandomKey, Task], Evidence]] = {
    "ais": _ais,
    "reverse_ais": _reverse_ais,
    "bar": _bar,
    "smc": _smc,
}
