"""What a model is for and not for, and what to mind: sentences that follow from a card's values."""

from collections.abc import Mapping
from typing import Any

from harmonium.inference.verdict import FEW_ROWS

Values = Mapping[str, Any]


def uses(card: Values) -> list[str]:
    """What the model may be used for."""
    found = []
    if card["trusted"]:
        found.append(
            "Log-densities of rows of the same source, to be quoted with the interval of log Z."
        )
    else:
        found.append("Ranking rows of the same source by their log-density; not its value.")
    if card["draws_look_like_rows"]:
        found.append("Drawing rows that look like the training rows, and filling holes.")
    detector = card["detector"]
    if detector and detector["trusted"]:
        found.append(
            "Flagging odd rows: for a normal row of the same source, a p-value is at most a with "
            "probability at most a."
        )
    return found


def not_uses(card: Values) -> list[str]:
    """What the model must not be used for."""
    found = [
        "Rows of another source or time than the training rows, before a check that nothing has "
        "changed (harmonium monitor).",
        "What would happen if a cell were changed: densities know no causes.",
        "A decision on a person that rests on a score alone.",
    ]
    if not card["trusted"]:
        found.append("Quoting or comparing values of log-densities across models.")
    if card["draws_look_like_rows"] is False:
        found.append("Drawn rows in the place of real ones: they differ from the training rows.")
    if card["draws_look_like_rows"] is None:
        found.append("Drawn rows, before they are compared with real ones: this was not done.")
    detector = card["detector"]
    if detector and not detector["trusted"]:
        found.append("Flagging rows: the scores of the detector are not to be used.")
    return found


def limits(card: Values) -> list[str]:
    """What the figures do not say."""
    found = ["Held-out rows also chose the state that is kept: score rows of your own to quote."]
    if card["detector"]:
        found.append(
            "No p-value is below the smallest one, so that few rows of a long table may be "
            "flagged at a low false-discovery rate."
        )
    if any(column.get("categories") for column in card["data"]["columns"]):
        found.append("Categories that training has not seen break a rule; nothing else is known.")
    if card["data"]["n_missing"]:
        found.append("Cells are taken to be missing at random, given the others of their row.")
    return found


def cautions(card: Values) -> list[str]:
    """What went wrong, or was repaired."""
    data, training = card["data"], card["training"]
    found = []
    if any(own["is_loss"] for own in card["comparisons"]):
        found.append("A simpler density is better on the held-out rows.")
    if data["rows"] <= FEW_ROWS:
        found.append("The table is small: little can be known of what is rare.")
    if data["rows_in_memory"] is not None and data["rows_in_memory"] < data["rows"]:
        found.append("Only a sample of the rows was held in memory; counts of holes are of it.")
    if training["stopped"]:
        found.append("Training was ended early by hand.")
    return found + [str(event) for event in training["repairs"] or ()]
