"""What was found in the data, in sentences: odd rows, holes, relations between columns."""

from harmonium.report.anomalies import OddRows
from harmonium.report.evidence import FDR, Evidence
from harmonium.report.overview import Overview
from harmonium.report.pairs import Dependence
from harmonium.report.view import RunView
from harmonium.report.words import count, fixed, listed, number, percent

# Nats per row: less is no gain to speak of.
WORTH_TELLING = 0.1
# Weaker relations are not named.
WORTH_NAMING = 0.3
N_PAIRS = 3


def findings(
    view: RunView,
    evidence: Evidence | None,
    odd: OddRows | None,
    table: Overview | None,
    dependence: Dependence | None,
) -> list[str]:
    """What was found, the rows that a person would look at first."""
    if evidence is None or odd is None:
        return ["No rows were given, so odd rows, holes and samples are not shown."]
    found = [_of_rows(evidence, odd)]
    if table is not None:
        found.append(_of_holes(table))
        found += _of_alerts(table)
    if dependence is not None:
        found.append(_of_relations(dependence))
    held_out = view.metrics.get("held_out")
    if held_out and view.density.trusted:
        gain = number(held_out, "log_likelihood") - number(held_out, "gaussian")
        if gain >= WORTH_TELLING:
            found.append(
                f"There is structure beyond means and correlations, worth {fixed(gain)} nats per "
                "row."
            )
    return found


def _of_rows(evidence: Evidence, odd: OddRows) -> str:
    detection = evidence.detection
    if detection is None:
        return "There is no detector, so rows have no p-values; the least likely ones are listed."
    n, rate = detection.n_listed, f"a false-discovery rate of {percent(FDR)}"
    n_calibration = len(detection.calibration)
    n_below = int((detection.scores < detection.calibration[0]).sum())
    if n:
        rows = "row is" if n == 1 else "rows are"
        text = f"{count(n)} of {count(detection.n_scored)} {rows} odd, at {rate}."
    elif n_below:
        text = (
            f"{count(n_calibration)} calibration rows are too few to list any row at {rate}; "
            f"{count(n_below)} of {count(detection.n_scored)} rows lie below all of them."
        )
    else:
        text = f"None of {count(detection.n_scored)} rows is odd, at {rate}."
    if odd.rows and odd.rows[0].reasons:
        reason = odd.rows[0].reasons[0]
        text += (
            f" The oddest is row {odd.rows[0].number}: its {reason.column} is {reason.value}, "
            f"where {reason.likely} would be likely."
        )
    return text


def _of_holes(table: Overview) -> str:
    if table.worst is None:
        return "No cell is missing."
    name, share = table.worst
    text = (
        f"{percent(table.share_missing)} of the cells are missing, most in {name} "
        f"({percent(share)})"
    )
    return f"{text}; {percent(table.n_complete / table.n_rows)} of the rows are complete."


def _of_alerts(table: Overview) -> list[str]:
    named = [column.name for column in table.columns if column.alerts]
    if not named:
        return []
    more = len(named) - N_PAIRS
    shown = named if more <= 0 else [*named[:N_PAIRS], f"{count(more)} more"]
    return [f"Columns that deserve a look: {listed(shown)}."]


def _of_relations(dependence: Dependence) -> str:
    strong = [
        f"{pair.first} and {pair.second} ({fixed(pair.data)})"
        for pair in dependence.strongest[:N_PAIRS]
        if abs(pair.data) >= WORTH_NAMING
    ]
    if not strong:
        return "No two columns are strongly related."
    return f"The strongest relations: {listed(strong)}."
