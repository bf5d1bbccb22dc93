"""Which bodies the marginals of a table get, judged by what they leave to the base.

A body that follows its column closely may bend what ties the columns to each other: neighboring
pixels of a picture are nearly linear in each other, and are no more once each has a curved scale of
its own. So the plain bodies compete with the curved ones, table by table.
"""

import numpy as np
from jaxtyping import Float

from harmonium.data import Columns, Marginals, log_interval_mass, spread
from harmonium.data.intervals import log_normal_density
from harmonium.inference.coordinates import PLACES, Coordinates, Values
from harmonium.inference.training_rows import filled
from harmonium.model.mixture_fit import MixtureSettings, fit_mixture

FAMILIES = ("auto", "asinh", "affine")
# Rows that are looked at, of which every one is held out once if there are few cells.
MOST_ROWS, MOST_CELLS_CROSS_VALIDATED, N_FOLDS = 5000, 30_000, 5
# Of the mixture that judges: small, and tied by as many rows as there are columns.
N_COMPONENTS, ROWS_PER_COMPONENT = 8, 20


def choose_family(columns: Columns, values: Values, *, shape: str, rng: np.random.Generator) -> str:
    """The bodies under which a small mixture scores held-out rows best, one of `FAMILIES`."""
    scores = compare_families(columns, values, FAMILIES, shape=shape, rng=rng)
    return max(scores, key=lambda family: scores[family]) if scores else "asinh"


def compare_families(
    columns: Columns,
    values: Values,
    families: tuple[str, ...],
    *,
    shape: str,
    rng: np.random.Generator,
    most_folds: int = N_FOLDS,
) -> dict[str, float]:
    """The mean log-density of held-out rows under a small mixture, for bodies of each family.

    In nats per row, in data units, of the first `most_folds` of five parts of the rows. Empty where
    a column has no two different cells without the rows held out.
    """
    rows = values[rng.permutation(len(values))[:MOST_ROWS]]
    folds = np.array_split(np.arange(len(rows)), N_FOLDS)
    folds = folds[: most_folds if rows.size <= MOST_CELLS_CROSS_VALIDATED else 1]
    if any(_is_empty(np.delete(rows, fold, axis=0), columns) for fold in folds):
        return {}
    seed = int(rng.integers(2**31))

    def score(whole: Marginals, family: str, fold: np.ndarray) -> float:
        own = np.random.default_rng(seed)
        training, held_out = np.delete(rows, fold, axis=0), rows[fold]
        coordinates = Coordinates.fit(
            columns, training, body=family, shape=shape, rng=own, like=whole
        )
        return float(_score(coordinates, training, held_out, own).mean())

    found = {}
    for family in families:
        # Tails and sizes of the bodies are chosen once: only their numbers are fitted in every fold.
        whole = Marginals.fit(columns, rows, family)
        found[family] = float(np.mean([score(whole, family, fold) for fold in folds]))
    return found


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
