"""Mixtures of Gaussians, fitted by expectation-maximization to rows that may miss cells.

Everything is in float64, by NumPy.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from harmonium.errors import InvalidInputError, describe
from harmonium.model.mixture_rows import Components, MixtureRows, Moments, completion_work, fill
from harmonium.model.mixture_starts import deal_rows

# Rows of the whole that a component gets which would have fewer, so that none dies.
LEAST_ROWS = 1e-3
# Floating-point operations of one pass over rows with missing cells, which bound the rows.
MOST_WORK = 1e9
# Passes for the Gaussian by which a mixture of incomplete rows starts.
FIRST_PASSES = 10
# Shares of the identity that the pooled covariance may get.
SHARES = np.geomspace(1e-4, 1.0, 33)

Rows = Float[np.ndarray, "rows visible"]


@dataclass(frozen=True)
class MixtureSettings:
    """What mixture to fit: `n_components`, their covariances, and one wide component more.

    Every covariance is that of its rows and of `shrinkage` rows more that have the pooled
    covariance within components, which is drawn to a multiple of the identity where rows are few:
    0 leaves full covariances alone, infinity ties them all. With a `rank` it keeps so many leading
    directions and the mean variance of the others. `floor` is added to the variances. The wide
    component has the weight `wide_share` (0 for none) and `wide_spread`² times the covariance of
    the whole mixture: it takes what is unlike the rows seen. Raises `InvalidInputError`.
    """

    n_components: int
    floor: float = 1e-3
    shrinkage: float = 0.0
    wide_share: float = 0.02
    wide_spread: float = 2.0
    rank: int | None = None

    def __post_init__(self):
        problems = (
            (self.n_components < 1, "n_components >= 1"),
            (not 0 <= self.floor < math.inf, "a finite floor >= 0"),
            (not self.shrinkage >= 0, "a shrinkage >= 0"),
            (not 0 <= self.wide_share < 1, "a wide_share in [0, 1)"),
            (not 0 < self.wide_spread < math.inf, "a finite wide_spread > 0"),
            (self.rank is not None and self.rank < 0, "a rank >= 0, or None"),
        )
        for wrong, expected in problems:
            if wrong:
                call = "MixtureSettings(n_components, …)"
                raise InvalidInputError(describe(call, expected=expected, got=f"{self}"))


@dataclass(frozen=True)
class MixtureFit:
    """Weights (components,), means (components, visible) and covariances of a fit.

    Covariances are (components, visible, visible).
    """

    weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components visible"]
    covariances: Float[np.ndarray, "components visible visible"]

    def log_density(self, rows: Rows) -> Float[np.ndarray, "rows"]:
        """The log-density of the observed cells of every row, nats; NaN where a cell is missing.

        Raises `InvalidInputError` for another number of columns.
        """
        if rows.ndim != 2 or rows.shape[1] != self.means.shape[1]:
            expected = f"rows (rows, {self.means.shape[1]})"
            call = "MixtureFit.log_density(rows)"
            raise InvalidInputError(describe(call, expected=expected, got=f"shape {rows.shape}"))
        # Far from 0, squares would leave few digits of a distance.
        center = self.weights @ self.means
        parts = MixtureRows(rows - center, len(self.weights))
        return parts.log_density(self._around(center)._components())

    def widened(self, share: float, spread: float) -> "MixtureFit":
        """With one more component, of the mean and `spread`² times the covariance of the whole."""
        mean = self.weights @ self.means
        apart = self.means - mean
        within = np.einsum("k,kij->ij", self.weights, self.covariances)
        total = within + np.einsum("k,ki,kj->ij", self.weights, apart, apart)
        return MixtureFit(
            np.append((1 - share) * self.weights, share),
            np.concatenate([self.means, mean[None]]),
            np.concatenate([self.covariances, spread**2 * total[None]]),
        )

    def _around(self, center: Float[np.ndarray, "visible"]) -> "MixtureFit":
        return replace(self, means=self.means - center)

    def _repeated(self, n_components: int) -> "MixtureFit":
        """Its first component, so many times."""
        return MixtureFit(
            np.full(n_components, 1 / n_components),
            np.repeat(self.means[:1], n_components, axis=0),
            np.repeat(self.covariances[:1], n_components, axis=0),
        )

    def _components(self) -> Components:
        try:
            return Components.from_moments(self.weights, self.means, self.covariances)
        except np.linalg.LinAlgError as error:
            raise InvalidInputError(
                describe(
                    "MixtureFit",
                    expected="positive definite covariances",
                    got="a component whose rows lie in a plane",
                    hint="a larger floor or shrinkage, or fewer components",
                )
            ) from error


def fit_mixture(
    rows: Rows,
    settings: MixtureSettings,
    rng: np.random.Generator,
    *,
    most_passes: int = 100,
    tolerance: float = 1e-3,
    start: MixtureFit | None = None,
    apart: Rows | None = None,
) -> MixtureFit:
    """Fit to rows, NaN where a cell is missing.

    Passes end when one gains less than `tolerance` nats per row. The first one starts from `start`
    (without a wide component), or from rows dealt to k-means++ centers; there, missing cells stand
    at their means given the others under one Gaussian. `apart`, if given, are the same rows,
    complete, in coordinates where clusters may lie further apart: they are dealt there. The
    likelihood is that of the observed cells, so cells have to be missing at random. Where many rows
    miss many cells, only some rows are taken, at random. Raises `InvalidInputError` for rows that
    cannot be fitted.
    """
    _check_rows(rows, start)
    n_components = len(start.weights) if start else min(settings.n_components, len(rows))
    taken = _affordable(rows, n_components, rng)
    rows, apart = rows[taken], None if apart is None else apart[taken]
    center = np.nanmean(rows, axis=0)
    rows = rows - center
    first = start._around(center) if start else _first_fit(rows, n_components, settings, rng, apart)
    is_over = n_components == 1 and not np.isnan(rows).any()
    fit = _climb(rows, first, settings, 1 if is_over else most_passes, tolerance)
    fit = fit._around(-center)
    return fit.widened(settings.wide_share, settings.wide_spread) if settings.wide_share else fit


def _climb(
    rows: Rows, fit: MixtureFit, settings: MixtureSettings, most_passes: int, tolerance: float
) -> MixtureFit:
    """Expectation-maximization from a first fit."""
    parts = MixtureRows(rows, len(fit.weights))
    best = -np.inf
    for _ in range(most_passes):
        moments, log_likelihood = parts.expected_moments(fit._components())
        if log_likelihood - best < tolerance * len(rows):
            break
        best = log_likelihood
        fit = _maximize(moments, settings)
    return fit


def _first_fit(
    rows: Rows,
    n_components: int,
    settings: MixtureSettings,
    rng: np.random.Generator,
    apart: Rows | None,
) -> MixtureFit:
    """One Gaussian, or what rows dealt to centers make."""
    is_complete = not np.isnan(rows).any()
    variances = np.nanvar(rows, axis=0)
    typical = variances.mean() or 1.0
    # A constant column gets some variance, which the first pass takes away again.
    spherical = np.diag(np.maximum(variances, 1e-6 * typical))
    gaussian = MixtureFit(np.ones(1), np.zeros((1, rows.shape[1])), spherical[None])
    if n_components == 1:
        return gaussian
    if not is_complete:
        single = replace(settings, floor=max(settings.floor, 1e-6 * typical))
        gaussian = _climb(rows, gaussian, single, FIRST_PASSES, 1e-3)
    filled = rows if is_complete else fill(rows, gaussian._components())
    dealt = deal_rows(filled if apart is None else apart, n_components, rng)
    parts = MixtureRows(rows, n_components)
    repeated = gaussian._repeated(n_components)._components()
    return _maximize(parts.moments_of(repeated, np.eye(n_components)[:, dealt]), settings)


def _maximize(moments: Moments, settings: MixtureSettings) -> MixtureFit:
    """The mixture that moments of (1, x) make."""
    whole = moments.sum(axis=0)
    lacking = np.maximum(LEAST_ROWS - moments[:, 0, 0], 0.0)
    moments = moments + lacking[:, None, None] * whole / whole[0, 0]
    counts, n_visible = moments[:, 0, 0], len(whole) - 1
    means = moments[:, 0, 1:] / counts[:, None]
    squares = counts[:, None, None] * means[:, :, None] * means[:, None, :]
    scatter = moments[:, 1:, 1:] - squares
    if settings.shrinkage == 0:
        covariances = scatter / counts[:, None, None]
    else:
        pooled = scatter.sum(axis=0) / counts.sum()
        pooled = _towards_identity(pooled, counts.sum() - len(counts))
        own = 0.0 if np.isinf(settings.shrinkage) else counts / (counts + settings.shrinkage)
        own = np.broadcast_to(own, counts.shape)[:, None, None]
        covariances = own * scatter / counts[:, None, None] + (1 - own) * pooled
    if settings.rank is not None and settings.rank < n_visible:
        covariances = _leading(covariances, settings.rank)
    floor = settings.floor * np.eye(n_visible)
    return MixtureFit(counts / counts.sum(), means, covariances + floor)


def _towards_identity(
    covariance: Float[np.ndarray, "visible visible"], n_rows: float
) -> Float[np.ndarray, "visible visible"]:
    """A covariance mixed with a multiple of the identity, by the share that left-out rows prefer.

    Their likelihood is the approximation of Theiler ("The incredible shrinking covariance
    estimator", Proceedings of SPIE 8391, 2012), where all rows lie at the mean distance. Unlike the
    share of Ledoit and Wolf, this one minds small variances. An inverse exists also with few rows.
    """
    n_visible, n_rows = len(covariance), max(n_rows, 2.0)
    variances = np.maximum(np.linalg.eigvalsh(covariance), 0.0)
    typical = variances.mean()
    if typical == 0:
        return covariance
    kept = (1 - SHARES) / (n_rows - 1)
    drawn = n_rows * np.outer(kept, variances) + SHARES[:, None] * typical
    distance = np.sum(variances / drawn, axis=1)
    rest = np.maximum(1 - kept * distance, 1e-12)
    misfit = np.log(drawn).sum(axis=1) + np.log(rest) + distance / rest
    share = SHARES[np.argmin(misfit)]
    return (1 - share) * covariance + share * typical * np.eye(n_visible)


def _leading(
    covariances: Float[np.ndarray, "components visible visible"], rank: int
) -> Float[np.ndarray, "components visible visible"]:
    """With leading directions as they are and the mean variance of the others in their place.

    These are the most likely covariances of that form (Tipping and Bishop, "Mixtures of
    probabilistic principal component analyzers", Neural Computation 11, 1999, appendix A).
    """
    n_visible = covariances.shape[1]
    variances, directions = np.linalg.eigh(covariances)
    rest = variances[:, : n_visible - rank].mean(axis=1)
    above = variances[:, n_visible - rank :] - rest[:, None]
    leading = directions[:, :, n_visible - rank :]
    kept = (leading * above[:, None]) @ np.swapaxes(leading, 1, 2)
    return kept + rest[:, None, None] * np.eye(n_visible)


def _affordable(
    rows: Rows, n_components: int, rng: np.random.Generator
) -> Int[np.ndarray, "taken"]:
    """Numbers of rows, drawn at random where a pass over all of them would take too long."""
    n_rows, n_visible = rows.shape
    work = completion_work(rows)
    if n_components * work.sum() <= MOST_WORK:
        return np.arange(n_rows)
    most = max(int(MOST_WORK / (n_components * work.mean())), 2 * n_visible + 100)
    taken = rng.permutation(n_rows)[:most]
    # Every column keeps an observed cell.
    empty = np.isnan(rows[taken]).all(axis=0)
    first_seen = np.argmin(np.isnan(rows[:, empty]), axis=0)
    return np.union1d(taken, first_seen)


def _check_rows(rows: Rows, start: MixtureFit | None) -> None:
    if rows.ndim != 2 or 0 in rows.shape:
        problem = f"shape {rows.shape}"
    elif np.isinf(rows).any():
        problem = "an infinite cell"
    elif (empty := np.isnan(rows).all(axis=0)).any():
        problem = f"column {int(np.argmax(empty)) + 1} without an observed cell"
    elif start is not None and start.means.shape[1] != rows.shape[1]:
        problem = f"{rows.shape[1]} columns and a start of {start.means.shape[1]}"
    else:
        return
    expected = "rows (rows, visible) of finite cells or NaN, and an observed cell in every column"
    raise InvalidInputError(
        describe("fit_mixture(rows, settings, rng)", expected=expected, got=problem)
    )
