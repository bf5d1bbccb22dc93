"""Fitting what tells draws of a density from the rows of its table."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float

from harmonium.inference.coordinates import Points, Values
from harmonium.inference.density import Density
from harmonium.inference.placement import Placement
from harmonium.inference.refinement import Refinement, Unseen
from harmonium.learning.boosting import fit_trees

# With fewer rows, trees would learn chance.
FEWEST_ROWS, MOST_ROWS = 100, 10_000
DRAWS_PER_ROW = 3
# Pairs of categories of two columns, beyond which nearly none of them is ever seen.
MOST_PAIRS = 4096


def fit_refinement(
    density: Density, values: Values, rng: np.random.Generator, *, seed: int
) -> Refinement | None:
    """What tells draws of a density from its training rows (rows, columns); None for few rows."""
    if len(values) < FEWEST_ROWS:
        return None
    values = values[rng.permutation(len(values))[:MOST_ROWS]]
    points, _ = density.boxes.draw_rows(DRAWS_PER_ROW * len(values), seed=seed)
    draws = density.coordinates.restore(points)
    marginals = density.coordinates.marginals
    trees = fit_trees(_completed(density, values, rng), marginals.centers(draws), rng)
    weights = np.exp(trees(marginals.centers(draws)))
    return Refinement(trees, tuple(_find_unseen(density, values, draws, weights)))


def _completed(density: Density, values: Values, rng: np.random.Generator) -> Points:
    """Points u of rows, missing cells drawn given the others: there nothing tells them from draws."""
    coordinates = density.coordinates
    points = coordinates.marginals.centers(values)
    if not np.isnan(points).any():
        return points
    drawn = Placement.of_base(coordinates, density.model.base).draw(values, 1, rng)
    own = coordinates.marginals.centers(coordinates.restore(drawn))
    return np.where(np.isnan(points), own, points)


def _find_unseen(
    density: Density, values: Values, draws: Values, weights: Float[np.ndarray, "draws"]
) -> Iterator[Unseen]:
    """Of every two columns of categories the pairs that no row has, where too many draws do.

    As much is left to them as Good and Turing (1953) say of what n rows have not shown: the share
    of pairs seen once, and at least that of a rule that held in all rows, 1/(n + 2).
    """
    columns, marginals = density.columns, density.coordinates.marginals
    index = columns.modeled_index
    coded = [j for j, i in enumerate(index) if columns.levels[i] is not None]
    cells, drawn = values[:, index], draws[:, index]
    for first, second in combinations(coded, 2):
        parts = [marginals.parts[j] for j in (first, second)]
        a, b = (part.index(cells[:, j]) for part, j in zip(parts, (first, second), strict=True))
        known = (a >= 0) & (b >= 0)
        counts = np.zeros([len(part.atoms) for part in parts], np.int64)
        if counts.size > MOST_PAIRS or not known.any():
            continue
        np.add.at(counts, (a[known], b[known]), 1)
        # Nothing is known of a category that only goes with missing cells.
        met = (counts.sum(axis=1) > 0)[:, None] & (counts.sum(axis=0) > 0)
        own = Unseen(first, second, (counts > 0) | ~met, 0.0)
        share = float(weights @ own.is_hit(marginals, drawn) / weights.sum())
        allowed = max(1 / (known.sum() + 2), np.sum(counts == 1) / known.sum())
        if share > allowed:
            factor = allowed * (1 - share) / (share * (1 - allowed))
            yield own._replace(log_factor=float(np.log(factor)))
