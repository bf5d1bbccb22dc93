"""What may be trusted of a fitted density: facts with their limits, and the words for them."""

import math
from dataclasses import dataclass

from harmonium.cards import card

# Standard errors of a paired difference beyond which it counts.
MARGIN = 2.0
# Nats per row that a density may be behind a simpler one that is nearly the same.
NEGLIGIBLE = 0.01
# Tables of at most so many rows count as small.
FEW_ROWS = 300
FEWEST_EFFECTIVE = 50.0
BASELINES = {
    "independent columns": "independent columns",
    "gaussian": "the Gaussian fit",
    "base": "the base",
}


@dataclass(frozen=True)
class Comparison:
    """Held-out rows under a density and under a simpler one: the mean gain, in nats per row.

    `against` is "independent columns", "gaussian" or "base"; `standard_error` is that of the paired
    differences, NaN of a single row.
    """

    against: str
    gain: float
    standard_error: float

    @property
    def is_loss(self) -> bool:
        """Whether the simpler density is better, beyond chance and by more than nobody minds."""
        return self.gain < -max(MARGIN * self.standard_error, NEGLIGIBLE)

    @property
    def is_gain(self) -> bool:
        """Whether the density is better beyond chance."""
        return self.gain > MARGIN * self.standard_error


@dataclass(frozen=True)
class Difference:
    """The largest difference of draws from training rows, the columns that show it, and its
    limit.
    """

    value: float
    allowed: float
    columns: tuple[str, ...]

    @property
    def is_allowed(self) -> bool:
        """Whether chance and a small error of the model explain it."""
        return self.value <= self.allowed


@dataclass(frozen=True)
class DrawComparison:
    """How draws of a density differ from its training rows, in the coordinates u.

    `ess` is the effective sample size of the weighted draws of the base that the `n_draws` draws
    were taken from. `marginals` is the largest difference of the distribution functions of a
    column, `correlations` that of the correlations of two columns, and `combinations`, of two
    columns of levels, the share of the draws in combinations that no training row has. None where
    there are no such columns.
    """

    n_draws: int
    ess: float
    marginals: Difference
    correlations: Difference | None
    combinations: Difference | None

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All that were found."""
        found = (self.marginals, self.correlations, self.combinations)
        return tuple(own for own in found if own is not None)


@dataclass(frozen=True)
class Verdict:
    """What of a fitted density may be trusted.

    `log_partition` tells whether log Z is known well enough for log-densities to be quoted.
    `comparisons` are those with simpler densities on `n_held_out` rows that were held out from a
    fit to `n_rows` rows; `draw_comparison` sets draws beside the training rows, None where none
    were made.
    """

    log_partition: bool
    n_rows: int
    n_held_out: int
    comparisons: tuple[Comparison, ...]
    draw_comparison: DrawComparison | None

    @property
    def baselines(self) -> bool:
        """Whether no simpler density is better on the held-out rows, beyond chance."""
        return not any(own.is_loss for own in self.comparisons)

    @property
    def draws(self) -> bool | None:
        """Whether draws look like training rows; None where too few could be compared."""
        found = self.draw_comparison
        if found is None or not found.ess >= FEWEST_EFFECTIVE:
            return None
        return all(own.is_allowed for own in found.differences)

    @property
    def trusted(self) -> bool:
        """Whether log-densities may be quoted."""
        return self.log_partition and self.baselines

    @property
    def has_few_rows(self) -> bool:
        """Whether the table is so small that little can be known."""
        return self.n_rows + self.n_held_out <= FEW_ROWS

    def _repr_html_(self) -> str:
        alike = {True: "yes", False: "no", None: "not compared"}
        facts = {
            "log Z is known well enough": self.log_partition,
            "no simpler density is better": self.baselines,
            "draws look like training rows": alike[self.draws],
            "rows": f"{self.n_rows:,} fitted, {self.n_held_out:,} held out",
        }
        return card("Verdict", facts, verdict=self.describe(), trusted=self.trusted)

    def describe(self) -> str:
        """What held-out rows and draws say, in sentences; `LogPartition.verdict` has those of log
        Z.
        """
        return " ".join([*_of_comparisons(self), *_of_draws(self)])


# Of a density that no rows were held out for.
UNJUDGED = Verdict(True, 0, 0, (), None)


def few_rows(verdict: Verdict) -> str:
    """What a small table means, in words."""
    errors = [own.standard_error for own in verdict.comparisons]
    known = [error for error in errors if math.isfinite(error)]
    size = (
        f" (differences below {MARGIN * max(known):.2g} nats per row cannot be seen)"
        if known
        else ""
    )
    return (
        f"{verdict.n_rows + verdict.n_held_out} rows are few: {verdict.n_held_out} held-out rows "
        f"decide what is chosen{size}, and what is rarer than one row in {verdict.n_rows} rests on "
        "the shape of the model alone"
    )


def with_error(value: float, error: float, style: str) -> str:
    """A number in this style with its error, where one is known: one row has no spread."""
    known = f" ± {error:{style.lstrip('+')}}" if math.isfinite(error) else ""
    return f"{value:{style}}{known}"


def _of_comparisons(verdict: Verdict) -> list[str]:
    if not verdict.comparisons:
        return []
    gains = [
        f"{with_error(own.gain, own.standard_error, '+.2f')} against {BASELINES[own.against]}"
        for own in verdict.comparisons
    ]
    rows = "row scores" if verdict.n_held_out == 1 else "rows score"
    found = [
        f"{verdict.n_held_out} held-out {rows} {', '.join(gains)} (nats per row, with standard "
        "errors)."
    ]
    losses = [BASELINES[own.against] for own in verdict.comparisons if own.is_loss]
    if losses:
        found.append(f"{' and '.join(losses)} would do better: do NOT rely on these densities.")
    return found


def _of_draws(verdict: Verdict) -> list[str]:
    found = verdict.draw_comparison
    if found is None:
        return []
    if verdict.draws is None:
        return [
            f"Draws could not be compared with training rows: weighted draws of the base are worth "
            f"{found.ess:.0f}, fewer than {FEWEST_EFFECTIVE:g}."
        ]
    kinds = (
        ("distribution functions of a column differ by up to", found.marginals),
        ("correlations by up to", found.correlations),
        ("a share in combinations of two columns that no row has of up to", found.combinations),
    )
    parts = [_measured(words, own) for words, own in kinds if own is not None]
    if verdict.draws:
        return [f"Draws look like training rows ({'; '.join(parts)})."]
    return [f"Draws do NOT look like training rows: {'; '.join(parts)}."]


def _measured(words: str, found: Difference) -> str:
    # Names of columns may hold signs that would steer a terminal.
    place = " and ".join(map(repr, found.columns))
    limit = "" if found.is_allowed else f", more than the {found.allowed:.2f} that are allowed"
    return f"{words} {found.value:.2f} ({place}){limit}"
