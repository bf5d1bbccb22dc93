"""What an estimate of log Z comes back as, and the words of its verdict."""

import math
from dataclasses import dataclass

from harmonium.cards import card, with_interval

# Nats between the ends of an interval, beyond which a single number is refused.
MAX_WIDTH = 1.0
MIN_ESS = 50.0
NORMAL_95 = 1.96


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z in nats: value, 95 % interval, standard error, effective sample size.

    `low` and `high` are wider than `standard_error` alone where two estimates part. `verdict` says
    in words whether log-densities may be quoted; `trusted` says it to programs. `pareto_k` is the
    shape of the tail of importance weights, None for other methods: below 0.5 their variance is
    finite, from 0.7 on they are not relied on.
    """

    value: float
    low: float
    high: float
    standard_error: float
    ess: float
    method: str
    verdict: str
    trusted: bool
    pareto_k: float | None = None

    def _repr_html_(self) -> str:
        facts = {
            "log Z": f"{with_interval(self.value, self.low, self.high)}, nats",
            "method": self.method,
            "effective sample size": None if math.isinf(self.ess) else self.ess,
        }
        return card("LogPartition", facts, verdict=self.verdict, trusted=self.trusted)


@dataclass(frozen=True)
class Evidence:
    """A Monte-Carlo estimate before it is judged: `facts` and `concerns` are phrases for the
    verdict.
    """

    method: str
    value: float
    low: float
    high: float
    standard_error: float
    ess: float
    facts: str
    concerns: tuple[str, ...] = ()
    pareto_k: float | None = None


def interval(value: float, standard_error: float, n_draws: int | float) -> tuple[float, float]:
    """The 95 % interval of a normal error whose standard error is estimated from `n_draws` units.

    An estimated standard error is itself uncertain by 1/sqrt(2 (n - 1)) of it, and runs that stop
    once it is small stop where it came out too small: the interval is made of its upper end.
    """
    upper = standard_error * (1 + (2 * max(n_draws - 1, 1)) ** -0.5)
    return value - NORMAL_95 * upper, value + NORMAL_95 * upper


def exact_result(value: float, method: str) -> LogPartition:
    """The result for a log Z that is known."""
    way = "" if method == "exact" else f" ({method})"
    verdict = f"log Z is exact{way}: log-densities may be quoted."
    return LogPartition(value, value, value, 0.0, math.inf, method, verdict, True)


def judge(evidence: Evidence) -> LogPartition:
    """Trust or refuse an estimate, and say why."""
    concerns = [*_size_concerns(evidence), *evidence.concerns]
    facts = (
        f"{evidence.facts}; 95 % interval [{evidence.low:.2f}, {evidence.high:.2f}], effective "
        f"sample size {evidence.ess:.0f}"
    )
    if concerns:
        verdict = (
            f"log Z is NOT reliable: {'; '.join(concerns)} ({facts}). Use scores as a ranking, do "
            "not quote log-densities."
        )
    else:
        verdict = f"log Z is estimated ({facts}): log-densities may be quoted with their interval."
    return LogPartition(
        value=evidence.value,
        low=evidence.low,
        high=evidence.high,
        standard_error=evidence.standard_error,
        ess=evidence.ess,
        method=evidence.method,
        verdict=verdict,
        trusted=not concerns,
        pareto_k=evidence.pareto_k,
    )


def _size_concerns(evidence: Evidence) -> list[str]:
    if not math.isfinite(evidence.value):
        return ["the estimate is not finite"]
    concerns = []
    width = evidence.high - evidence.low
    if not width <= MAX_WIDTH:
        concerns.append(f"its interval is {width:.1f} nats wide, more than {MAX_WIDTH:g}")
    if not evidence.ess >= MIN_ESS:
        concerns.append(f"only {evidence.ess:.0f} effective draws, fewer than {MIN_ESS:g}")
    return concerns
