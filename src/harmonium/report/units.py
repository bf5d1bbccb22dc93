"""What hidden units respond to: the columns that go with them, or, for images, the pixels."""

from dataclasses import dataclass

import numpy as np

from harmonium.model import Spin
from harmonium.report.association import association, is_category
from harmonium.report.evidence import Evidence
from harmonium.report.images import Picture, signed_picture
from harmonium.report.view import RunView
from harmonium.report.words import clipped, fixed, listed, percent

N_UNITS = 12
MOST_COLUMNS = 24
N_NAMED = 3
# Weaker than this goes unnamed.
WORTH_NAMING = 0.2
# Missing cells are drawn for these rows, which takes time.
MAX_INCOMPLETE = 128
# Correlation over the rows from which on two units count as one.
ALIKE = 0.9
# A unit with less variation over the rows than this tells nothing apart.
ALIVE = 1e-3


@dataclass(frozen=True)
class Unit:
    """A hidden unit: how probable it is on average, how many others are like it, what it goes with,
    and its picture.

    `words` say what it goes with, `values` (columns,) are its associations; only images have a
    picture.
    """

    number: int
    on: str
    alike: int
    words: str
    values: np.ndarray
    picture: Picture | None


@dataclass(frozen=True)
class Units:
    """The most variable units, and the columns that their `values` (columns,) belong to.

    `n_alive` of all `n_hidden` units vary over the rows, in `n_kinds` ways that are not alike.
    """

    columns: list[str]
    units: list[Unit]
    n_alive: int
    n_kinds: int
    n_hidden: int

    @property
    def names(self) -> list[str]:
        """What the units are called."""
        return [f"unit {unit.number}" for unit in self.units]

    @property
    def heat(self) -> list[list[float]]:
        """The associations of every unit with every column."""
        return [unit.values.tolist() for unit in self.units]


def hidden_units(view: RunView, evidence: Evidence, side: int) -> Units:
    """The units whose probability varies most over the rows, one of each kind; of images (`side` >
    0) with pictures.
    """
    values = _some_rows(evidence)
    means = view.density.hidden_mean(values)
    if isinstance(view.density.model.hidden_units, Spin):
        means = (1 + means) / 2
    spread = means.std(axis=0)
    order, n_alike = _distinct(means, spread)
    index = evidence.columns.modeled_index
    category = is_category(evidence.columns)
    found = np.array(
        [
            [association(values[:, i], means[:, u], bool(category[i]), False) for i in index]
            for u in order
        ]
    ).reshape(len(order), len(index))
    shown = np.argsort(-np.nan_to_num(np.abs(found)).max(axis=0, initial=0), kind="stable")
    shown = np.sort(shown[:MOST_COLUMNS])
    names = [clipped(evidence.columns.names[i]) for i in index]
    units = [
        Unit(
            number=int(u) + 1,
            on=percent(float(means[:, u].mean())),
            alike=n_alike[int(u)],
            words=_words(row, names, category[index]),
            values=row[shown],
            picture=_picture(values, means[:, u], side, int(u) + 1) if side else None,
        )
        for u, row in zip(order, found, strict=True)
    ]
    n_alive = int((spread > ALIVE).sum())
    return Units([names[i] for i in shown], units, n_alive, len(n_alike), len(spread))


def _distinct(means: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
    """The most variable units that are not alike, and how many of the others are like each of them.

    Units that rise or fall together tell the same story: the first of them tells it.
    """
    alive = np.flatnonzero(spread > ALIVE)
    order = alive[np.argsort(-spread[alive], kind="stable")]
    standard = (means - means.mean(axis=0)) / np.where(spread > 0, spread, 1)
    n_alike: dict[int, int] = {}
    for unit in order.tolist():
        told = list(n_alike)
        likeness = np.abs(standard[:, told].T @ standard[:, unit]) / len(means)
        if len(told) and likeness.max() >= ALIKE:
            n_alike[told[int(likeness.argmax())]] += 1
        else:
            n_alike[unit] = 0
    kept = list(n_alike)[:N_UNITS]
    return np.array(kept, dtype=int), n_alike


def _some_rows(evidence: Evidence) -> np.ndarray:
    """Complete rows, and some of the others where these are few."""
    incomplete = np.isnan(evidence.values[:, evidence.columns.modeled_index]).any(axis=1)
    if (~incomplete).sum() >= MAX_INCOMPLETE:
        return evidence.values[~incomplete]
    kept = np.append(np.flatnonzero(~incomplete), np.flatnonzero(incomplete)[:MAX_INCOMPLETE])
    return evidence.values[kept]


def _words(row: np.ndarray, names: list[str], is_category: np.ndarray) -> str:
    order = np.argsort(-np.nan_to_num(np.abs(row)), kind="stable")[:N_NAMED]
    named = [i for i in order if abs(row[i]) >= WORTH_NAMING]
    rising = [
        f"{names[i]} ({fixed(float(row[i]))})" for i in named if row[i] > 0 and not is_category[i]
    ]
    falling = [f"{names[i]} ({fixed(float(row[i]))})" for i in named if row[i] < 0]
    coded = [f"{names[i]} ({fixed(float(row[i]))})" for i in named if is_category[i]]
    parts = [f"on where {listed(rising)} is high"] if rising else []
    parts += [f"on where {listed(falling)} is low"] if falling else []
    parts += [f"depends on the category of {listed(coded)}"] if coded else []
    return "; ".join(parts) or "no single column: it responds to several together"


def _picture(values: np.ndarray, means: np.ndarray, side: int, number: int) -> Picture:
    weighted = means @ values / max(float(means.sum()), 1e-12) - values.mean(axis=0)
    label = (
        f"Unit {number}: mean of the rows weighted by P(h = 1 | x), less the mean of all rows; "
        "red is more, blue is less"
    )
    return signed_picture(weighted.reshape(side, side), label, f"unit {number}")
