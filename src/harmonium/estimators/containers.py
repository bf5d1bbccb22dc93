"""What every estimator does with the kind of table that it was given."""

from typing import Any

import numpy as np

from harmonium.data import Columns, to_frame


def as_container(values: np.ndarray, columns: Columns, container: str) -> Any:
    """Values (rows, columns) as an array, or as a frame with the names and types of the columns."""
    return values if container == "array" else to_frame(values, columns.fields, container)


def take_mixed_tables(tags: Any) -> Any:
    """scikit-learn's tags of an estimator that takes missing cells, categories and text."""
    tags.input_tags.allow_nan = True
    tags.input_tags.categorical = True
    tags.input_tags.string = True
    return tags
