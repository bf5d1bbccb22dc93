"""What every estimator does with the kind of table that it was given."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from harmonium.data import Columns, Table, as_table, container_of, decode_columns, to_frame


class TakesTables(BaseEstimator):
    """An estimator of tables of numbers, categories and text, with missing cells."""

    def _fitted(self) -> Any:
        """What was fitted; it knows its columns."""
        raise NotImplementedError

    def _table(self, method: str, X: Any) -> Table:
        """X with the columns of the fit, as it is given to a method."""
        fields = self._fitted().columns.fields
        return as_table(X, call=f"{type(self).__name__}.{method}(X)", fields=fields)

    def _values(self, method: str, X: Any) -> np.ndarray:
        return self._table(method, X).values

    def __sklearn_tags__(self):
        """Missing cells, categories and text are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def as_container(values: np.ndarray, columns: Columns, container: str) -> Any:
    """Values (rows, columns) as an array, or as a frame with the names and types of the columns.

    An array is of objects where columns hold other than numbers.
    """
    if container != "array":
        return to_frame(values, columns.fields, container)
    if all(field.is_number for field in columns.fields):
        return values
    decoded = decode_columns(values, columns.fields).values()
    return np.array([column.to_pylist() for column in decoded], dtype=object).T


def fill_container(X: Any, values: np.ndarray, columns: Columns) -> Any:
    """The table X with the cells that are missing in it taken from values (rows, columns); nothing
    else changes.

    Columns that are complete, identifiers and an index stay as they are.
    """
    container = container_of(X)
    if container == "array":
        return as_container(values, columns, container)
    filled = to_frame(values, columns.fields, container)
    kinds = zip(columns.names, columns.kinds, strict=True)
    names = [name for name, kind in kinds if kind != "ignored" and _has_missing(X[name])]
    if container == "pandas":
        filled.index = X.index
        return X.assign(**{name: filled[name] for name in names})
    if container == "polars":
        return X.with_columns(filled.select(names))
    for name in names:
        X = X.set_column(X.column_names.index(name), name, filled[name])
    return X


def _has_missing(column: Any) -> bool:
    import narwhals as nw

    series = nw.from_native(column, series_only=True)
    missing = series.is_null().any()
    return bool(missing or (series.dtype.is_float() and series.is_nan().any()))
