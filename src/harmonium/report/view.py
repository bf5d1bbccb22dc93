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

    All rows describe the table; figures show at most `max_rows` of them. The detector scores as
    many rows as cost what `n_scored` complete rows do; a row with missing cells costs ten. The rows
    that are not scored are left out at random. `classifiers` holds scores of two-sample tests by
    name: of draws beside rows, and of one half of the rows beside the other. `name` heads the page.
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
    classifiers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 0
    name: str = "run"

    @property
    def was_trained(self) -> bool | None:
        """Whether a residual energy was trained; None where nothing tells."""
        if self.history or self.density.has_residual:
            return True
        n_updates = self.metrics.get("updates")
        return None if n_updates is None else n_updates > 0
