"""From the cells of a table to the rows that a model is trained on."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from harmonium.compiling import as_floats
from harmonium.data.gaussian import draw_missing
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.coordinates import Coordinates, bounded
from harmonium.learning.rows import AbstractRows, CompleteRows, IncompleteRows, pad_rows
from harmonium.typing import Points, RandomKey, Values

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
    missing: Bool[np.ndarray, "rows modeled"],
    *,
    are_whole: bool,
    n_copies: int,
) -> AbstractRows:
    """Points u, without gaps, as rows of the model; those of `missing` cells are where they start.

    Rows that `are_whole` miss none. Every row of the table is there `n_copies` times.
    """
    whitening, n_rows = coordinates.whitening, len(points)
    if are_whole:
        units = pad_rows(bounded(whitening.forward(points)))
        return CompleteRows(as_floats(units), n_rows, n_copies)
    return IncompleteRows(
        standard=as_floats(pad_rows(bounded(points - whitening.center))),
        missing=jnp.asarray(pad_rows(missing)),
        matrix=as_floats(whitening.matrix.T),
        key=key,
        n_rows=n_rows,
        n_copies=n_copies,
    )


def complete_rows(coordinates: Coordinates, values: Values, rng: np.random.Generator) -> Values:
    """As many rows without missing cells: some of them repeated.

    Raises `InvalidInputError` where all of them miss some.
    """
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
