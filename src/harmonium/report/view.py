"""What a report is made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harmonium.data import Table
from harmonium.inference import Density, Detector
from harmonium.learning.result import Record


@dataclass(frozen=True)
class RunView:
    """A fitted run and the rows that its report shows.

    `metrics` are those of a run folder: held-out score, diagnostics, repairs, times; what is absent
    is left out of the page. `settings` and `provenance` (names and values) are shown as they are.
    `table` holds rows of the fitted columns, or None; `row_numbers` are their numbers in the table
    that they come from, of `n_table_rows` rows: all of `table`, counted from 1, if left out.
    `identifiers` are the cells, one per row of `table`, of columns that name rows.

    The table is described from all rows; figures show at most `max_rows` of them. The detector
    scores as many rows as `n_scored` complete ones take time, of which one with missing cells takes
    ten; the others are left out at random. `told_apart` has figures of classifiers by name, of
    draws beside rows and of one half of the rows beside the other. `name` heads the page.
    """

    density: Density
    detector: Detector | None = None
    history: tuple[Record, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    table: Table | None = None
    row_numbers: np.ndarray | None = None
    n_table_rows: int | None = None
    identifiers: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    max_rows: int = 2000
    n_scored: float = math.inf
    told_apart: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 0
    name: str = "run"

    @property
    def was_trained(self) -> bool | None:
        """Whether a residual energy was trained; None where nothing tells."""
        if self.history or self.density.has_residual:
            return True
        n_updates = self.metrics.get("updates")
        return None if n_updates is None else n_updates > 0
