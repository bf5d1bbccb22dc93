"""Rows drawn from a density given some of their cells: `sample(n, given={column: value or interval})`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data import Columns, as_table
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.conditional import Bounds, Effort, draw_batches, known_cells
from harmonium.inference.density import Density
from harmonium.model.conditionals import exact_conditional
from harmonium.model.oracles import MAX_SAMPLED_HIDDEN

CALL = "sample(n, given=...)"
FEWEST_CHAINS, MOST_CHAINS = 256, 2048
N_TEMPERATURES = 100
N_BETWEEN = 25
LOWEST_ACCEPTANCE = 0.1
FEWEST_EFFECTIVE = 0.05


@dataclass(frozen=True)
class ConditionalDiagnostics:
    """How conditional draws came about: acceptance of the moves, effective sample size of the annealed chains.

    `log_probability` is log p of what was given, in nats: a density for values, a probability for intervals and
    categories. `verdict` says in words whether the draws may be trusted, `trusted` says it to programs.
    """

    method: str
    acceptance: float
    ess: float
    n_chains: int
    log_probability: float
    trusted: bool
    verdict: str


@dataclass(frozen=True)
class Condition:
    """What is given: bounds of the modeled columns (1, modeled), and values of whole columns by their index."""

    bounds: Bounds
    values: dict[int, float]

    @property
    def is_exact(self) -> bool:
        """Whether every column is either given by a value or open."""
        low, high = self.bounds
        return bool(np.all((low == high) | (np.isinf(low) & np.isinf(high))))


def sample_given(
    density: Density, n: int, given: Mapping[str, Any], *, seed: int
) -> tuple[np.ndarray, ConditionalDiagnostics]:
    """Draw n rows (n, columns) in data units given some columns, with their diagnostics.

    Exact and independent where the feature map is affine, hidden units are few (16) and values, no intervals or
    categories, are given; annealed chains otherwise. Raises `InvalidInputError` for what no row can be.
    """
    condition = read_condition(density, given)
    model = density.model
    if model.is_affine and model.n_hidden <= MAX_SAMPLED_HIDDEN and condition.is_exact:
        standard, diagnostics = _draw_exactly(density, condition, n, seed)
    else:
        standard, diagnostics = _draw_by_chains(density, condition, n, seed)
    rows = density.columns.restore(density.transform.from_standard(standard))
    for index, value in condition.values.items():
        rows[:, index] = value
    return rows, diagnostics


def read_condition(density: Density, given: Mapping[str, Any]) -> Condition:
    """Check what is given and turn it into bounds."""
    columns = density.columns
    if not isinstance(given, Mapping) or not given:
        raise _problem("a dictionary {column: value or (low, high)}", repr(given)[:80])
    values: dict[int, float] = {}
    intervals: dict[int, tuple[float, float]] = {}
    for name, wanted in given.items():
        index = _index_of(columns, name)
        if isinstance(wanted, tuple | list):
            intervals[index] = _read_interval(columns, index, wanted)
        else:
            values[index] = _read_value(columns, index, wanted)
    row = np.full((1, len(columns.names)), np.nan)
    for index, value in values.items():
        row[0, index] = value
    bounds = known_cells(columns, density.transform, row)
    place = {column: j for j, column in enumerate(columns.modeled_index)}
    for index, (low, high) in intervals.items():
        bounds.low[0, place[index]], bounds.high[0, place[index]] = low, high
    return Condition(bounds, values)


def _index_of(columns: Columns, name: Any) -> int:
    """Position of the modeled column that is meant; a duplicate means its source."""
    if name not in columns.names:
        raise _problem(f"columns among {list(columns.names)}", repr(name))
    index = columns.names.index(name)
    kind = columns.kinds[index]
    if kind == "duplicate":
        return int(columns.source[index])
    if kind in ("constant", "ignored"):
        raise _problem("columns that are modeled", f"{name!r}, which is {kind}")
    return index


def _read_value(columns: Columns, index: int, wanted: Any) -> float:
    """The cell as the table codes it, after a check that a row may have it."""
    import pyarrow as pa

    field, levels = columns.fields[index], columns.levels[index]
    try:
        cells = pa.table({field.name: [wanted]})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _problem(f"a cell for {field.name!r}", repr(wanted)[:80]) from error
    value = float(as_table(cells, call=CALL, fields=(field,)).values[0, 0])
    if math.isnan(value):
        raise _problem(f"a value for {field.name!r}", f"{wanted!r}; leave open columns out")
    if levels is not None and levels.index(np.array([value]))[0] < 0:
        codes = sorted(levels.codes.tolist())
        seen = [field.categories[int(code)] for code in codes] if field.categories else codes
        raise _problem(f"{field.name!r} among {seen}", repr(wanted))
    if columns.kinds[index] == "grid":
        off = (value - columns.offset[index]) / columns.step[index]
        if abs(off - round(off)) > 1e-3:
            lattice = f"{columns.offset[index]:g} + {columns.step[index]:g} times a whole number"
            raise _problem(f"{field.name!r} on its grid, {lattice}", repr(wanted))
    return value


def _read_interval(columns: Columns, index: int, wanted: Any) -> tuple[float, float]:
    """Bounds of a numeric column; in a grid column, those of the cells whose centers lie inside."""
    field = columns.fields[index]
    if columns.levels[index] is not None:
        raise _problem(f"one category for {field.name!r}", repr(wanted))
    if len(wanted) != 2:
        raise _problem(f"an interval (low, high) for {field.name!r}", repr(wanted))
    open_ends = (-math.inf, math.inf)
    low, high = (
        end
        if given is None or given == end
        else float(_read_value(_without_grid(columns, index), 0, given))
        for given, end in zip(wanted, open_ends, strict=True)
    )
    if columns.kinds[index] == "grid":
        offset, step = columns.offset[index], columns.step[index]
        first, last = math.ceil, math.floor
        low = low if math.isinf(low) else offset + step * (first((low - offset) / step) - 0.5)
        high = high if math.isinf(high) else offset + step * (last((high - offset) / step) + 0.5)
    if not low < high:
        raise _problem(f"low < high for {field.name!r}, with values between", repr(wanted))
    return low, high


def _without_grid(columns: Columns, index: int) -> Columns:
    """The one column, as if it were continuous: the ends of an interval need not lie on a grid."""
    zero = np.zeros(1)
    return Columns(
        fields=(columns.fields[index],),
        kinds=("continuous",),
        constant=zero,
        source=zero.astype(np.int64),
        offset=zero,
        step=zero,
        decimals=np.array([-1]),
        levels=(None,),
        n_rows=columns.n_rows,
    )


def _draw_exactly(
    density: Density, condition: Condition, n: int, seed: int
) -> tuple[np.ndarray, ConditionalDiagnostics]:
    low, high = condition.bounds
    points = np.where(low == high, low, np.nan)
    matrix = density.transform.matrix
    found = exact_conditional(density.model, density.transform.standardize(points)[0], matrix)
    standard = found.draw(n, np.random.default_rng(seed))
    diagnostics = ConditionalDiagnostics(
        method="exact enumeration",
        acceptance=1.0,
        ess=float(n),
        n_chains=n,
        log_probability=_log_probability(density, points, found.log_mass),
        trusted=True,
        verdict="The draws are exact and independent.",
    )
    return standard, diagnostics


def _draw_by_chains(
    density: Density, condition: Condition, n: int, seed: int
) -> tuple[np.ndarray, ConditionalDiagnostics]:
    n_chains = min(max(n, FEWEST_CHAINS), MOST_CHAINS)
    effort = Effort(n_chains, N_TEMPERATURES, -(-n // n_chains), N_BETWEEN)
    (drawn,) = draw_batches(
        density.model, density.transform, condition.bounds, seed=seed, effort=effort
    )
    low, high = condition.bounds
    ess, log_mass = float(drawn.ess[0]), float(drawn.log_mass[0])
    concerns = []
    if not np.all(np.isfinite(drawn.standard)) or not math.isfinite(log_mass):
        concerns.append("some are not finite")
    if not drawn.acceptance >= LOWEST_ACCEPTANCE:
        concerns.append(f"the chains hardly moved (acceptance {drawn.acceptance:.2f})")
    if not ess >= FEWEST_EFFECTIVE * n_chains:
        concerns.append(
            f"the annealed chains are worth {ess:.0f} of {n_chains}, so modes may be missing"
        )
    words = f"Draws are NOT to be trusted: {'; '.join(concerns)}."
    diagnostics = ConditionalDiagnostics(
        method="annealed Hamiltonian chains",
        acceptance=drawn.acceptance,
        ess=ess,
        n_chains=n_chains,
        log_probability=_log_probability(density, np.where(low == high, low, np.nan), log_mass),
        trusted=not concerns,
        verdict=words if concerns else "Nothing speaks against the draws: the chains moved.",
    )
    # Chains that descend from one another stand side by side.
    order = np.random.default_rng(seed).permutation(drawn.standard.shape[1])[:n]
    return drawn.standard[0, order], diagnostics


def _log_probability(density: Density, points: np.ndarray, log_mass: float) -> float:
    """log p of what is given: slopes count for columns that are given by a value."""
    log_det = float(density.transform.log_det(points)[0])
    return log_mass + log_det - density.log_partition.value


def _problem(expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(describe(CALL, expected=expected, got=got))
