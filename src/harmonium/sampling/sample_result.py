"""What comes with a sample: how its draws came about, and whether they may be trusted."""

from dataclasses import dataclass
from typing import Any, Literal

from harmonium.cards import card
from harmonium.typing import Positions

# What moves draws that are independent.
NO_KERNEL = "none"

Way = Literal["exact", "importance", "annealing"]


@dataclass(frozen=True)
class SampleDiagnostics:
    """How a sample came about: the way, acceptance of the final moves, step size, weights, distinct
    ancestors.

    `way` is "exact" for independent draws of a base, "importance" where chains start at draws of
    the base that were resampled by their weights for the model, and "annealing" where they followed
    a path from it; `n_proposals` is how many draws of the base were weighted (the chains
    themselves, if annealed) and `ess` how many of them were effective. `jump_acceptance` is that of
    jumps by draws of the base between the final moves, None without jumps. `verdict` says in words
    whether the draws may be trusted, `trusted` says it to programs. `round_trips` is the mean
    number per chain of arrivals from the base during the final moves; None for kernels other than
    `ReplicaExchange`, whose acceptance and step size are those of the model's own level.
    """

    kernel: str
    acceptance: float
    step_size: float
    ess: float
    n_chains: int
    n_ancestors: int
    round_trips: float | None
    trusted: bool
    verdict: str
    way: Way
    n_proposals: int
    jump_acceptance: float | None

    @property
    def is_independent(self) -> bool:
        """Whether draws are independent, so that no kernel had to move them."""
        return self.kernel == NO_KERNEL

    def _repr_html_(self) -> str:
        return card("SampleDiagnostics", self.facts(), verdict=self.verdict, trusted=self.trusted)

    def facts(self) -> dict[str, Any]:
        """The figures of a card, by name; of exact draws there are none but the way."""
        if self.way == "exact":
            return {"way": self.way}
        facts: dict[str, Any] = {"way": self.way, "effective sample size": float(self.ess)}
        if self.is_independent:
            return facts | {"draws of the base": self.n_proposals}
        moves = {"kernel": self.kernel, "acceptance": float(self.acceptance)}
        return facts | moves | {"chains": self.n_chains}


@dataclass(frozen=True)
class SampleResult:
    """Draws in model units, shape (n, visible), with their diagnostics."""

    samples: Positions
    diagnostics: SampleDiagnostics

    def _repr_html_(self) -> str:
        n, n_visible = self.samples.shape
        found = self.diagnostics
        facts = {"samples": f"{n:,} draws of {n_visible} units"} | found.facts()
        return card("SampleResult", facts, verdict=found.verdict, trusted=found.trusted)
