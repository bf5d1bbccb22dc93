"""log Z with its uncertainty: one entry point for all methods."""

import logging
from dataclasses import replace
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from harmonium.errors import InfeasibleError, InvalidInputError, describe
from harmonium.likelihood.importance import estimate_from_base
from harmonium.likelihood.modes import compare, with_comparison
from harmonium.likelihood.path_methods import PATH_METHODS, Task
from harmonium.likelihood.result import Evidence, LogPartition, exact_result, judge
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
from harmonium.sampling.population import default_kernel
from harmonium.sampling.replica_exchange import ReplicaExchange
from harmonium.sampling.schedule import profile_path
from harmonium.sampling.starts import find_modes
from harmonium.sampling.tuning import centered_path
from harmonium.typing import Batch, Positions, RandomKey

_log = logging.getLogger(__name__)

Method = Literal[
    "auto", "quick", "exact", "quadrature", "importance", "ais", "reverse_ais", "bar", "smc"
]

MAX_AUTO_ENUMERATED_HIDDEN = 16
# Quadrature has grids of its own for every component of the base, of a second or so each.
MAX_AUTO_QUADRATURE_COMPONENTS = 4


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
    and "bar" elsewhere; "quick" is the same without "bar".

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
    if method in ("auto", "quick") and (known := _cheaply_exact(model)) is not None:
        return known
    key_find, key_profile, key_method = jax.random.split(key, 3)
    kernel = default_kernel(model) if kernel is None else kernel
    found, kernel = find_modes(key_find, model, kernel)
    rows = found if starts is None else jnp.asarray(starts, found.dtype)
    path = centered_path(model, rows)
    if method in ("auto", "quick", "importance"):
        result = _judged(_importance(key_method, path, kernel, found, starts), kernel)
        if method != "auto" or result.trusted:
            return result
        _log.info("replica exchange: %s", result.verdict)
    profile = profile_path(key_profile, path, kernel)
    task = Task(path, kernel, profile, n_chains, n_temperatures, found, starts)
    estimator = PATH_METHODS["bar" if method == "auto" else method]
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
