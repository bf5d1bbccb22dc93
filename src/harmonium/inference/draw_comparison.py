"""Draws of a density beside its training rows: columns, correlations, and combinations that never
occur.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

from harmonium.inference.density import Density
from harmonium.inference.verdict import Difference, DrawComparison
from harmonium.typing import Points, Values

N_DRAWS = 1024
# Rows of the table that draws are compared with, at most.
MOST_ROWS = 5000
# Errors of a model that do no harm, in shares of rows and in correlations.
MARGINAL_ERROR = 0.05
CORRELATION_ERROR = 0.1
# Chance that limits for all columns or pairs together are exceeded by draws of the truth.
LEVEL = 0.01
# Of n rows none has a combination of probability 3/n with a chance of one in twenty.
RULE_OF_THREE = 3.0
STANDARD_ERRORS = 3.0

Codes = Int[np.ndarray, "2 rows"]
Matrix = Float[np.ndarray, "modeled modeled"]


def compare_draws(
    density: Density, values: Values, rng: np.random.Generator, *, seed: int
) -> DrawComparison:
    """Compare draws of a density with its training rows (rows, columns).

    Missing cells of the rows are left out, column by column or pair by pair.
    """
    if len(values) > MOST_ROWS:
        values = values[rng.choice(len(values), MOST_ROWS, replace=False)]
    coordinates = density.coordinates
    drawn, ess = density.boxes.draw_rows(N_DRAWS, seed=seed)
    # A place within a cell is nobody's business: cells are compared, each by its center.
    centers = coordinates.marginals.centers
    points, own = centers(values), centers(coordinates.restore(drawn))
    names = coordinates.columns.modeled_names
    worth = min(ess, N_DRAWS)
    return DrawComparison(
        n_draws=N_DRAWS,
        ess=ess,
        marginals=_compare_marginals(points, own, worth, names),
        correlations=_compare_correlations(points, own, worth, names),
        combinations=_compare_combinations(density, values, drawn, worth),
    )


def _compare_marginals(
    rows: Points, drawn: Points, worth: float, names: tuple[str, ...]
) -> Difference:
    """The two-sample statistic of Kolmogorov and Smirnov, column by column."""
    n_columns = rows.shape[1]
    quantile = (-0.5 * np.log(LEVEL / n_columns / 2)) ** 0.5
    gaps, limits = np.zeros(n_columns), np.ones(n_columns)
    for j in range(n_columns):
        known = np.sort(rows[~np.isnan(rows[:, j]), j])
        own = np.sort(drawn[:, j])
        places = np.concatenate([known, own])
        shares = [np.searchsorted(part, places, side="right") / len(part) for part in (known, own)]
        gaps[j] = np.abs(shares[0] - shares[1]).max()
        limits[j] = MARGINAL_ERROR + quantile * (1 / len(known) + 1 / worth) ** 0.5
    worst = int(np.argmax(gaps - limits))
    return Difference(float(gaps[worst]), float(limits[worst]), (names[worst],))


def _compare_correlations(
    rows: Points, drawn: Points, worth: float, names: tuple[str, ...]
) -> Difference | None:
    first, second = np.triu_indices(rows.shape[1], 1)
    if not len(first):
        return None
    (of_rows, counts), (of_draws, _) = _correlations(rows), _correlations(drawn)
    gaps = np.abs(of_rows - of_draws)[first, second]
    quantile = -float(ndtri(LEVEL / len(first) / 2))
    # Rare cells that come together make a correlation, and one more or less changes it.
    weight = np.maximum(1.0, np.maximum(_square_moments(rows), _square_moments(drawn)))
    chance = (weight * (1 / np.maximum(counts, 1) + 1 / worth))[first, second] ** 0.5
    limits = CORRELATION_ERROR + quantile * chance
    worst = int(np.argmax(gaps - limits))
    pair = (names[first[worst]], names[second[worst]])
    return Difference(float(gaps[worst]), float(limits[worst]), pair)


def _correlations(points: Points) -> tuple[Matrix, Matrix]:
    """Correlations over the rows that have both cells, and how many these are."""
    known = (~np.isnan(points)).astype(float)
    filled = np.nan_to_num(points)
    counts = known.T @ known
    n = np.maximum(counts, 1)
    mean = filled.T @ known / n
    covariance = filled.T @ filled / n - mean * mean.T
    variance = (filled**2).T @ known / n - mean**2
    scale = np.sqrt(np.maximum(variance * variance.T, 1e-12))
    return covariance / scale, counts


def _square_moments(points: Points) -> Matrix:
    """The mean of x²y² of standardized columns, over the rows that have both cells: n times the
    variance of their correlation, about.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = (points - np.nanmean(points, axis=0)) / np.nanstd(points, axis=0)
    squares = np.nan_to_num(standard) ** 2
    known = (~np.isnan(points)).astype(float)
    return squares.T @ squares / np.maximum(known.T @ known, 1)


def _compare_combinations(
    density: Density, values: Values, drawn: Points, worth: float
) -> Difference | None:
    """The share of draws in combinations of two columns of levels that no row has, for the worst
    pair.

    As much is allowed as such combinations may have by the rule of three, all together.
    """
    marginals = density.coordinates.marginals
    leveled = [j for j, part in enumerate(marginals.parts) if part.body is None]
    pairs = list(combinations(leveled, 2))
    if not pairs:
        return None
    names, cells = density.columns.modeled_names, marginals.restore(drawn)
    modeled = values[:, density.columns.modeled_index]
    of_rows, of_draws = (
        {j: marginals.parts[j].index(table[:, j]) for j in leveled} for table in (modeled, cells)
    )
    found = []
    for first, second in pairs:
        size = len(marginals.parts[first].atoms), len(marginals.parts[second].atoms)
        in_rows, in_draws = (np.stack([own[first], own[second]]) for own in (of_rows, of_draws))
        share, allowed = _unseen_share(in_rows, in_draws, size, worth)
        found.append(Difference(share, allowed, (names[first], names[second])))
    return max(found, key=lambda own: own.value - own.allowed)


def _unseen_share(
    rows: Codes, drawn: Codes, size: tuple[int, int], worth: float
) -> tuple[float, float]:
    """The share of draws in combinations of two codes that no row has, and how much is allowed."""
    known = rows[:, np.all(rows >= 0, axis=0)]
    seen = np.unique(known[0] * size[1] + known[1])
    share = float(np.mean(~np.isin(drawn[0] * size[1] + drawn[1], seen)))
    n_unseen = size[0] * size[1] - len(seen)
    likely = min(1.0, n_unseen * RULE_OF_THREE / max(known.shape[1], 1))
    chance = STANDARD_ERRORS * (likely * (1 - likely) / worth) ** 0.5
    return share, min(1.0, likely + chance)
