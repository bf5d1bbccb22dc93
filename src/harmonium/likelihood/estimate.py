"""log Z with its uncertainty: one result type, one entry point."""

from dataclasses import dataclass
from typing import Literal, get_args

import jax

from harmonium.errors import InfeasibleError, InvalidInputError, describe
from harmonium.likelihood.annealed import AnnealedEstimate, annealed_log_partition
from harmonium.model import (
    Harmonium,
    exact_log_partition,
    quadrature_log_partition,
)
from harmonium.model.oracles import MAX_QUADRATURE_VISIBLE
from harmonium.typing import RandomKey

Method = Literal["auto", "exact", "quadrature", "ais"]

MAX_AUTO_ENUMERATED_HIDDEN = 16
TEMPERATURES = (400, 1600, 6400)
EFFECTIVE_SHARE = 0.25
MIN_ESS = 50.0
MAX_STANDARD_ERROR = 0.25


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z in nats: value, 95 % interval, standard error, effective sample size.

    `verdict` says in words whether log-densities may be quoted; `trusted` says it to programs.
    """

    value: float
    low: float
    high: float
    standard_error: float
    ess: float
    method: str
    verdict: str
    trusted: bool


def estimate_log_partition(
    model: Harmonium,
    *,
    key: RandomKey,
    method: Method = "auto",
    n_chains: int = 512,
    n_temperatures: int | None = None,
) -> LogPartition:
    """Log Z of a model in nats, with an interval and a verdict.

    "exact" enumerates hidden states (affine f) or integrates (n <= 2); "quadrature" integrates;
    "ais" anneals from the exact base (theory, section 6); "auto" is exact where that is cheap. `n_chains`
    and `n_temperatures` set the cost of annealing; without the latter, the number of temperatures
    grows until the effective sample size is a quarter of the chains or 6400 are reached (stopping by its
    own weights costs an estimate a little of its unbiasedness). Raises `InfeasibleError` when an exact method
    cannot be used and `InvalidInputError` for an unknown method.
    """
    if method not in get_args(Method):
        raise InvalidInputError(
            describe(
                "estimate_log_partition(method=...)",
                expected=f"one of {list(get_args(Method))}",
                got=repr(method),
            )
        )
    if method == "auto":
        return _automatic(model, key, n_chains, n_temperatures)
    if method == "exact":
        return exact_result(exact_log_partition(model), "exact")
    if method == "quadrature":
        return exact_result(quadrature_log_partition(model), "quadrature")
    lengths = TEMPERATURES if n_temperatures is None else (n_temperatures,)
    return _annealed(_anneal_until_effective(key, model, n_chains, lengths))


def _anneal_until_effective(
    key: RandomKey, model: Harmonium, n_chains: int, lengths: tuple[int, ...]
) -> AnnealedEstimate:
    """The first estimate of growing length whose weights are effective; the last in any case."""
    key_now, key_later = jax.random.split(key)
    estimate = annealed_log_partition(key_now, model, n_chains, lengths[0])
    if len(lengths) == 1 or estimate.ess >= EFFECTIVE_SHARE * n_chains:
        return estimate
    return _anneal_until_effective(key_later, model, n_chains, lengths[1:])


def _automatic(
    model: Harmonium, key: RandomKey, n_chains: int, n_temperatures: int | None
) -> LogPartition:
    """Exact where that is cheap; annealed where it is not, or where quadrature gives up."""
    method = _cheapest_exact(model)
    if method is not None:
        try:
            return estimate_log_partition(model, key=key, method=method)
        except InfeasibleError:
            pass
    return estimate_log_partition(
        model, key=key, method="ais", n_chains=n_chains, n_temperatures=n_temperatures
    )


def _cheapest_exact(model: Harmonium) -> Method | None:
    if model.is_affine and model.n_hidden <= MAX_AUTO_ENUMERATED_HIDDEN:
        return "exact"
    return "quadrature" if model.n_visible <= MAX_QUADRATURE_VISIBLE else None


def exact_result(value: float, method: str) -> LogPartition:
    """The result for a log Z that is known."""
    verdict = f"log Z is exact ({method}): log-densities may be quoted."
    return LogPartition(value, value, value, 0.0, float("inf"), method, verdict, True)


def _annealed(estimate: AnnealedEstimate) -> LogPartition:
    trusted = estimate.ess >= MIN_ESS and estimate.standard_error <= MAX_STANDARD_ERROR
    margin = 1.96 * estimate.standard_error
    facts = (
        f"annealed importance sampling, {estimate.n_chains} chains, effective sample size "
        f"{estimate.ess:.0f}, standard error {estimate.standard_error:.3f} nats"
    )
    if trusted:
        verdict = f"log Z is estimated ({facts}): log-densities may be quoted with their interval."
    else:
        verdict = (
            f"log Z is NOT reliable ({facts}): use scores as a ranking, do not quote "
            "log-densities. Try more temperatures or more chains."
        )
    return LogPartition(
        value=estimate.value,
        low=estimate.value - margin,
        high=estimate.value + margin,
        standard_error=estimate.standard_error,
        ess=estimate.ess,
        method="ais",
        verdict=verdict,
        trusted=trusted,
    )
