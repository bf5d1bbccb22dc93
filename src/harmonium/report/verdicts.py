"""Three verdicts on a model: its densities, its gain over simpler ones, its draws; with their
grounds.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harmonium.inference import Verdict as Judgment
from harmonium.inference.verdict import BASELINES, few_rows
from harmonium.report.evidence import Evidence
from harmonium.report.marginals import Marginal
from harmonium.report.pairs import Dependence
from harmonium.report.view import RunView
from harmonium.report.words import clipped, count, fixed, listed, number, percent
from harmonium.sampling.diagnostics import R_HAT_BELOW

MIN_DISTINCT = 0.5
# Of columns or pairs that differ no more than chance explains in 95 of 100.
ENOUGH_ALIKE = 0.8

# From good to bad.
State = Literal["good", "caution", "bad"]
STATES: tuple[State, ...] = ("good", "caution", "bad")


@dataclass(frozen=True)
class Fact:
    """One ground of a verdict, and whether it speaks for the model."""

    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """The answer to a question, in a sentence, with its grounds; `clause` is the answer as part of
    a longer sentence.
    """

    question: str
    state: State
    answer: str
    clause: str
    facts: list[Fact]


@dataclass(frozen=True)
class Seen:
    """What the sections of the page found, for the verdicts to draw on; empty where a section is
    left out.
    """

    view: RunView
    evidence: Evidence | None
    marginals: dict[int, Marginal]
    dependence: Dependence | None


def verdicts(seen: Seen) -> list[Verdict]:
    """May its log-densities be quoted, does it beat simpler densities, are its draws plausible?

    A detector that is not to be used is a fourth.
    """
    found = [_of_density(seen), _of_gain(seen.view.density.judgment), _of_draws(seen)]
    detector = seen.view.detector
    if detector is not None and not detector.trusted:
        question, clause = "Can the odd rows be relied on?", "its odd rows cannot be relied on"
        fact = Fact(False, "The scores of the detector are not to be used.")
        found.append(Verdict(question, "caution", "No.", clause, [fact]))
    return found


def worst(found: list[Verdict]) -> State:
    """The worst state of all."""
    return STATES[max(STATES.index(verdict.state) for verdict in found)]


def _of_density(seen: Seen) -> Verdict:
    question, density = "May its log-densities be quoted?", seen.view.density
    fault = _fault(seen)
    if fault:
        return Verdict(question, "bad", "No.", fault, [Fact(False, fault)])
    fact = _of_log_partition(seen.view)
    if not density.judgment.log_partition:
        answer = "No, they only rank rows: all share an unknown offset."
        return Verdict(question, "caution", answer, "its log-densities only rank rows", [fact])
    is_exact = not density.has_residual
    answer = "Yes, they are exact." if is_exact else "Yes, with their interval."
    return Verdict(question, "good", answer, "its log-densities may be quoted", [fact])


def _of_log_partition(view: RunView) -> Fact:
    found = view.density.log_partition
    if found.standard_error == 0 and found.low == found.high and found.trusted:
        return Fact(True, "log Z is known exactly.")
    half = max(found.high - found.value, found.value - found.low)
    if found.trusted:
        return Fact(True, f"log Z is known to ±{fixed(half)} nats (95 %).")
    known = f"known only to ±{fixed(half)} nats" if math.isfinite(half) else "not known"
    return Fact(False, f"log Z is not reliable: it is {known}.")


def _fault(seen: Seen) -> str:
    """What forbids any use of the model, in a sentence; empty if nothing does."""
    if not math.isfinite(seen.view.density.log_partition.value):
        return "Its log Z is not finite, so something went wrong in training."
    held_out = seen.view.metrics.get("held_out") or {}
    if held_out and not math.isfinite(number(held_out, "log_likelihood")):
        return "The log-densities of the held-out rows are not finite."
    if seen.evidence is None:
        return ""
    scored = ~np.isnan(seen.evidence.log_density)
    values = seen.evidence.log_density[scored]
    if not np.isfinite(values).all():
        return "Some of its log-densities are not finite."
    n_rows = len(np.unique(seen.evidence.values[scored], axis=0))
    n_values = len(np.unique(values))
    if n_values < MIN_DISTINCT * n_rows:
        return (
            f"Its scores have collapsed: {count(n_values)} distinct values for {count(n_rows)} "
            "distinct rows."
        )
    return ""


def _of_gain(judgment: Judgment) -> Verdict:
    question = "Does it beat simpler densities?"
    if not judgment.comparisons or not judgment.log_partition:
        text = "No rows were held out, or log Z is not reliable."
        facts = [Fact(False, text)]
        return Verdict(question, "caution", "Not known.", "its gain is not known", facts)
    gains = [
        f"{fixed(own.gain, signed=True)} ± {fixed(own.standard_error)} against "
        f"{BASELINES[own.against]}"
        for own in judgment.comparisons
    ]
    gained = judgment.baselines and any(own.is_gain for own in judgment.comparisons)
    text = (
        f"{count(judgment.n_held_out)} held-out rows score {listed(gains)} (nats per row ± "
        "standard error)."
    )
    facts = [Fact(gained, text)]
    if judgment.has_few_rows:
        facts.append(Fact(False, f"{few_rows(judgment)}."))
    if not judgment.baselines:
        answer = "No, a simpler density scores better, beyond chance."
        clause = "A simpler density does better on held-out rows, beyond chance."
        return Verdict(question, "bad", answer, clause, facts)
    if not gained:
        answer = "No, it is no better than they are."
        return Verdict(question, "caution", answer, "it is no better than a simpler one", facts)
    if judgment.has_few_rows:
        return Verdict(
            question,
            "caution",
            "Yes, but on few rows.",
            "it was compared with simpler ones on few rows",
            facts,
        )
    return Verdict(question, "good", "Yes, beyond chance.", "it beats simpler densities", facts)


def _of_draws(seen: Seen) -> Verdict:
    question = "Are its draws plausible?"
    facts = [*_of_comparison(seen.view.density.judgment), *_of_chains(seen.view)]
    if seen.evidence is not None:
        facts += _of_samples(seen.evidence, seen.marginals, seen.dependence)
    if not facts:
        facts = [Fact(False, "No draws were compared with rows.")]
        return Verdict(question, "caution", "Not known.", "its draws were not checked", facts)
    if all(fact.passed for fact in facts):
        answer = "Yes, they look like the rows."
        return Verdict(question, "good", answer, "its draws look like the rows", facts)
    answer = "Only with caution: what is marked below differs from the rows."
    return Verdict(question, "caution", answer, "its draws differ from the rows", facts)


def _of_comparison(judgment: Judgment) -> list[Fact]:
    found = judgment.draw_comparison
    if found is None:
        return []
    if judgment.draws is None:
        text = "Draws could not be compared with training rows: the base is too far from the model."
        return [Fact(False, text)]
    if judgment.draws:
        text = (
            f"{count(found.n_draws)} draws look like the training rows, column by column and "
            "pair by pair."
        )
        return [Fact(True, text)]
    parts = []
    for own, what in ((found.marginals, "distribution"), (found.correlations, "correlation")):
        if own is not None and not own.is_allowed:
            names = listed(clipped(name) for name in own.columns)
            parts.append(f"the {what} of {names} is off by {fixed(own.value)}")
    own = found.combinations
    if own is not None and not own.is_allowed:
        names = listed(clipped(name) for name in own.columns)
        parts.append(f"{percent(own.value)} of them combine {names} as no row does")
    return [Fact(False, f"Draws differ from the training rows: {'; '.join(parts)}.")]


def _of_chains(view: RunView) -> list[Fact]:
    diagnostics = view.metrics.get("diagnostics")
    # Draws of a base need no chains.
    if not diagnostics or not view.density.has_residual:
        return []
    worst_r_hat = f"worst R-hat {fixed(number(diagnostics, 'r_hat'))}, wanted below {R_HAT_BELOW:g}"
    if diagnostics.get("agrees"):
        return [Fact(True, f"Chains from different starts agree ({worst_r_hat}).")]
    text = (
        f"The chains of the model have not mixed ({worst_r_hat}): draws may weigh groups of rows "
        "wrongly."
    )
    return [Fact(False, text)]


def _of_samples(
    evidence: Evidence, marginals: dict[int, Marginal], dependence: Dependence | None
) -> list[Fact]:
    found = []
    if not evidence.sampling.trusted:
        found.append(Fact(False, "The chains of the samples shown here did not move well."))
    if marginals:
        n_other = sum(own.beyond_chance for own in marginals.values())
        largest = max(marginals.values(), key=lambda own: own.gap)
        gap = f"the largest gap is {percent(largest.gap)} of the rows, in {largest.name}"
        how_many = f"{n_other} of {len(marginals)} columns" if n_other else "no column"
        text = f"In {how_many}, samples differ from the rows by more than chance explains; {gap}."
        found.append(Fact(n_other <= (1 - ENOUGH_ALIKE) * len(marginals), text))
    if dependence is not None:
        text = (
            f"For {percent(dependence.share_within)} of the pairs of columns, the dependence in "
            "samples is that of the rows, "
            "up to chance."
        )
        found.append(Fact(dependence.share_within >= ENOUGH_ALIKE, text))
    return found
