"""What is found of a density once it is fitted: the scores of held-out rows, and what may be
trusted.
"""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np

from harmonium.cards import card
from harmonium.errors import HarmoniumWarning
from harmonium.inference.density import Density, gaussian, untrained
from harmonium.inference.draw_comparison import compare_draws
from harmonium.inference.verdict import Comparison, Verdict, few_rows
from harmonium.learning.base_choice import Candidate
from harmonium.typing import Scores, Values

# Rows that are scored where some have missing cells.
MAX_INCOMPLETE = 2048
RESIDUAL = "residual"


@dataclass(frozen=True)
class HeldOut:
    """How rows that never entered a fit score, in nats per row and data units.

    `log_likelihood` with `standard_error` (of the mean over the rows, and of log Z together), and
    on the same rows `independent` columns, the `gaussian` fit and the `base` alone. The kept state
    was chosen on these rows: for a figure to quote, score rows of your own.
    """

    n_rows: int
    log_likelihood: float
    standard_error: float
    independent: float
    gaussian: float
    base: float

    def _repr_html_(self) -> str:
        facts = {
            "rows": self.n_rows,
            "log-likelihood": f"{self.log_likelihood:.4f} ± {self.standard_error:.4f} nats per row",
            "independent columns": self.independent,
            "Gaussian": self.gaussian,
            "base": self.base,
        }
        return card("HeldOut", facts)


def judge_density(
    density: Density, training: Values, held_out: Values, rng: np.random.Generator, *, seed: int
) -> tuple[HeldOut, Density]:
    """The scores of rows held out from everything, and the density with stages and judgment.

    Warns where the table is small.
    """
    # Boxes of rows with missing cells take their time.
    held_out = held_out[:MAX_INCOMPLETE] if np.isnan(held_out).any() else held_out
    scores = _score_stages(density, held_out)
    stages = tuple(Candidate(name, *_mean(values)) for name, values in scores.items())
    density = replace(
        density, chosen=replace(density.chosen, residual=RESIDUAL in scores, stages=stages)
    )
    judgment = Verdict(
        log_partition=density.log_partition.trusted,
        n_rows=len(training),
        n_held_out=len(held_out),
        comparisons=_compare(scores, density),
        draw_comparison=compare_draws(density, training, rng, seed=seed),
    )
    if judgment.has_few_rows:
        warnings.warn(f"fit: {few_rows(judgment)}", HarmoniumWarning, stacklevel=3)
    error = float(np.hypot(stages[-1].standard_error, density.log_partition.standard_error))
    means = {own.name: own.score for own in stages}
    found = HeldOut(
        n_rows=len(held_out),
        log_likelihood=stages[-1].score,
        standard_error=error,
        independent=means["independent columns"],
        gaussian=means["gaussian"],
        base=means["base"],
    )
    return found, replace(density, judgment=judgment)


def _score_stages(density: Density, rows: Values) -> dict[str, Scores]:
    """Log-densities of rows under what a fit goes through, the simplest first."""
    coordinates = density.coordinates
    alone = coordinates.marginals.log_density(rows).sum(axis=1) + coordinates.log_rule(rows)
    scores = {
        "independent columns": alone,
        "gaussian": gaussian(density).log_density(rows),
        "base": untrained(density).log_density(rows),
    }
    if density.has_residual:
        scores[RESIDUAL] = density.log_density(rows)
    return scores


def _compare(scores: dict[str, Scores], density: Density) -> tuple[Comparison, ...]:
    """The last stage against each simpler one that is another density."""
    *simpler, last = scores
    if last == "base" and density.chosen.base == "gaussian":
        simpler.remove("gaussian")
    found = []
    for name in simpler:
        gain, error = _mean(scores[last] - scores[name])
        error = float(np.hypot(error, density.log_partition.standard_error))
        found.append(Comparison(name, gain, error))
    return tuple(found)


def _mean(values: Scores) -> tuple[float, float]:
    """Mean and standard error; one row tells nothing about its spread."""
    error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return float(values.mean()), error
