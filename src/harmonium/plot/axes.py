"""Axes to draw on: those that were given, or new ones."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium.errors import InvalidInputError, describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOW_TO_INSTALL = "pip install 'harmonium[report]'"
# Of the cycle of the style that is set: rows, and what the model says.
DATA, MODEL = "C0", "C1"


def axes_for(call: str, axes: "Axes | None", size: tuple[float, float] = (6.0, 3.8)) -> "Axes":
    """The axes that were given, or those of a new figure of so many inches."""
    if axes is not None:
        return axes
    return _pyplot(call).subplots(figsize=size, layout="constrained")[1]


def grid_for(call: str, axes: Any, shape: tuple[int, int], size: tuple[float, float]) -> np.ndarray:
    """Axes (rows, columns): those that were given, if there are so many, or new ones."""
    if axes is None:
        figure = _pyplot(call).figure(figsize=size, layout="constrained")
        return figure.subplots(*shape, squeeze=False)
    given = np.atleast_1d(np.asarray(axes, dtype=object))
    if given.size != shape[0] * shape[1]:
        raise InvalidInputError(
            describe(call, expected=f"{shape[0]} x {shape[1]} axes", got=f"{given.size}")
        )
    return given.reshape(shape)


def named_columns(
    call: str, columns: Sequence[str] | None, known: Sequence[str], most: int
) -> list[int]:
    """Positions of the named columns; of the first ones where none are named."""
    if columns is None:
        return list(range(min(len(known), most)))
    if unknown := [name for name in columns if name not in known]:
        raise InvalidInputError(
            describe(call, expected=f"columns among {list(known)}", got=f"{unknown}")
        )
    return [list(known).index(name) for name in columns]


def _pyplot(call: str) -> Any:
    """matplotlib's pyplot, by which notebooks show figures."""
    if find_spec("matplotlib") is None:
        expected, got = "the package that draws", "an installation without matplotlib"
        raise InvalidInputError(describe(call, expected=expected, got=got, hint=HOW_TO_INSTALL))
    import matplotlib.pyplot as plt

    return plt
