"""Why a model may be trusted or not, and what it found, in sentences."""

import math
from dataclasses import dataclass

from harmonium.inference import Verdict
from harmonium.inference.verdict import BASELINES, few_rows
from harmonium.report.anomalies import AnomalousRow
from harmonium.report.evidence import FDR, Evidence
from harmonium.report.marginals import Marginal
from harmonium.report.pairs import Dependence
from harmonium.report.units import Units
from harmonium.report.view import RunView
from harmonium.report.words import clipped, count, fixed, listed, number, percent, ways
from harmonium.sampling.diagnostics import R_HAT_BELOW

# Nats per row: less is no gain to speak of.
WORTH_TELLING = 0.1
# Of columns or pairs that differ no more than chance explains in 95 of 100.
ENOUGH_ALIKE = 0.8


@dataclass(frozen=True)
class Reason:
    """One reason for or against trust."""

    passed: bool
    text: str


def reasons(
    view: RunView,
    evidence: Evidence | None,
    marginals: list[Marginal],
    dependence: Dependence | None,
) -> list[Reason]:
    """What speaks for and against the model, the weightiest first."""
    judgment = view.density.judgment
    found = [_of_log_partition(view), *_of_held_out(judgment), *_of_draws(judgment)]
    found += _of_chains(view)
    if evidence is not None:
        found += _of_samples(evidence, marginals, dependence)
    if judgment.has_few_rows:
        found.append(Reason(False, f"{few_rows(judgment)}."))
    repairs = view.metrics.get("repairs")
    if repairs is not None and view.was_trained:
        text = (
            f"Training needed {count(len(repairs))} repair(s)."
            if repairs
            else "Training needed no repairs."
        )
        found.append(Reason(not repairs, text))  # fmt: skip
    if view.detector is not None:
        n = len(view.detector.calibration)
        text = (
            f"The p-values of the detector rest on {count(n)} calibration rows; the smallest possible one is 1/{n + 1}."
            if view.detector.trusted
            else "The scores of the detector are not to be used."
        )
        found.append(Reason(view.detector.trusted, text))
    return found


def _of_log_partition(view: RunView) -> Reason:
    found = view.density.log_partition
    if found.standard_error == 0 and found.low == found.high and found.trusted:
        return Reason(True, "log Z is known exactly.")
    half = max(found.high - found.value, found.value - found.low)
    if found.trusted:
        return Reason(True, f"log Z is known to ±{fixed(half)} nats (95 %).")
    known = f"known only to ±{fixed(half)} nats" if math.isfinite(half) else "not known"
    return Reason(False, f"log Z is not reliable ({known}); the words of the fit below say why.")


def _of_chains(view: RunView) -> list[Reason]:
    diagnostics = view.metrics.get("diagnostics")
    # Draws of a base need no chains.
    if not diagnostics or not view.density.has_residual:
        return []
    worst = f"worst R-hat {fixed(number(diagnostics, 'r_hat'))}, should be below {R_HAT_BELOW:g}"
    if diagnostics.get("agrees"):
        return [Reason(True, f"Chains from different starts agree ({worst}).")]
    return [
        Reason(
            False,
            f"The chains of the kept model have not mixed ({worst}): samples may weigh groups of rows wrongly.",
        )
    ]


def _of_held_out(judgment: Verdict) -> list[Reason]:
    if not judgment.comparisons or not judgment.log_partition:
        return []
    gains = [
        f"{fixed(own.gain, signed=True)} ± {fixed(own.standard_error)} against {BASELINES[own.against]}"
        for own in judgment.comparisons
    ]
    text = f"Held-out rows score {listed(gains)} (nats per row, with standard errors)"
    if not judgment.baselines:
        return [Reason(False, f"{text}: a simpler density would do better.")]
    if not any(own.is_gain for own in judgment.comparisons):
        return [Reason(False, f"{text}: nothing to speak of was learned.")]
    return [Reason(True, f"{text}.")]


def _of_draws(judgment: Verdict) -> list[Reason]:
    found = judgment.draw_comparison
    if found is None:
        return []
    if judgment.draws is None:
        text = "Draws could not be compared with the training rows: the base is too far from the model."
        return [Reason(False, text)]
    if judgment.draws:
        text = f"{count(found.n_draws)} draws look like the training rows, column by column and pair by pair."
        return [Reason(True, text)]
    odd = [own for own in (found.marginals, found.correlations) if own and not own.is_allowed]
    parts = [
        f"{listed(clipped(name) for name in own.columns)} by {fixed(own.value)}" for own in odd
    ]
    own = found.combinations
    if own is not None and not own.is_allowed:
        names = listed(clipped(name) for name in own.columns)
        parts.append(f"{percent(own.value)} of them in combinations of {names} that no row has")
    return [Reason(False, f"Draws differ from the training rows: {'; '.join(parts)}.")]


def _of_samples(
    evidence: Evidence, marginals: list[Marginal], dependence: Dependence | None
) -> list[Reason]:
    found = []
    if not evidence.sampling.trusted:
        found.append(Reason(False, "The chains of the samples shown here did not move well."))
    if marginals:
        n_other = sum(marginal.beyond_chance for marginal in marginals)
        largest = (
            f"the largest gap is {percent(marginals[0].gap)} of the rows, in {marginals[0].name}"
        )
        text = (
            f"In {n_other} of {len(marginals)} columns, samples and data differ by more than chance explains; {largest}."
            if n_other
            else f"In no column do samples and data differ by more than chance explains; {largest}."
        )
        found.append(Reason(n_other <= (1 - ENOUGH_ALIKE) * len(marginals), text))
    if dependence is not None:
        text = (
            "In how strongly two columns go together, samples and data agree up to chance for "
            f"{percent(dependence.share_within)} of the pairs."
        )
        found.append(Reason(dependence.share_within >= ENOUGH_ALIKE, text))
    return found


def findings(
    view: RunView,
    evidence: Evidence | None,
    rows: list[AnomalousRow],
    dependence: Dependence | None,
    units: Units | None,
) -> list[str]:
    """What was found in the data, in sentences."""
    found = _of_rows(evidence, rows) if evidence is not None else []
    if dependence is not None:
        first, second, in_data, in_samples = dependence.strongest
        found.append(
            f"The columns that go together most are {first} and {second}: {fixed(in_data)} in the data, "
            f"{fixed(in_samples)} in samples of the model."
        )
    held_out = view.metrics.get("held_out")
    if held_out and view.density.trusted:
        gain = number(held_out, "log_likelihood") - number(held_out, "gaussian")
        if gain >= WORTH_TELLING:
            found.append(
                f"There is structure beyond means and correlations, worth {fixed(gain)} nats per row."
            )
    if units is not None:
        found.append(
            f"{count(units.n_alive)} of {count(units.n_hidden)} hidden units tell rows apart, in {ways(units.n_kinds)}."
        )
    if evidence is None:
        found.append("No rows were given, so anomalous rows and samples are not shown.")
    return found


def _of_rows(evidence: Evidence, rows: list[AnomalousRow]) -> list[str]:
    detection = evidence.detection
    if detection is None:
        return ["There is no detector, so rows have no p-values; the least likely ones are listed."]
    n = detection.n_listed
    of = f"of {count(evidence.n_rows)} rows at a false-discovery rate of {percent(FDR)}"
    if n == 0:
        text = f"No anomalous row can be listed {of}."
        return [f"{text} {detection.concern}" if detection.concern else text]
    text = f"{count(n)} anomalous row{'' if n == 1 else 's'} {of}."
    if rows and rows[0].reasons:
        reason = rows[0].reasons[0]
        text += (
            f" The most anomalous is row {rows[0].number}, with {reason.column} = {reason.value} where {reason.likely} "
            "would be likely."
        )
    return [text]
