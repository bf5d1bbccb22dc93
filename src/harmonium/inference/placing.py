"""From the cells of a table to the rows that a model is trained on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harmonium.data import Columns, Transform
from harmonium.data.gaussian import draw_missing
from harmonium.errors import InvalidInputError, describe
from harmonium.learning.rows import AbstractRows, CompleteRows, IncompleteRows
from harmonium.typing import RandomKey

# Each row of a dequantized table enters training with several draws of its noise.
MAX_COPIES = 16
MAX_COPIED_ROWS = 50_000
# Far beyond any data; keeps F finite in float32.
_LARGEST_MODEL_VALUE = 1e12


def bounded(units: np.ndarray) -> np.ndarray:
    """Values that single precision can square and add."""
    return np.clip(units, -_LARGEST_MODEL_VALUE, _LARGEST_MODEL_VALUE)


class Placed(NamedTuple):
    """Points of the modeled columns, (points, modeled), and what turns their density into that of the cells."""

    points: np.ndarray
    log_weight: np.ndarray


def place_rows(
    columns: Columns, values: np.ndarray, n_copies: int, rng: np.random.Generator
) -> Placed:
    """Every row `n_copies` times, at random places of its cells."""
    copies = np.tile(values, (n_copies, 1))
    points = columns.dequantize(copies, rng)
    return Placed(points, columns.log_weight(copies, np.nan_to_num(points)))


def count_copies(columns: Columns, n_rows: int) -> int:
    """How many draws of its cells every training row enters with."""
    if not columns.is_discrete.any():
        return 1
    return int(np.clip(MAX_COPIED_ROWS // n_rows, 1, MAX_COPIES))


def as_model_rows(
    key: RandomKey,
    transform: Transform,
    points: np.ndarray,
    noise: np.ndarray,
    rng: np.random.Generator,
    *,
    incomplete: bool | None = None,
) -> AbstractRows:
    """Points of the modeled columns as rows of the model; missing cells start as draws of the Gaussian fit.

    `incomplete` says whether cells are missing, where these points may not show it.
    """
    missing = np.isnan(points)
    if not (missing.any() if incomplete is None else incomplete):
        units = bounded(transform.forward(points)) + noise
        return CompleteRows(jnp.asarray(units, float))
    standard = draw_missing(transform.standardize(points), transform.standard_moments, rng)
    return IncompleteRows(
        standard=jnp.asarray(bounded(standard), float),
        missing=jnp.asarray(missing),
        noise=jnp.asarray(noise, float),
        matrix=jnp.asarray(transform.matrix, float),
        key=key,
    )


def more_rows(
    columns: Columns,
    transform: Transform,
    values: np.ndarray,
    *,
    like: AbstractRows,
    seed: list[int],
) -> AbstractRows:
    """Further rows to train on (rows, columns), as rows of the model of the same kind and number as `like`.

    Where those have no missing cells, rows with some, or with unseen categories, give way to others.
    """
    rng = np.random.default_rng(seed)
    incomplete = isinstance(like, IncompleteRows)
    values = values if incomplete else _complete_rows(columns, values, rng)
    points = place_rows(columns, values, count_copies(columns, len(values)), rng).points
    noise = transform.null_noise(rng, len(points))
    key = jax.random.fold_in(jax.random.key(seed[0]), 5 + seed[1])
    return as_model_rows(key, transform, points, noise, rng, incomplete=incomplete)


def _complete_rows(columns: Columns, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows without missing cells: some of them repeated."""
    whole = np.flatnonzero(~columns.is_incomplete(values))
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


def mean_shift(transform: Transform, placed: Placed) -> float:
    """From a log-density in model units to one in data units, on average."""
    return float(np.mean(transform.log_det(placed.points) + placed.log_weight))
