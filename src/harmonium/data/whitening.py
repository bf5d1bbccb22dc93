"""`Whitening`: the linear map from the coordinates u of the columns to model units.

    w = (u - center)/spread,   z = A w,   A = E (2 max(D, floor))^(-1/2) Eᵀ,

with eigenvalues D and eigenvectors E of the shrunk correlations of u on the training rows. Then z
has covariance I/2 there, that of the model's base, up to shrinking and the floor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from harmonium.data.gaussian import Moments, Rows, fit_moments
from harmonium.data.problems import problem
from harmonium.data.state import check_keys, state_error, take_arrays
from harmonium.data.table import LARGEST

SHAPES = ("full", "partial", "diagonal")
_PER_COLUMN = ("center", "spread", "eigenvalues")


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted, invertible linear map between u and model units z, both (rows, columns).

    `center` and `spread` are mean and standard deviation of each column of u, (columns,);
    `eigenvalues` those of the correlations after shrinking, with `eigenvectors` as columns of a
    square array. Eigenvalues below `floor` are raised to it: those directions keep less variance
    than 1/2. `shrinkage`, in [0, 1], is the weight that the identity got in the correlations.
    """

    center: Float[np.ndarray, "columns"]
    spread: Float[np.ndarray, "columns"]
    eigenvalues: Float[np.ndarray, "columns"]
    eigenvectors: Float[np.ndarray, "columns columns"]
    floor: float
    shrinkage: float

    @staticmethod
    def fit(
        points: Rows, shape: str = "full", *, floor: float = 1e-3, shrink: float | str = "auto"
    ) -> "Whitening":
        """Fit to points u of shape (rows, columns), NaN for missing, with no constant column.

        `shape` is "full", "diagonal" (columns are scaled, correlations stay) or "partial" (halfway:
        the square roots of the eigenvalues, scaled so that columns keep variance 1/2 on average).
        `floor`, in (0, 1], bounds the eigenvalues of the correlations from below. `shrink` is the
        weight of the identity in the correlations, or "auto" for that of `auto_shrinkage`. Where
        cells are missing, moments are those of expectation-maximization (`fit_moments`). Raises
        `InvalidInputError` for other arguments.
        """
        _check_fit(points, shape, floor, shrink)
        center, spread, correlations = _correlations(points)
        if isinstance(shrink, str):
            shrink = auto_shrinkage(correlations, _mean_count(points))
        n_columns = points.shape[1]
        eigenvalues, eigenvectors = np.ones(n_columns), np.eye(n_columns)
        if shape != "diagonal":
            shrunk = (1 - shrink) * correlations + shrink * np.eye(n_columns)
            eigenvalues, eigenvectors = np.linalg.eigh(shrunk)
            eigenvalues = np.maximum(eigenvalues, 0.0)  # rounding leaves -1e-17
        if shape == "partial":
            root = np.sqrt(np.maximum(eigenvalues, floor))
            eigenvalues = np.mean(root) * root
        return Whitening(center, spread, eigenvalues, eigenvectors, float(floor), float(shrink))

    @property
    def n_columns(self) -> int:
        """How many columns are mapped."""
        return len(self.center)

    @cached_property
    def matrix(self) -> Float[np.ndarray, "columns columns"]:
        """The matrix M of z = (u - center) M for rows u; symmetric where all spreads are equal."""
        return self._power(-0.5) / self.spread[:, None]

    @cached_property
    def inverse_matrix(self) -> Float[np.ndarray, "columns columns"]:
        """The inverse of `matrix`."""
        return self._power(0.5) * self.spread

    @property
    def log_det(self) -> float:
        """log|det dz/du|, the same for every row, in nats."""
        return float(-np.log(self.spread).sum() - 0.5 * np.log(2 * self._floored()).sum())

    @property
    def moments(self) -> Moments:
        """Mean and covariance of u under the base N(0, I/2) of z."""
        covariance = self._power(1.0) / 2 * np.outer(self.spread, self.spread)
        return Moments(self.center, covariance)

    def forward(self, points: Rows) -> Rows:
        """Model units of points u, (rows, columns) both; NaN in all of a row that misses a cell."""
        self._check_width(points, "forward")
        return (points - self.center) @ self.matrix

    def inverse(self, model_values: Rows) -> Rows:
        """Points u of values in model units, (rows, columns) both."""
        self._check_width(model_values, "inverse")
        return np.clip(model_values, -LARGEST, LARGEST) @ self.inverse_matrix + self.center

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able settings and arrays from which `from_state` builds this map again."""
        arrays = {name: getattr(self, name) for name in (*_PER_COLUMN, "eigenvectors")}
        numbers = {"floor": self.floor, "shrinkage": self.shrinkage}
        return {"n_columns": self.n_columns, **numbers}, arrays

    @staticmethod
    def from_state(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Whitening":
        """A map from what `to_state` returned; `InvalidInputError` on anything else."""
        call = "Whitening.from_state(config, arrays)"
        check_keys(config, ("n_columns", "floor", "shrinkage"), "config", call)
        n, floor, shrinkage = (config[key] for key in ("n_columns", "floor", "shrinkage"))
        if type(n) is not int or n < 1 or not _is_floor(floor) or not _is_share(shrinkage):
            got = f"{n!r:.40}, {floor!r:.40} and {shrinkage!r:.40}"
            expected = "n_columns ≥ 1, a floor in (0, 1] and a shrinkage in [0, 1]"
            raise state_error(call, expected, got)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_COLUMN, (n,))
        taken = take_arrays(arrays, {**shapes, "eigenvectors": (n, n)}, call)
        if not np.all(taken["spread"] > 0) or not np.all(taken["eigenvalues"] >= 0):
            raise state_error(call, "positive spreads and eigenvalues of at least 0", "others")
        vectors = taken["eigenvectors"]
        if not np.allclose(vectors.T @ vectors, np.eye(n), atol=1e-6):
            raise state_error(call, "orthonormal eigenvectors", "others")
        return Whitening(**taken, floor=float(floor), shrinkage=float(shrinkage))

    def _floored(self) -> np.ndarray:
        return np.maximum(self.eigenvalues, self.floor)

    def _power(self, power: float) -> np.ndarray:
        """The symmetric matrix E (2 max(D, floor))^power Eᵀ: A for -1/2, its inverse for 1/2."""
        return self.eigenvectors * (2 * self._floored()) ** power @ self.eigenvectors.T

    def _check_width(self, values: np.ndarray, method: str) -> None:
        if values.ndim != 2 or values.shape[1] != self.n_columns:
            expected = f"values of shape (rows, {self.n_columns})"
            raise problem(f"Whitening.{method}(values)", expected, f"shape {values.shape}")


def auto_shrinkage(correlations: Float[np.ndarray, "columns columns"], n_rows: float) -> float:
    """The weight of the identity that brings correlations nearest to the true ones.

    Of Ledoit and Wolf's kind for correlations (Schäfer and Strimmer, "A shrinkage approach to
    large-scale covariance matrix estimation", Statistical Applications in Genetics and Molecular
    Biology 4, 2005): the summed variances of the correlations over their summed squares. The
    variances (1 - r²)²/(n - 1) are those of Gaussian rows, so that moments are enough.
    """
    r = correlations[~np.eye(len(correlations), dtype=bool)]
    noise, signal = np.sum((1 - r**2) ** 2) / max(n_rows - 1, 1), np.sum(r**2)
    return 1.0 if noise >= signal else float(noise / signal)


def _correlations(points: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of every column, and their correlations."""
    center, spread = np.nanmean(points, axis=0), np.nanstd(points, axis=0)
    moments = fit_moments((points - center) / spread)
    if not np.isnan(points).any():
        return center, spread, moments.covariance
    # In expectation over the missing cells, the columns have another mean and variance.
    sd = np.sqrt(np.diag(moments.covariance))
    return (
        center + spread * moments.mean,
        spread * sd,
        moments.covariance / np.outer(sd, sd),
    )


def _mean_count(points: Rows) -> float:
    """How many rows the correlations rest on: the mean number of observed cells per column."""
    return float(np.mean(np.sum(~np.isnan(points), axis=0)))


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _is_floor(floor: Any) -> bool:
    return _is_number(floor) and 0 < floor <= 1


def _is_share(share: Any) -> bool:
    return _is_number(share) and 0 <= share <= 1


def _check_fit(points: np.ndarray, shape: str, floor: float, shrink: float | str) -> None:
    """Raise unless `Whitening.fit` can work with these arguments."""
    call = "Whitening.fit(points, …)"
    problems = (
        (shape not in SHAPES, f"a shape among {SHAPES}", repr(shape)),
        (not _is_floor(floor), "a floor in (0, 1]", repr(floor)),
        (shrink != "auto" and not _is_share(shrink), '"auto" or a share in [0, 1]', repr(shrink)),
        (points.ndim != 2 or 0 in points.shape, "rows (rows, columns)", f"shape {points.shape}"),
    )
    for wrong, expected, got in problems:
        if wrong:
            raise problem(call, expected, got)
    empty = np.isnan(points).all(axis=0)
    spread = np.zeros(points.shape[1])
    spread[~empty] = np.nanstd(points[:, ~empty], axis=0)
    usable = (spread > 0) & np.isfinite(spread)
    if not usable.all():
        column = int(np.argmin(usable)) + 1
        got = f"column {column} with a standard deviation of {spread[column - 1]}"
        raise problem(call, "finite columns whose values differ", got)
