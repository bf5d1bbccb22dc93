"""`Transform`: the fitted, invertible map from data units to model units, with log|det J|.

One row x goes through, column by column and then jointly,

    u = (x - location)/scale,   v = tail·asinh(u/tail) or u,   w = (v - center)/spread,   z = A w,

with A = E (2 max(D, floor))^(-1/2) Eᵀ for the eigenvalues D and eigenvectors E of the training
correlations of w. Then z has covariance I/2 on the training rows, that of the model's base, and the
base pulled back to data units is the maximum-likelihood Gaussian fit of the (compressed) data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonium.data.gaussian import Moments, draw_missing, fit_moments
from harmonium.data.problems import problem
from harmonium.data.state import check_keys, state_error, take_arrays
from harmonium.data.table import LARGEST
from harmonium.data.tails import TAILS, fit_tails, mean_and_sd

WHITENING = ("full", "partial", "diagonal")
_PER_COLUMN = ("location", "scale", "tail", "center", "spread", "eigenvalues", "lowest", "highest")


@dataclass(frozen=True, eq=False)
class Transform:
    """A fitted, invertible map between data units x and model units z, both (rows, columns).

    Per column, shape (columns,): `location` and `scale` (data units); `tail`, where asinh sets in
    (in units of `scale`; 0 for a linear column); `center` and `spread` after the asinh;
    `eigenvalues` of the training correlations, with `eigenvectors` as columns of a square array.
    Eigenvalues below `floor` are raised to it: those directions keep less variance than 1/2. `lowest` and `highest`
    are the ends of the training columns, in data units.
    """

    location: np.ndarray
    scale: np.ndarray
    tail: np.ndarray
    center: np.ndarray
    spread: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    floor: float

    @staticmethod
    def fit(
        values: np.ndarray, *, tails: str = "auto", whitening: str = "full", floor: float = 1e-3
    ) -> "Transform":
        """Fit to values of shape (rows, columns), NaN for missing, otherwise finite, with no constant column.

        Where cells are missing, means and correlations are those of expectation-maximization (`fit_moments`).

        `tails` is "none", "asinh" or "auto": asinh in the columns where it raises the Gaussian
        log-likelihood by at least 0.05 nats per row. `whitening` is "full", "diagonal" (columns
        are scaled, correlations stay) or "partial" (halfway: the square roots of the eigenvalues,
        scaled so that the columns keep variance 1/2 on average; no direction is floored then). `floor`, in (0, 1], bounds the eigenvalues of the
        correlations from below.
        """
        _check_fit(values, tails, whitening, floor)
        location, scale, tail = fit_tails(values, tails)
        compressed = _compress((values - location) / scale, tail)
        center, spread = mean_and_sd(compressed)
        moments = fit_moments((compressed - center) / spread)
        if np.isnan(values).any():
            center, spread, moments = _corrected(center, spread, moments)
        n_columns = values.shape[1]
        eigenvalues, eigenvectors = np.ones(n_columns), np.eye(n_columns)
        if whitening != "diagonal":
            eigenvalues, eigenvectors = np.linalg.eigh(moments.covariance)
            eigenvalues = np.maximum(eigenvalues, 0.0)  # rounding leaves -1e-17
        if whitening == "partial":
            root = np.sqrt(np.maximum(eigenvalues, floor))
            eigenvalues = np.mean(root) * root
        return Transform(
            location=location,
            scale=scale,
            tail=tail,
            center=center,
            spread=spread,
            eigenvalues=eigenvalues,
            eigenvectors=eigenvectors,
            lowest=np.nanmin(values, axis=0),
            highest=np.nanmax(values, axis=0),
            floor=float(floor),
        )

    @property
    def n_columns(self) -> int:
        """How many columns are mapped."""
        return len(self.location)

    @property
    def is_asinh(self) -> np.ndarray:
        """Which columns have compressed tails, boolean of shape (columns,)."""
        return self.tail > 0

    @property
    def n_floored(self) -> int:
        """How many directions have less variance than the floor."""
        return int(np.sum(self.eigenvalues < self.floor))

    @property
    def conditional_spread(self) -> np.ndarray:
        """Standard deviation of each column given all others under the Gaussian fit, (columns,).

        In data units, at the center of a compressed column.
        """
        precision = self.eigenvectors**2 @ (1 / self._floored())
        return self.scale * self.spread / np.sqrt(precision)

    @property
    def matrix(self) -> np.ndarray:
        """The symmetric matrix A of z = A w, (columns, columns)."""
        return self._matrix(-0.5)

    @property
    def standard_moments(self) -> Moments:
        """Mean 0 and covariance, floored, of w under the base: the Gaussian fit of the compressed columns."""
        covariance = self._matrix(1.0) / 2
        return Moments(np.zeros(self.n_columns), covariance)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Model units of values in data units, (rows, columns) both."""
        self._check_width(values, "forward")
        return self.standardize(values) @ self.matrix

    def inverse(self, model_values: np.ndarray) -> np.ndarray:
        """Data units of values in model units, (rows, columns) both; kept within ±1e100."""
        self._check_width(model_values, "inverse")
        return self.from_standard(np.clip(model_values, -LARGEST, LARGEST) @ self._matrix(0.5))

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """The columns w, compressed and standardized one by one, of values in data units; NaN stays NaN.

        Every column is an increasing function of its own cells alone, so missing and given cells stay so.
        """
        self._check_width(values, "standardize")
        # In place, because at this size every further array is as dear as the arithmetic.
        standard = values - self.location
        standard /= self.scale
        standard = _compress(standard, self.tail)
        standard -= self.center
        standard /= self.spread
        return standard

    def from_standard(self, standard: np.ndarray) -> np.ndarray:
        """Data units of standardized columns w, (rows, columns) both; kept within ±1e100."""
        self._check_width(standard, "from_standard")
        with np.errstate(over="ignore"):
            expanded = _expand(self.center + self.spread * standard, self.tail)
            values = self.location + self.scale * expanded
        return np.clip(values, -LARGEST, LARGEST)

    def within_range(self, values: np.ndarray) -> np.ndarray:
        """Values in data units (…, columns), moved into the range of the training columns.

        For what fills missing cells: beside an outlier, a compressed tail may be unrolled to any length.
        """
        return np.clip(values, self.lowest, self.highest)

    def draw_missing(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Values in data units with every missing cell (NaN) drawn from the base given the others of its row, within range."""
        if not np.isnan(values).any():
            return values
        drawn = self.from_standard(
            draw_missing(self.standardize(values), self.standard_moments, rng)
        )
        return np.where(np.isnan(values), self.within_range(drawn), values)

    def log_det(self, values: np.ndarray) -> np.ndarray:
        """log|det dz/dx| of each row of values in data units, shape (rows,), in nats.

        Of a row with missing cells (NaN): the slopes of its observed columns and log|det A|, which turn a mass in
        standardized columns into a density of the observed cells.
        """
        self._check_width(values, "log_det")
        linear = -np.log(self.scale) - np.log(self.spread)
        curved = self.is_asinh
        ratio = (values[:, curved] - self.location[curved]) / self.scale[curved] / self.tail[curved]
        bent = np.nansum(np.log(np.hypot(1.0, ratio)), axis=1)
        return ~np.isnan(values) @ linear - bent - 0.5 * np.log(2 * self._floored()).sum()

    def noise_factor(self) -> np.ndarray:
        """Rows that turn standard normals into the noise of `null_noise`, (n_floored, columns)."""
        below = self.eigenvalues < self.floor
        variance = 0.5 * (1 - self.eigenvalues[below] / self.floor)
        return np.sqrt(variance)[:, None] * self.eigenvectors[:, below].T

    def null_noise(self, rng: np.random.Generator, n_rows: int) -> np.ndarray:
        """Gaussian noise in model units for the floored directions alone, (n_rows, columns).

        Training rows plus this noise have covariance I/2 in every direction.
        """
        factor = self.noise_factor()
        return rng.standard_normal((n_rows, len(factor))) @ factor

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able settings and arrays from which `from_state` builds this transform again."""
        arrays = {name: getattr(self, name) for name in (*_PER_COLUMN, "eigenvectors")}
        return {"n_columns": self.n_columns, "floor": self.floor}, arrays

    @staticmethod
    def from_state(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Transform":
        """A transform from what `to_state` returned; `InvalidInputError` on anything else."""
        call = "Transform.from_state(config, arrays)"
        check_keys(config, ("n_columns", "floor"), "config", call)
        n, floor = config["n_columns"], config["floor"]
        if not isinstance(n, int) or n < 1 or not _is_floor(floor):
            raise state_error(call, "n_columns ≥ 1 and a floor in (0, 1]", f"{n!r} and {floor!r}")
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_COLUMN, (n,))
        taken = take_arrays(arrays, {**shapes, "eigenvectors": (n, n)}, call)
        _check_ranges(taken, call)
        return Transform(**taken, floor=float(floor))

    def _floored(self) -> np.ndarray:
        return np.maximum(self.eigenvalues, self.floor)

    def _matrix(self, power: float) -> np.ndarray:
        """The symmetric matrix E (2 max(D, floor))^power Eᵀ: A for -1/2, its inverse for 1/2."""
        return self.eigenvectors * (2 * self._floored()) ** power @ self.eigenvectors.T

    def _check_width(self, values: np.ndarray, method: str) -> None:
        if values.ndim != 2 or values.shape[1] != self.n_columns:
            expected = f"values of shape (rows, {self.n_columns})"
            raise problem(f"Transform.{method}(values)", expected, f"shape {values.shape}")


def _corrected(
    center: np.ndarray, spread: np.ndarray, moments: Moments
) -> tuple[np.ndarray, np.ndarray, Moments]:
    """Center and spread that give the columns mean 0 and variance 1 in expectation over missing cells."""
    sd = np.sqrt(np.diag(moments.covariance))
    correlations = moments.covariance / np.outer(sd, sd)
    return (
        center + spread * moments.mean,
        spread * sd,
        Moments(np.zeros_like(center), correlations),
    )


def _compress(u: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """tail·asinh(u/tail) in the columns with a tail, u in the others."""
    v, curved = np.array(u), tail > 0
    v[:, curved] = tail[curved] * np.arcsinh(u[:, curved] / tail[curved])
    return v


def _expand(v: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """The inverse of `_compress`; infinite where the result is beyond all doubles."""
    u, curved = np.array(v), tail > 0
    u[:, curved] = tail[curved] * np.sinh(v[:, curved] / tail[curved])
    return u


def _is_floor(floor: Any) -> bool:
    return isinstance(floor, float | int) and not isinstance(floor, bool) and 0 < floor <= 1


def _check_fit(values: np.ndarray, tails: str, whitening: str, floor: float) -> None:
    """Raise unless `Transform.fit` can work with these arguments."""
    call = "Transform.fit(values, …)"
    problems = (
        (tails not in TAILS, f"tails among {TAILS}", repr(tails)),
        (whitening not in WHITENING, f"whitening among {WHITENING}", repr(whitening)),
        (not _is_floor(floor), "a floor in (0, 1]", repr(floor)),
        (values.ndim != 2 or 0 in values.shape, "a table (rows, columns)", f"shape {values.shape}"),
    )
    for wrong, expected, got in problems:
        if wrong:
            raise problem(call, expected, got)
    empty = np.isnan(values).all(axis=0)
    if empty.any():
        column = int(np.argmax(empty)) + 1
        raise problem(call, "an observed cell in every column", f"column {column} without one")
    spread = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    if not np.all((spread > 0) & np.isfinite(spread)):
        column = int(np.argmin((spread > 0) & np.isfinite(spread))) + 1
        raise problem(
            call,
            "finite columns whose values differ",
            f"column {column} with a range of {spread[column - 1]}",
            "Columns.fit(table).modeled(values), which drops constant columns",
        )


def _check_ranges(arrays: Mapping[str, np.ndarray], call: str) -> None:
    """Raise unless the arrays of a state make an invertible map."""
    for name in ("scale", "spread"):
        if not np.all(arrays[name] > 0):
            raise state_error(call, f"positive {name}", f"{arrays[name].min()}")
    for name in ("tail", "eigenvalues"):
        if not np.all(arrays[name] >= 0):
            raise state_error(call, f"{name} of at least 0", f"{arrays[name].min()}")
    if not np.all(arrays["lowest"] < arrays["highest"]):
        raise state_error(call, "lowest below highest", "others")
    vectors = arrays["eigenvectors"]
    if not np.allclose(vectors.T @ vectors, np.eye(len(vectors)), atol=1e-6):
        raise state_error(call, "orthonormal eigenvectors", "others")
