"""How training went: log-densities and the health of the chains over the updates, with repairs
marked.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harmonium.learning.result import Record
from harmonium.report.charts import DATA, REFERENCE, SAMPLES, WARNING, Chart, draw
from harmonium.report.view import RunView
from harmonium.report.words import count, duration, fixed, number, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UPDATES = "parameter updates"
# Names in the history, what they are called, and what is to be seen in them.
HEALTH = (
    (
        "energy_gap",
        "energy gap, nats",
        "Mean free energy of the chains less that of the data: near 0 where chains keep up with "
        "the model.",
    ),
    (
        "acceptance",
        "acceptance",
        "Share of the proposals that the chains accepted: a half or so is good, below 0.15 they "
        "hardly move.",
    ),
    (
        "ess",
        "effective share",
        "Effective sample size of the weighted population over its number of chains: 1 is best, "
        "and low weights are resampled.",
    ),
    (
        "running_ess",
        "effective draws",
        "Effective sample size of the draws that the running log Z rests on: it falls as the "
        "model leaves its base.",
    ),
    (
        "r_hat",
        "R-hat",
        "Worst R-hat of chains with the parameters frozen, checked now and then: below 1.05 they "
        "agree.",
    ),
)


@dataclass(frozen=True)
class Repair:
    """What was repaired, and after which update."""

    update: str
    seconds: str
    event: str


@dataclass(frozen=True)
class Training:
    """The curves of a fit; `absent` says what the history does not hold, and why."""

    curve: Chart | None
    health: list[tuple[Chart, str]]
    repairs: list[Repair]
    absent: str


def training(view: RunView) -> Training:
    """The training section; without a history all of it is empty."""
    history = view.history
    health = [
        (chart, meaning)
        for name, title, meaning in HEALTH
        if (chart := _line_chart(history, name, title)) is not None
    ]
    repairs = [
        Repair(count(number(r, "update")), duration(number(r, "seconds")), str(r["event"]))
        for r in history
        if r.get("event")
    ]
    curve = _curve(view)
    absent = ""
    if not history:
        absent = (
            "Nothing was trained: the density is that of its base."
            if view.was_trained is False
            else "The history of the training is not at hand."
        )
    elif curve is None:
        absent = "This objective keeps no running log Z, so there is no curve of log-densities."
    return Training(curve, health, repairs, absent)


def series(history: tuple[Record, ...], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Updates and finite values of a quantity, (points,) each."""
    rows = [(number(r, "update"), number(r, name)) for r in history]
    points = np.array(rows, float).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    return points[:, 0], points[:, 1]


def _curve(view: RunView) -> Chart | None:
    names = ("train_log_likelihood", "validation_log_likelihood")
    (x, trained), (x_held, held) = (series(view.history, name) for name in names)
    if not len(x) or not len(x_held):
        return None
    kept = number(view.metrics, "kept_update")
    label = (
        f"Log-density over {count(x[-1])} updates: from {fixed(float(held[0]))} to "
        f"{fixed(float(held[-1]))} nats per row "
        f"on validation rows, from {fixed(float(trained[0]))} to {fixed(float(trained[-1]))} on "
        "training rows."
    )
    if np.isfinite(kept):
        label += f" The state after update {count(kept)} was kept."

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        for name, places, values, color in (
            ("training rows", x, trained, DATA),
            ("validation rows", x_held, held, SAMPLES),
        ):
            axes.plot(places, values, color=color, linewidth=1.8, label=name)
        if np.isfinite(kept):
            axes.axvline(kept, color=REFERENCE, linestyle=":", linewidth=1.4, label="kept")
        axes.set_ylim(**_robust_range(np.append(trained, held)))
        _finish(figure, view.history, "log-density, nats per row")
        figure.legend(loc="outside upper left", ncols=3)

    return draw("training", label, (430, 250), paint)


def _robust_range(values: np.ndarray) -> dict:
    """A range that one bad evaluation does not stretch; none where there is no such."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 1.0])
    floor = low - 2 * (high - low)
    if values.min() >= floor or high == middle:
        return {}
    return {"bottom": float(floor), "top": float(high + 0.05 * (high - low))}


def _line_chart(history: tuple[Record, ...], name: str, title: str) -> Chart | None:
    x, y = series(history, name)
    if not len(x):
        return None
    label = (
        f"{title[0].upper()}{title[1:]} over the updates: {short(float(y[-1]))} at the end, "
        "between "
        f"{short(float(y.min()))} and {short(float(y.max()))}."
    )

    def paint(figure: "Figure") -> None:
        figure.subplots().plot(x, y, color=DATA, linewidth=1.8)
        _finish(figure, history, title)

    return draw(f"training-{name}", label, (320, 190), paint)


def _finish(figure: "Figure", history: tuple[Record, ...], title: str) -> None:
    """What all curves over the updates share: their axes, and a line at every repair."""
    axes = figure.axes[0]
    for record in history:
        if record.get("event"):
            axes.axvline(float(record["update"]), color=WARNING, linestyle="--", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_xlabel(UPDATES)
    axes.set_ylabel(title)
