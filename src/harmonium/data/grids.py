"""Finding the lattice offset + step·Z that all values of a column lie on, if there is one.

A continuous column must never be taken for a grid: apart from integers, a lattice is only believed
when many values repeat and the fit is far closer than chance.
"""

import numpy as np

# Integers beyond this are not evidence: the largest floats are all integers.
_LARGEST_INTEGER = 1e12
# Decimals of a lattice, and those that are kept of numbers on none.
_GRID_DECIMALS, MOST_DECIMALS = 4, 9
# The smallest gap may be a small multiple of the step: {0, 2, 5} has step 1.
_DIVISORS = range(1, 13)
# Distance from the lattice, in steps. With few distinct values, only an exact fit is no chance.
_LOOSE, _STRICT, _FEW = 1e-3, 1e-6, 8
# Values closer than this share of the range are one value, computed in two ways.
_SAME = 1e-9


def find_grid(column: np.ndarray, *, sparse: bool = False) -> tuple[float, float] | None:
    """Offset and step of the lattice of a column that is not constant, or None.

    Integers are always a grid, of step 1 unless many repeats show a larger one, or the column is
    `sparse`: then repeats are not asked for. Others need fewer distinct values than half the number
    of rows.
    """
    distinct = np.unique(column)
    has_repeats = len(distinct) < len(column) / 2
    if _is_integer(distinct):
        return float(distinct[0]), _common_step(distinct) if has_repeats or sparse else 1.0
    if not has_repeats:
        return None
    distinct = _merge(distinct)
    return _decimal_grid(distinct) or _general_grid(distinct)


def _is_integer(values: np.ndarray) -> bool:
    return bool(np.all(np.abs(values) <= _LARGEST_INTEGER) and np.all(values == np.round(values)))


def _common_step(integers: np.ndarray) -> float:
    """The greatest common divisor of the gaps between sorted integers."""
    return float(np.gcd.reduce(np.diff(integers).astype(np.int64)))


def _merge(distinct: np.ndarray) -> np.ndarray:
    """Sorted values without those that differ from the one before by rounding only."""
    gaps = np.diff(distinct, prepend=-np.inf)
    return distinct[gaps > _SAME * (distinct[-1] - distinct[0])]


def find_decimals(values: np.ndarray, most: int = MOST_DECIMALS) -> int | None:
    """How many decimals it takes to write all values exactly; None if more than `most`."""
    for decimals in range(most + 1):
        shifted = values * 10.0**decimals
        largest = np.abs(shifted).max()
        if largest > _LARGEST_INTEGER:
            return None
        # Rounding in the last digits of the largest value, never more than chance allows.
        tolerance = min(1e-14 * largest, _STRICT)
        if np.all(np.abs(shifted - np.round(shifted)) <= tolerance):
            return decimals
    return None


def _decimal_grid(distinct: np.ndarray) -> tuple[float, float] | None:
    """The lattice of values with few decimals."""
    decimals = find_decimals(distinct, _GRID_DECIMALS)
    if decimals is None:
        return None
    scale = 10.0**decimals
    integers = np.round(distinct * scale)
    return float(integers[0] / scale), _common_step(integers) / scale


def _general_grid(distinct: np.ndarray) -> tuple[float, float] | None:
    """The lattice of values such as standardized integers, by trying parts of the smallest gap."""
    few = len(distinct) < _FEW
    tolerance = _STRICT if few else _LOOSE
    above = distinct - distinct[0]
    gap = np.diff(distinct).min()
    for divisor in _DIVISORS:
        # A fitted step would bend to a few far values, whatever they are.
        step = gap / divisor if few else _refine(above, gap / divisor)
        position = above / step
        if np.all(np.abs(position - np.round(position)) <= tolerance):
            return float(distinct[0]), float(step)
    return None


def _refine(above: np.ndarray, step: float) -> float:
    """A step near the given one, by least squares over values reached further and further."""
    # The error of one gap grows with the number of steps; doubling the reach keeps it below half.
    reach = 4 * step
    while True:
        near = above[above <= reach]
        index = np.round(near / step)
        if index.any():
            step = float(near @ index / (index @ index))
        if reach >= above[-1]:
            return step
        reach *= 2
