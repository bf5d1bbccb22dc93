"""Reasons: which cells make a row unlikely given the others, and what would be likely instead."""

import importlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.detection import Detector
from harmonium.inference.groups import likeliest_groups
from harmonium.inference.reasons import Reason, cells_in_words, find_reasons

# The contribution of a cell that is as likely wrong as right.
DOUBTFUL = float(np.log(2))
NO_REASON = "no single cell explains it"


@dataclass(frozen=True)
class Explanation:
    """Reasons for a table of rows.

    `reasons` (rows,) are the cells of every row that are likelier wrong than right, the worst
    first, and others only if they are so without the worst, by names and labels; the arrays have
    figures of all cells. `contributions` (rows, columns): -log P(the cell is right), nats, given
    the other cells of the row, where right and wrong are as likely beforehand; never negative,
    larger = more responsible, above `DOUBTFUL` where a cell is likelier wrong. A wrong value is one
    of another row, or lies anywhere. `likely_values` (rows, columns): the likeliest value given the
    others, data units, and `drops` (rows, columns): by how many nats it is likelier than the own
    one, never negative. `group` (rows, group size): columns of cells that are likeliest wrong
    together, and `group_contributions` (rows,): -log P(all of them are right), as for cells; 0
    where the group has to take a missing cell.
    """

    names: tuple[str, ...]
    reasons: tuple[tuple[Reason, ...], ...]
    contributions: np.ndarray
    drops: np.ndarray
    likely_values: np.ndarray
    group: np.ndarray
    group_contributions: np.ndarray

    def top(self, n: int) -> np.ndarray:
        """Indices of the n most responsible columns of every row, (rows, n)."""
        return np.argsort(-self.contributions, axis=1, kind="stable")[:, :n]

    @property
    def group_names(self) -> tuple[tuple[str, ...], ...]:
        """The names of the columns of `group`, (rows,)."""
        return tuple(tuple(self.names[column] for column in row) for row in self.group)

    def describe(self, n: int = 3) -> list[str]:
        """A line per row: its n worst reasons in words, or "no single cell explains it"."""
        return [describe_reasons(reasons, n) for reasons in self.reasons]

    def to_frame(self, n: int | None = None) -> Any:
        """The reasons as a pandas DataFrame, one a row: all of them, or the n worst of each row.

        `row` is the position in the table that was explained, from 0 on, and `rank` counts from 1;
        the other columns are those of `Reason`, with `unusual_for` in words. Raises
        `InvalidInputError` without pandas.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise InvalidInputError(
                describe(
                    "Explanation.to_frame()",
                    expected="the library pandas",
                    got="pandas, which is not installed",
                    hint="pip install pandas, or the attribute reasons",
                )
            ) from error
        listed = [
            {
                "row": row,
                "rank": rank,
                **asdict(reason),
                "unusual_for": cells_in_words(reason.unusual_for),
            }
            for row, own in enumerate(self.reasons)
            for rank, reason in enumerate(own[:n], start=1)
        ]
        names = ["row", "rank", *(field.name for field in fields(Reason))]
        return pandas.DataFrame(listed, columns=names)


def describe_reasons(reasons: tuple[Reason, ...], n: int) -> str:
    """The n worst reasons of a row in words."""
    return "; also ".join(own.describe() for own in reasons[:n]) or NO_REASON


def explain(detector: Detector, values: np.ndarray, *, group_size: int = 1) -> Explanation:
    """Explain rows (rows, columns) by how likely each cell is given the others.

    The densities of a cell given the others are those of the mixtures of all views, in closed form.
    A cell that breaks the rule of a constant or duplicate column, or holds a category that training
    has not seen, counts with its part of the surprise of all broken rules, and a missing cell
    contributes nothing.
    Groups are of modeled columns, and take missing cells and unseen categories only where there is
    nothing else. Groups of two are the likeliest of all pairs; of more than 40 columns, of those
    with one of the 40 largest contributions. Larger ones grow from these, cell by cell. Raises
    `InvalidInputError` for a `group_size` that is not from 1 to the number of columns that are
    modeled.
    """
    columns = detector.columns
    _check_group_size(group_size, columns.n_modeled)
    index = columns.modeled_index
    missing = detector.missing(values)
    whole, rows = np.array(values), missing.any(axis=1)
    if rows.any():
        # A draw, not the mean of two: between two levels there may be none.
        draws = detector.completions(values[rows])[:, :, index]
        drawn = np.quantile(draws, 0.5, axis=0, method="nearest")
        whole[np.ix_(rows, index)] = np.where(missing[rows], drawn, values[rows][:, index])
    drops, likely, doubts = _judge_cells(detector, whole)
    likely_values = columns.complete(likely)
    as_it_is = (drops <= 0) & ~missing
    likely_values[:, index] = np.where(as_it_is, values[:, index], likely_values[:, index])
    surprise = detector.rules.surprises(columns, values)
    broken = columns.breaks_rule(values)
    share = surprise / np.maximum(broken.sum(axis=1), 1)

    def of_columns(found: np.ndarray) -> np.ndarray:
        whole = np.zeros(values.shape)
        whole[:, index] = np.where(missing, 0.0, found)
        return np.where(broken, share[:, None], whole)

    contributions, drops = of_columns(np.logaddexp(0.0, doubts)), of_columns(drops)
    doubtful = (contributions > DOUBTFUL) & (drops > 0)
    doubtful &= _remains_doubtful(detector, whole, likely_values, contributions, doubtful)
    group, group_doubts = likeliest_groups(detector.spaces, whole, doubts, missing, group_size)
    return Explanation(
        names=columns.names,
        reasons=find_reasons(
            detector.spaces, values, whole, likely_values, doubtful, drops, contributions
        ),
        contributions=contributions,
        drops=drops,
        likely_values=likely_values,
        group=np.asarray(index)[group],
        group_contributions=np.logaddexp(0.0, group_doubts),
    )


def _remains_doubtful(
    detector: Detector,
    whole: np.ndarray,
    likely_values: np.ndarray,
    contributions: np.ndarray,
    doubtful: np.ndarray,
) -> np.ndarray:
    """Which doubtful cells are so once the worst cell of their row has its likely value, (rows,
    columns): a wrong cell makes right ones look odd. The worst one remains.
    """
    remains = np.ones_like(doubtful)
    rows = np.flatnonzero(doubtful.sum(axis=1) > 1)
    if not len(rows):
        return remains
    worst = np.where(doubtful, contributions, -np.inf)[rows].argmax(axis=1)
    mended = whole[rows]
    at = np.arange(len(rows)), worst
    mended[at] = likely_values[rows, worst]
    doubts = _judge_cells(detector, mended)[2]
    own = remains[rows]
    own[:, detector.columns.modeled_index] = np.logaddexp(0.0, doubts) > DOUBTFUL
    own[at] = True
    remains[rows] = own
    return remains


def _judge_cells(
    detector: Detector, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gain of the likeliest candidate of every cell of complete rows, its value, and the
    log-odds that the cell is wrong, nats.

    All have shape (rows, modeled), and are means over the spaces.
    """
    spaces = detector.spaces
    places = zip(spaces, detector.candidate_places, strict=True)
    given = np.mean([space.conditionals(values, own) for space, own in places], axis=0)
    rises, own = given[:, :, :-1] - given[:, :, -1:], given[:, :, -1]
    best = rises.argmax(axis=2)
    drops = np.take_along_axis(rises, best[:, :, None], axis=2)[:, :, 0]
    columns = np.arange(rises.shape[1])
    cells = values[:, detector.columns.modeled_index]
    likely = np.where(drops > 0, detector.candidates[best, columns], cells)
    wrong = np.mean([space.wrong(values) for space in spaces], axis=0)
    return np.maximum(drops, 0.0), likely, wrong - own


def _check_group_size(group_size: int, n_modeled: int) -> None:
    if not isinstance(group_size, int | np.integer) or not 1 <= group_size <= n_modeled:
        raise InvalidInputError(
            describe(
                "explain(X, group_size=...)",
                expected=f"a whole number from 1 to {n_modeled}, the number of modeled columns",
                got=f"{group_size!r}",
            )
        )
