"""From the cells of a table to the rows that a model is trained on."""

import jax
import jax.numpy as jnp
import numpy as np

from harmonium.data.gaussian import draw_missing
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.coordinates import Coordinates, Points, Values, bounded
from harmonium.learning.rows import AbstractRows, CompleteRows, IncompleteRows
from harmonium.typing import RandomKey

# Each row of a table with intervals enters training with several draws of its places in them.
MAX_COPIES = 16
MAX_COPIED_ROWS = 50_000


def count_copies(coordinates: Coordinates, values: Values) -> int:
    """How many draws of its cells every training row enters with."""
    bounds = coordinates.bounds(values)
    if not np.any(~bounds.is_point & ~bounds.is_open):
        return 1
    return int(np.clip(MAX_COPIED_ROWS // len(values), 1, MAX_COPIES))


def copied(values: Values, n_copies: int) -> Values:
    """Every row so many times."""
    return np.tile(values, (n_copies, 1))


def filled(coordinates: Coordinates, points: Points, rng: np.random.Generator) -> Points:
    """Points u with missing cells drawn from the Gaussian of the coordinates given the others."""
    if not np.isnan(points).any():
        return points
    return draw_missing(points, coordinates.whitening.moments, rng)


def as_model_rows(
    key: RandomKey,
    coordinates: Coordinates,
    points: Points,
    rng: np.random.Generator,
    *,
    incomplete: bool | None = None,
) -> AbstractRows:
    """Points u as rows of the model; missing cells start as draws of the Gaussian of the
    coordinates.

    `incomplete` says whether cells are missing, where these points may not show it.
    """
    whitening = coordinates.whitening
    missing = np.isnan(points)
    if not (missing.any() if incomplete is None else incomplete):
        return CompleteRows(jnp.asarray(bounded(whitening.forward(points)), float))
    standard = filled(coordinates, points, rng) - whitening.center
    return IncompleteRows(
        standard=jnp.asarray(bounded(standard), float),
        missing=jnp.asarray(missing),
        matrix=jnp.asarray(whitening.matrix.T, float),
        key=key,
    )


def more_rows(
    coordinates: Coordinates, values: Values, *, like: AbstractRows, n_copies: int, seed: list[int]
) -> AbstractRows:
    """Further rows to train on (rows, columns), as rows of the model of the same kind and number as
    `like`.

    Where those have no missing cells, rows with some, or with unseen categories, give way to
    others.
    """
    rng = np.random.default_rng(seed)
    incomplete = isinstance(like, IncompleteRows)
    values = values if incomplete else _complete_rows(coordinates, values, rng)
    points = coordinates.draw_points(copied(values, n_copies), rng)
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    return as_model_rows(key, coordinates, points, rng, incomplete=incomplete)


def _complete_rows(coordinates: Coordinates, values: Values, rng: np.random.Generator) -> Values:
    """As many rows without missing cells: some of them repeated."""
    whole = np.flatnonzero(~coordinates.is_incomplete(values))
    if not len(whole):
        raise InvalidInputError(
            describe(
                "fit",
                expected="rows without missing cells, like those that were drawn first",
                got=f"{len(values)} further rows that all have some",
                hint="a larger --max-rows",
            )
        )
    spare = rng.choice(whole, len(values) - len(whole))
    return values[np.concatenate([whole, spare])]
