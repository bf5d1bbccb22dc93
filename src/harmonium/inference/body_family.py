"""Which bodies the marginals of a table get, judged by what they leave to the base.

A body that follows its column closely may bend what ties the columns to each other: neighboring
pixels of a picture are nearly linear in each other, and are no more once each has a curved scale of
its own. So the plain bodies compete with the curved ones, table by table.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from harmonium.data import Columns, Marginals, log_interval_mass, spread
from harmonium.data.intervals import log_normal_density
from harmonium.inference.coordinates import PLACES, Coordinates
from harmonium.inference.training_rows import filled
from harmonium.model.mixture_fit import MixtureSettings, fit_mixture
from harmonium.typing import Values

FAMILIES = ("auto", "asinh", "affine")
# Rows that are looked at, of which every one is held out once if there are few cells.
MOST_ROWS, MOST_CELLS_CROSS_VALIDATED, N_FOLDS = 5000, 30_000, 5
# Of the mixture that judges: small, and tied by as many rows as there are columns.
N_COMPONENTS, ROWS_PER_COMPONENT = 8, 20
# Standard errors by which a family is behind for good.
BEYOND_CHANCE = 4.0


def choose_family(
    columns: Columns,
    values: Values,
    *,
    shape: str,
    rng: np.random.Generator,
    most_folds: int = N_FOLDS,
) -> Marginals:
    """The marginals of one of `FAMILIES` under which a small mixture scores held-out rows best.

    These are the first `most_folds` of five parts of the rows.
    """
    marginals = {family: Marginals.fit(columns, values, family) for family in FAMILIES}
    scores = compare_families(marginals, values, shape=shape, rng=rng, most_folds=most_folds)
    return marginals[max(scores, key=lambda family: scores[family]) if scores else "asinh"]


def compare_families(
    marginals: Mapping[str, Marginals],
    values: Values,
    *,
    shape: str,
    rng: np.random.Generator,
    most_folds: int = N_FOLDS,
) -> dict[str, float]:
    """By how much held-out rows are less likely under a small mixture than for the best bodies.

    `marginals` of each family are those of all rows: tails and sizes of their bodies are kept, only
    numbers are fitted in every fold. In nats per row, 0 for the best one, by the first `most_folds`
    of five parts of the rows; a family that is behind beyond chance is out of the race. Empty where
    a column has no two different cells without the rows held out.
    """
    columns = next(iter(marginals.values())).columns
    rows = values[rng.permutation(len(values))[:MOST_ROWS]]
    folds = np.array_split(np.arange(len(rows)), N_FOLDS)
    folds = folds[: most_folds if rows.size <= MOST_CELLS_CROSS_VALIDATED else 1]
    if any(_is_empty(np.delete(rows, fold, axis=0), columns) for fold in folds):
        return {}
    seed = int(rng.integers(2**31))
    scores = {family: np.zeros(0) for family in marginals}
    racing, behind = list(marginals), dict.fromkeys(marginals, 0.0)
    for fold in folds if len(racing) > 1 else ():
        training, held_out = np.delete(rows, fold, axis=0), rows[fold]
        for family in racing:
            own = np.random.default_rng(seed)
            fitted = Marginals.fit(columns, training, family, like=marginals[family])
            coordinates = Coordinates.fit(fitted, training, shape=shape, rng=own)
            found = _score(coordinates, training, held_out, own)
            scores[family] = np.append(scores[family], found)
        best = max(racing, key=lambda family: scores[family].mean())
        gaps = {family: scores[family] - scores[best] for family in racing}
        behind |= {family: float(gap.mean()) for family, gap in gaps.items()}
        racing = [family for family, gap in gaps.items() if not _is_behind(gap)]
        if len(racing) == 1:
            break
    return behind


def _is_behind(gaps: Float[np.ndarray, "rows"]) -> bool:
    """Whether a mean of differences is below 0 beyond chance."""
    return bool(gaps.mean() < -BEYOND_CHANCE * gaps.std() / len(gaps) ** 0.5)


def point_log_weights(coordinates: Coordinates, values: Values) -> Float[np.ndarray, "rows"]:
    """What turns the density at a random point of each row's box into that of the row, on average
    over points.

    In nats, rules included. An interval counts with its mass over the density of the point in it.
    """
    bounds = coordinates.bounds(values)
    wide = ~(bounds.is_point | bounds.is_open)
    middle = spread(bounds, 0.5)
    inside = np.where(wide, log_interval_mass(bounds) - log_normal_density(middle), 0.0)
    measure = coordinates.log_measure(values) + coordinates.log_rule(values)
    return measure + np.nansum(inside, axis=1) + coordinates.whitening.log_det


def _score(
    coordinates: Coordinates, training: Values, held_out: Values, rng: np.random.Generator
) -> Float[np.ndarray, "rows"]:
    """Log-densities of held-out rows under a small mixture of the others, nats in data units."""
    columns = coordinates.columns

    def units(values: Values) -> np.ndarray:
        points = spread(
            coordinates.bounds(values), rng.uniform(*PLACES, (len(values), columns.n_modeled))
        )
        return coordinates.whitening.forward(filled(coordinates, points, rng))

    n_components = int(np.clip(len(training) // ROWS_PER_COMPONENT, 1, N_COMPONENTS))
    settings = MixtureSettings(n_components, shrinkage=float(columns.n_modeled))
    fit = fit_mixture(units(training), settings, rng, most_passes=30, tolerance=5e-3)
    return fit.log_density(units(held_out)) + point_log_weights(coordinates, held_out)


def _is_empty(values: Values, columns: Columns) -> bool:
    """Whether a column has no two different cells."""
    cells = values[:, columns.modeled_index]
    with np.errstate(invalid="ignore"):
        low = np.fmin.reduce(cells, axis=0)
        high = np.fmax.reduce(cells, axis=0)
    return not np.all(high > low)
