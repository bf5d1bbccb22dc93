"""Pictures of a fitted density beside rows of a table, in data units."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium.data import as_table, decode_columns
from harmonium.data.marginal import Marginal
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators import DensityEstimator
from harmonium.inference import Density
from harmonium.inference.density import untrained
from harmonium.plot.axes import DATA, MODEL, axes_for, grid_for, named_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PAIRS, MOST_MARGINALS = 5, 12
ACROSS = 3
N_DRAWS = 500
FINEST = 120
# Nats below the highest place of a surface that has the color of nothing.
DEPTH = 10.0


def marginals(
    estimator: DensityEstimator,
    X: Any = None,
    *,
    columns: Sequence[str] | None = None,
    axes: Any = None,
    n_draws: int = N_DRAWS,
    random_state: int = 0,
) -> np.ndarray:
    """Histograms of columns: of draws of the density, and of rows X if they are given.

    Returns one axes per column, flat; of the first twelve modeled columns if none are named.
    """
    call = "plot.marginals(estimator, X)"
    density = estimator.density_
    index = _modeled(call, density, columns, MOST_MARGINALS)
    drawn = density.sample(n_draws, seed=random_state)[0]
    rows = None if X is None else _values(call, density, X)
    shape = (-(-len(index) // ACROSS), min(len(index), ACROSS))
    grid = grid_for(call, axes, shape, (2.6 * shape[1], 2.1 * shape[0]))
    flat = grid.ravel()
    for own, i in zip(flat, index, strict=False):
        _histogram(own, density, i, rows, drawn)
    for left_over in flat[len(index) :]:
        left_over.set_axis_off()
    flat[0].legend(fontsize="small")
    return flat[: len(index)]


def pairs(
    estimator: DensityEstimator,
    X: Any,
    *,
    columns: Sequence[str] | None = None,
    axes: Any = None,
    n_draws: int = N_DRAWS,
    random_state: int = 0,
) -> np.ndarray:
    """Every two columns against each other: rows X below the diagonal, draws of the density above,
    histograms of both on it.

    Returns axes (columns, columns); of the first five modeled columns if none are named.
    """
    call = "plot.pairs(estimator, X)"
    density = estimator.density_
    index = _modeled(call, density, columns, MOST_PAIRS)
    rows = _values(call, density, X)
    drawn = density.sample(n_draws, seed=random_state)[0]
    shown = rows[np.random.default_rng(random_state).permutation(len(rows))[:n_draws]]
    n = len(index)
    grid = grid_for(call, axes, (n, n), (1.9 * n + 0.5, 1.8 * n + 0.4))
    for a, up in enumerate(index):
        for b, across in enumerate(index):
            own = grid[a, b]
            if a == b:
                _histogram(own, density, up, rows, drawn)
                own.set_xlabel("")
            else:
                cells, color = (shown, DATA) if a > b else (drawn, MODEL)
                own.plot(
                    cells[:, across], cells[:, up], ".", color=color, markersize=2.5, alpha=0.6
                )
            own.tick_params(labelsize="x-small")
            if a == n - 1:
                own.set_xlabel(density.columns.names[across])
            if b == 0:
                own.set_ylabel(density.columns.names[up])
    return grid


def energy_along(
    estimator: DensityEstimator,
    start: Any,
    end: Any,
    *,
    axes: "Axes | None" = None,
    n_points: int = 200,
) -> "Axes":
    """The free energy F from one row to another, in a straight line of model units, and that of
    the base alone.

    `start` and `end` are tables of one row, without missing cells. Minima are modes along the
    line, and what lies between them is what a chain has to cross.
    """
    call = "plot.energy_along(estimator, start, end)"
    density = estimator.density_
    ends = [_values(call, density, row) for row in (start, end)]
    units = [density.in_model_units(row) for row in ends]
    if any(len(own) != 1 for own in ends) or np.isnan(units).any():
        got = f"{[len(own) for own in ends]} rows, or rows with missing cells"
        raise InvalidInputError(describe(call, expected="two tables of one whole row", got=got))
    share = np.linspace(0, 1, n_points)
    line = units[0] + share[:, None] * (units[1] - units[0])
    drawn = axes_for(call, axes)
    drawn.plot(share, density.free_energy_of_units(line), color=MODEL, label="free energy")
    if density.has_residual:
        plain = untrained(density).free_energy_of_units(line)
        drawn.plot(share, plain, color="gray", linestyle="--", label="of the base alone")
    drawn.set(xlabel="from the first row (0) to the second (1)", ylabel="F (nats, model units)")
    drawn.legend()
    return drawn


def surface(
    estimator: DensityEstimator,
    X: Any,
    *,
    columns: Sequence[str] | None = None,
    held: int = 0,
    axes: "Axes | None" = None,
    depth: float = DEPTH,
    n_points: int = FINEST,
) -> "Axes":
    """The log-density of two columns of numbers, the others at the cells of row `held` of X, with
    the rows X on it.

    The plane is that of the rows shown. Places that are `depth` nats below the highest have the
    color of nothing. Raises `InvalidInputError` for columns of categories and levels.
    """
    call = "plot.surface(estimator, X)"
    density = estimator.density_
    rows = _values(call, density, X)
    numbers = [
        int(i)
        for i, part in zip(
            density.columns.modeled_index, density.coordinates.marginals.parts, strict=True
        )
        if part.body is not None
    ]
    names = [density.columns.names[i] for i in numbers]
    chosen = [numbers[k] for k in named_columns(call, columns, names, 2)]
    if len(chosen) != 2 or not 0 <= held < len(rows):
        expected, got = "two columns of numbers and a row of X", f"{len(chosen)} and row {held}"
        raise InvalidInputError(describe(call, expected=expected, got=got))
    lines = [_line(rows[:, i], n_points) for i in chosen]
    x, y = np.meshgrid(*lines)
    grid = np.repeat(rows[held][None], x.size, axis=0)
    grid[:, chosen[0]], grid[:, chosen[1]] = x.ravel(), y.ravel()
    found = density.log_density(grid).reshape(x.shape)
    drawn = axes_for(call, axes, (6.0, 4.6))
    shown = drawn.pcolormesh(x, y, np.maximum(found, found.max() - depth), rasterized=True)
    drawn.plot(
        *(rows[:, i] for i in chosen), "o", markersize=2.2, color="white", markeredgecolor="black",
        markeredgewidth=0.3,
    )  # fmt: skip
    drawn.set(xlim=lines[0][[0, -1]], ylim=lines[1][[0, -1]])
    drawn.set(xlabel=density.columns.names[chosen[0]], ylabel=density.columns.names[chosen[1]])
    drawn.figure.colorbar(shown, ax=drawn, label="log-density (nats)")
    return drawn


def _line(cells: np.ndarray, n: int) -> np.ndarray:
    low, high = np.nanquantile(cells, [0.002, 0.998])
    room = 0.06 * (high - low) or 1.0
    return np.linspace(low - room, high + room, n)


def _modeled(call: str, density: Density, columns: Sequence[str] | None, most: int) -> list[int]:
    """Positions in the table of the named columns, all modeled ones."""
    chosen = named_columns(call, columns, density.columns.modeled_names, most)
    return [int(density.columns.modeled_index[k]) for k in chosen]


def _values(call: str, density: Density, X: Any) -> np.ndarray:
    return as_table(X, call=call, fields=density.columns.fields).values


def _histogram(
    axes: "Axes", density: Density, i: int, rows: np.ndarray | None, drawn: np.ndarray
) -> None:
    """Shares of the cells of a column, in bars of equal width, or one per level."""
    j = int(np.flatnonzero(density.columns.modeled_index == i)[0])
    part = density.coordinates.marginals.parts[j]
    kinds = [("draws", drawn[:, i], MODEL)] + ([] if rows is None else [("rows", rows[:, i], DATA)])
    if part.body is None:
        _level_bars(axes, density, i, part, kinds)
    else:
        known = np.concatenate([cells for _, cells, _ in kinds])
        low, high = np.nanquantile(known, [0.002, 0.998])
        bins = np.linspace(low, high if high > low else low + 1, 31)
        for label, cells, color in kinds[::-1]:
            inside = cells[(cells >= low) & (cells <= high)]
            shares = np.full(len(inside), 1 / max((~np.isnan(cells)).sum(), 1))
            axes.hist(inside, bins, weights=shares, histtype="step", color=color, label=label)
    axes.set_xlabel(density.columns.names[i])
    axes.set_yticks([])


def _level_bars(
    axes: "Axes", density: Density, i: int, part: Marginal, kinds: list[tuple[str, Any, str]]
) -> None:
    """One bar per level and kind, in the order of the levels on the line."""
    names = decode_columns(part.atoms[:, None], (density.columns.fields[i],))
    labels = [str(cell) for cell in next(iter(names.values())).to_pylist()]
    places, width = np.arange(len(labels)), 0.8 / len(kinds)
    for k, (label, cells, color) in enumerate(kinds[::-1]):
        known = cells[~np.isnan(cells)]
        shares = [np.mean(known == atom) if len(known) else 0.0 for atom in part.atoms]
        axes.bar(
            places + (k - (len(kinds) - 1) / 2) * width, shares, width, color=color, label=label
        )
    axes.set_xticks(places, labels, fontsize="x-small", rotation=90 if len(labels) > 3 else 0)
