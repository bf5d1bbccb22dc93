"""The columns of a table as a program: coded cells to points and intervals of u, and rules."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from harmonium.data import Marginals
from harmonium.data.levels import CODED
from harmonium.data.marginal import Marginal
from harmonium.export.numbers import Cells, Form, Found, Numbers, chosen, form_of, matches

_KEEPS_RULE = 1e-9


class Labels:
    """Columns whose cells are intervals of u one and all: categories, and few numbers."""

    def __init__(self, parts: Sequence[Marginal]):
        n_levels = max(len(part.atoms) for part in parts)

        def filled(arrays: Sequence[np.ndarray]) -> np.ndarray:
            rows = [np.append(own, np.full(n_levels - len(own), np.nan)) for own in arrays]
            return np.stack(rows)

        self.codes = filled([part.atoms for part in parts])
        ends = [part.bounds(part.atoms) for part in parts]
        self.low, self.high = (filled([own[side] for own in ends]) for side in (0, 1))
        self.center = filled([part.centers(part.atoms) for part in parts])
        self.step = np.array([part.shape.step for part in parts])
        self.log_step = -np.log(np.where(self.step > 0, self.step, 1.0))

    def find(self, cells: Cells) -> Found:
        """The ends of cells in u, and their log-measure."""
        hits = matches(cells, self.codes, self.step)
        known = jnp.any(hits, axis=2)
        measure = jnp.where(known, self.log_step[None, :], 0.0)
        high = -chosen(hits, -self.high)
        return Found(chosen(hits, self.low), high, jnp.zeros(cells.shape, bool), measure)

    def centers(self, cells: Cells) -> Cells:
        """The medians of cells, NaN where they are missing or of no known level."""
        hits = matches(cells, self.codes, self.step)
        return jnp.where(jnp.any(hits, axis=2), chosen(hits, self.center), jnp.nan)

    def is_unseen(self, cells: Cells) -> Bool[Array, "rows columns"]:
        """Which cells are there, but of no level that training has seen."""
        return ~jnp.any(matches(cells, self.codes, self.step), axis=2) & ~jnp.isnan(cells)


class _Block(NamedTuple):
    """Some modeled columns, by their places in the table, and what computes them together."""

    columns: np.ndarray
    parts: Numbers | Labels


class ColumnProgram:
    """What `Marginals` and `Columns` say of coded cells (rows, columns), as traceable functions.

    `fine`, boolean (modeled,), says which lattices have cells that are taken for points.
    """

    def __init__(self, marginals: Marginals, fine: np.ndarray | None = None):
        index = marginals.columns.modeled_index
        fine = np.zeros(len(index), bool) if fine is None else fine
        forms: dict[Form | None, list[int]] = {}
        for j, part in enumerate(marginals.parts):
            form = None if part.body is None else form_of(part, as_points=bool(fine[j]))
            forms.setdefault(form, []).append(j)
        self.columns = marginals.columns
        self._blocks = []
        for form, places in forms.items():
            own = [marginals.parts[j] for j in places]
            parts = Labels(own) if form is None else Numbers(form, own)
            self._blocks.append(_Block(index[places], parts))
        # Where a modeled column stands among those of all blocks.
        self._order = np.argsort(np.concatenate(list(forms.values())))

    @property
    def may_be_points(self) -> bool:
        """Whether there are rows all of whose cells are points."""
        return all(
            isinstance(block.parts, Numbers) and not block.parts.form.is_lattice
            for block in self._blocks
        )

    def find(self, values: Cells) -> Found:
        """The ends of the cells of rows in u, (rows, modeled), and their log-measures."""
        found = [block.parts.find(_taken(values, block.columns)) for block in self._blocks]
        return Found(*(self._joined(parts) for parts in zip(*found, strict=True)))

    def centers(self, values: Cells) -> Cells:
        """One point u in every cell of rows, (rows, modeled), NaN where there is none."""
        found = [block.parts.centers(_taken(values, block.columns)) for block in self._blocks]
        return self._joined(found)

    def log_rule(self, values: Cells) -> Float[Array, "rows"]:
        """What rules of all columns add to the log-density of rows, in nats."""
        return self.log_rule_of_table(values) + self._log_rule_of_levels(values, coded=False)

    def log_rule_of_table(self, values: Cells) -> Float[Array, "rows"]:
        """What constants, duplicates and categories add; few numbers that are no code do not."""
        columns = self.columns
        constant = np.array([kind == "constant" for kind in columns.kinds])
        twin = np.array([kind == "duplicate" for kind in columns.kinds])
        total = self._log_rule_of_levels(values, coded=True)
        for rule, expected in (
            (constant, lambda: jnp.asarray(columns.constant[constant])[None]),
            (twin, lambda: _taken(values, columns.source[twin])),
        ):
            if rule.any():
                total = total + self._log_kept(_taken(values, np.flatnonzero(rule)), expected)
        return total

    def _log_kept(self, cells: Cells, expected: Callable[[], Cells]) -> Float[Array, "rows"]:
        other = jnp.broadcast_to(expected(), cells.shape)
        far = _KEEPS_RULE * jnp.maximum(jnp.abs(cells), jnp.abs(other))
        broken = (jnp.abs(cells - other) > far) & ~jnp.isnan(other)
        return self._log_of(broken, ~jnp.isnan(cells))

    def _log_rule_of_levels(self, values: Cells, *, coded: bool) -> Float[Array, "rows"]:
        total = jnp.zeros(values.shape[0], values.dtype)
        for block in self._blocks:
            if isinstance(block.parts, Labels):
                cells = _taken(values, block.columns)
                own = np.array([self.columns.kinds[i] in CODED for i in block.columns]) == coded
                known = ~jnp.isnan(cells) & own[None, :]
                total = total + self._log_of(block.parts.is_unseen(cells), known)
        return total

    def _log_of(self, broken: Array, known: Array) -> Float[Array, "rows"]:
        n = self.columns.n_rows
        kept, lost = float(np.log((n + 1) / (n + 2))), -float(np.log(n + 2))
        found = jnp.where(known, jnp.where(broken, lost, kept), 0.0)
        return jnp.sum(found, axis=1)

    def _joined(self, parts: Sequence[Cells]) -> Cells:
        return _taken(jnp.concatenate(parts, axis=1), self._order)


def _taken(values: Cells, columns: np.ndarray) -> Cells:
    """Some columns of a table; by slices, which every runtime has, where they are neighbors."""
    if len(columns) and np.all(np.diff(columns) == 1):
        return jax.lax.slice_in_dim(values, int(columns[0]), int(columns[-1]) + 1, axis=1)
    return values[:, np.asarray(columns)]
