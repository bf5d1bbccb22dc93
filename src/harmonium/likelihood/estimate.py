"""log Z with its uncertainty: one entry point for all methods."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from harmonium.errors import InfeasibleError, InvalidInputError, describe
from harmonium.likelihood.annealed import (
    AnnealedEstimate,
    anneal_down,
    anneal_up,
    equally_weighted,
)
from harmonium.likelihood.importance import estimate_from_base
from harmonium.likelihood.ladders import LadderEstimate, run_ladders
from harmonium.likelihood.modes import Comparison, compare, with_comparison
from harmonium.likelihood.result import Evidence, LogPartition, exact_result, interval, judge
from harmonium.model import (
    Harmonium,
    Path,
    base_log_partition,
    check_finite,
    exact_log_partition,
    quadrature_log_partition,
)
from harmonium.model.oracles import MAX_QUADRATURE_VISIBLE
from harmonium.sampling import AbstractKernel
from harmonium.sampling.population import RESAMPLE_BELOW, Population, default_kernel
from harmonium.sampling.replica_exchange import ReplicaExchange
from harmonium.sampling.schedule import PathProfile, profile_path
from harmonium.sampling.starts import find_modes, pick_evenly
from harmonium.sampling.tuning import centered_path
from harmonium.typing import Batch, Positions, RandomKey

_log = logging.getLogger(__name__)

Method = Literal["auto", "exact", "quadrature", "importance", "ais", "reverse_ais", "bar", "smc"]

MAX_AUTO_ENUMERATED_HIDDEN = 16
# Quadrature has grids of its own for every component of the base, of a second or so each.
MAX_AUTO_QUADRATURE_COMPONENTS = 4
TEMPERATURES = (100, 400, 1600, 6400)
EFFECTIVE_SHARE = 0.5
LADDERS_PER_START = 16
MIN_ROUND_TRIPS = 1.0
# Weights of fewer effective chains tell nothing about their own error.
MIN_ANNEALED_ESS = 20.0


@dataclass(frozen=True)
class _Task:
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


def estimate_log_partition(
    model: Harmonium,
    *,
    key: RandomKey,
    method: Method = "auto",
    kernel: AbstractKernel | None = None,
    n_chains: int = 512,
    n_temperatures: int | None = None,
    starts: Batch | None = None,
) -> LogPartition:
    """Log Z of a model in nats, with an interval and a verdict.

    "exact" enumerates hidden states (affine f) or integrates (n <= 2); "quadrature" integrates. The
    others come from the exact base (theory, section 6). "importance" weighs its draws and bridges
    to chains of the model; it costs least, and is trusted only where the model is near to its base.
    The rest follow a path: "ais" anneals upwards, in expectation from below; "reverse_ais" anneals
    downwards from draws of replica exchange, from above; "smc" anneals upwards with resampling;
    "bar" bridges neighboring levels of replica exchange, started from below and from above, and is
    the most accurate. "auto" is exact where that is cheap (affine f of few hidden units, or one or
    two visible units over few components of the base), then "importance" where that can be trusted,
    and "bar" elsewhere.

    `kernel` moves the chains, or the replicas of a ladder (default: block Gibbs for affine f, `HMC`
    otherwise). `n_chains` and `n_temperatures` set the cost of annealing; without the latter, the
    number of temperatures grows until the effective sample size is half of the chains or 6400 are
    reached (stopping by its own weights costs an estimate a little of its unbiasedness). `starts`
    (rows, visible) are positions in model units from which ladders of "bar" and "reverse_ais", and
    chains of "importance", begin as well, such as rows of the data: they guard against modes that
    the base does not lead to.

    All Monte-Carlo methods also look for mass elsewhere, by chains from dispersed starts. Raises
    `InfeasibleError` when an exact method cannot be used and `InvalidInputError` for settings that
    cannot work.
    """
    _check_request(model, method, kernel, n_chains, n_temperatures, starts)
    if method == "exact":
        return exact_result(exact_log_partition(model), "exact")
    if method == "quadrature":
        return exact_result(quadrature_log_partition(model), "quadrature")
    if method == "auto" and (known := _cheaply_exact(model)) is not None:
        return known
    key_find, key_profile, key_method = jax.random.split(key, 3)
    kernel = default_kernel(model) if kernel is None else kernel
    found, kernel = find_modes(key_find, model, kernel)
    rows = found if starts is None else jnp.asarray(starts, found.dtype)
    path = centered_path(model, rows)
    if method in ("auto", "importance"):
        result = _judged(_importance(key_method, path, kernel, found, starts), kernel)
        if method == "importance" or result.trusted:
            return result
        _log.info("replica exchange: %s", result.verdict)
    profile = profile_path(key_profile, path, kernel)
    task = _Task(path, kernel, profile, n_chains, n_temperatures, found, starts)
    estimator = _METHODS["bar" if method == "auto" else method]
    return _judged(estimator(key_method, task), kernel)


def _judged(evidence: Evidence, kernel: AbstractKernel) -> LogPartition:
    if not kernel.is_exact:
        concern = f"{type(kernel).__name__} does not leave the levels invariant"
        evidence = replace(evidence, concerns=(*evidence.concerns, concern))
    return judge(evidence)


def _check_request(
    model: Harmonium,
    method: str,
    kernel: AbstractKernel | None,
    n_chains: int,
    n_temperatures: int | None,
    starts: Batch | None,
) -> None:
    if method not in get_args(Method):
        raise _refused("method=...", f"one of {list(get_args(Method))}", repr(method))
    if isinstance(kernel, ReplicaExchange):
        raise _refused(
            "kernel=...", "a kernel for the levels: ladders are made of it", "a ReplicaExchange"
        )
    if n_chains < 2 or (n_temperatures is not None and n_temperatures < 1):
        raise _refused(
            "n_chains=..., n_temperatures=...",
            "at least two chains and one temperature, or None",
            f"n_chains={n_chains}, n_temperatures={n_temperatures}",
        )
    if starts is not None:
        shape = jnp.shape(starts)
        if len(shape) != 2 or shape[0] < 1 or shape[1] != model.n_visible:
            wanted = f"rows of shape (rows, {model.n_visible}), at least one"
            raise _refused("starts=...", wanted, f"shape {shape}")
        if not np.isfinite(np.asarray(starts)).all():
            raise _refused("starts=...", "finite rows", "NaN or inf")
    check_finite("estimate_log_partition(model)", model)


def _refused(argument: str, expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(
        describe(f"estimate_log_partition({argument})", expected=expected, got=got)
    )


def _cheaply_exact(model: Harmonium) -> LogPartition | None:
    if not np.any(np.asarray(model.weights)):
        return exact_result(float(base_log_partition(model)), "exact")
    if model.is_affine and model.n_hidden <= MAX_AUTO_ENUMERATED_HIDDEN:
        return exact_result(exact_log_partition(model), "exact")
    _, base = model.base.tilted(model.visible_bias)
    too_many = base.n_components > MAX_AUTO_QUADRATURE_COMPONENTS
    if model.n_visible > MAX_QUADRATURE_VISIBLE or too_many:
        return None
    try:
        return exact_result(quadrature_log_partition(model), "quadrature")
    except InfeasibleError:
        return None


def _importance(
    key: RandomKey, path: Path, kernel: AbstractKernel, found: Positions, starts: Batch | None
) -> Evidence:
    key_estimate, key_compare = jax.random.split(key)
    from_base = estimate_from_base(key_estimate, path, kernel, found, starts)
    comparison = compare(key_compare, path.model, found, from_base.draws, from_base.resampled)
    return with_comparison(from_base.evidence, comparison)


def _upwards(key: RandomKey, task: _Task, resample_below: float) -> Evidence:
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


def _ais(key: RandomKey, task: _Task) -> Evidence:
    return _upwards(key, task, 0.0)


def _smc(key: RandomKey, task: _Task) -> Evidence:
    return _upwards(key, task, RESAMPLE_BELOW)


def _reverse_ais(key: RandomKey, task: _Task) -> Evidence:
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


def _bar(key: RandomKey, task: _Task) -> Evidence:
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
            f"{ladders.together.standard_error:.3f} nats, {ladders.round_trips:.1f} round trips per "
            "ladder"
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


_METHODS: dict[str, Callable[[RandomKey, _Task], Evidence]] = {
    "ais": _ais,
    "reverse_ais": _reverse_ais,
    "bar": _bar,
    "smc": _smc,
}


def _exchange(key: RandomKey, task: _Task) -> _Exchanged:
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


def _until_effective(key: RandomKey, task: _Task, anneal: Callable[[RandomKey, int], tuple]):
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
    low, high = interval(estimate.value, estimate.standard_error, estimate.n_units)
    return Evidence(
        method=method,
        value=estimate.value,
        low=low,
        high=high,
        standard_error=estimate.standard_error,
        ess=estimate.ess,
        facts=(
            f"{name}, {estimate.n_chains} chains, standard error {estimate.standard_error:.3f} nats"
        ),
    )


def _with_travel(evidence: Evidence, ladders: LadderEstimate) -> Evidence:
    if ladders.round_trips >= MIN_ROUND_TRIPS:
        return evidence
    concern = (
        f"replicas hardly travel between base and model ({ladders.round_trips:.1f} round trips "
        "per ladder)"
    )
    return replace(evidence, concerns=(*evidence.concerns, concern))
