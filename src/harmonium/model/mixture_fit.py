"""Mixtures of Gaussians, fitted by expectation-maximization to rows that may miss cells.

Everything is in float64, by NumPy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from harmonium.errors import InvalidInputError, describe
from harmonium.model.mixture_components import Components
from harmonium.model.mixture_rows import MixtureRows, completion_work, fill
from harmonium.model.mixture_starts import deal_rows
from harmonium.typing import Rows

# Rows of the whole that a component gets which would have fewer, so that none dies.
LEAST_ROWS = 1e-3
# Floating-point operations of one pass over rows with missing cells, which bound the rows.
MOST_WORK = 1e9
# Passes for the Gaussian by which a mixture of incomplete rows starts.
FIRST_PASSES = 10
# Shares of the identity that the pooled covariance may get.
SHARES = np.geomspace(1e-4, 1.0, 33)


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
        return parts.log_density(_components([self._around(center)]))

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


Bag = tuple[MixtureFit, ...]


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
    """Fit to rows, NaN where a cell is missing; `fit_bag` says how."""
    starts = None if start is None else (start,)
    (fit,) = fit_bag(
        rows,
        settings,
        rng,
        1,
        most_passes=most_passes,
        tolerance=tolerance,
        starts=starts,
        apart=apart,
    )
    return fit


def fit_bag(
    rows: Rows,
    settings: MixtureSettings,
    rng: np.random.Generator,
    n_fits: int,
    *,
    most_passes: int = 100,
    tolerance: float = 1e-3,
    starts: Bag | None = None,
    apart: Rows | None = None,
) -> Bag:
    """Fit `n_fits` mixtures to rows, NaN where a cell is missing, side by side.

    Passes of a fit end when one gains less than `tolerance` nats per row. The first one starts from
    its own of `starts` (without wide components), or from rows dealt to k-means++ centers; there,
    missing cells stand at their means given the others under one Gaussian. `apart`, if given, are
    the same rows, complete, in coordinates where clusters may lie further apart: they are dealt
    there. The likelihood is that of the observed cells, so cells have to be missing at random.
    Where many rows miss many cells, only some rows are taken, at random. Raises `InvalidInputError`
    for rows that cannot be fitted.
    """
    _check_rows(rows, starts)
    n_components = len(starts[0].weights) if starts else min(settings.n_components, len(rows))
    taken = _affordable(rows, n_components, rng)
    rows, apart = rows[taken], None if apart is None else apart[taken]
    center = np.nanmean(rows, axis=0)
    rows = rows - center
    parts = MixtureRows(rows, n_fits * n_components)
    if starts:
        first = tuple(start._around(center) for start in starts)
    else:
        first = _first_fits(rows, parts, n_components, n_fits, settings, rng, apart)
    is_over = n_components == 1 and not np.isnan(rows).any()
    fits = _climb(parts, first, settings, 1 if is_over else most_passes, tolerance)
    share, spread = settings.wide_share, settings.wide_spread
    moved = [fit._around(-center) for fit in fits]
    return tuple(fit.widened(share, spread) if share else fit for fit in moved)


def _climb(
    parts: MixtureRows, first: Bag, settings: MixtureSettings, most_passes: int, tolerance: float
) -> Bag:
    """Expectation-maximization from first fits."""
    fits, best = list(first), np.full(len(first), -np.inf)
    active = np.arange(len(first))
    for _ in range(most_passes):
        components = _components([fits[i] for i in active])
        moments, found = parts.expected_moments(components, len(active))
        gains = found - best[active] >= tolerance * parts.shape[0]
        best[active] = found
        active = active[gains]
        if not len(active):
            break
        moments = moments.reshape(len(gains), -1, *moments.shape[1:])
        for i, fit in zip(active, _maximize(moments[gains], settings), strict=True):
            fits[i] = fit
    return tuple(fits)


def _first_fits(
    rows: Rows,
    parts: MixtureRows,
    n_components: int,
    n_fits: int,
    settings: MixtureSettings,
    rng: np.random.Generator,
    apart: Rows | None,
) -> Bag:
    """Gaussians, or what rows dealt to centers make."""
    is_complete = not np.isnan(rows).any()
    variances = np.nanvar(rows, axis=0)
    typical = variances.mean() or 1.0
    # A constant column gets some variance, which the first pass takes away again.
    spherical = np.diag(np.maximum(variances, 1e-6 * typical))
    gaussian = MixtureFit(np.ones(1), np.zeros((1, rows.shape[1])), spherical[None])
    if n_components == 1:
        return (gaussian,) * n_fits
    if not is_complete:
        single = replace(settings, floor=max(settings.floor, 1e-6 * typical))
        (gaussian,) = _climb(MixtureRows(rows, 1), (gaussian,), single, FIRST_PASSES, 1e-3)
    filled = rows if is_complete else fill(rows, _components([gaussian]))
    dealt = [
        deal_rows(filled if apart is None else apart, n_components, rng) for _ in range(n_fits)
    ]
    members = np.concatenate([np.eye(n_components)[:, labels] for labels in dealt])
    moments = parts.moments_of(_components([gaussian] * len(members)), members)
    return _maximize(moments.reshape(n_fits, n_components, *moments.shape[1:]), settings)


def _components(fits: Sequence[MixtureFit]) -> Components:
    """The Gaussians of several mixtures, one after the other."""
    weights, means, covariances = (
        np.concatenate(parts)
        for parts in zip(*((f.weights, f.means, f.covariances) for f in fits), strict=True)
    )
    try:
        return Components.from_moments(weights, means, covariances)
    except np.linalg.LinAlgError as error:
        raise InvalidInputError(
            describe(
                "MixtureFit",
                expected="positive definite covariances",
                got="a component whose rows lie in a plane",
                hint="a larger floor or shrinkage, or fewer components",
            )
        ) from error


def _maximize(
    moments: Float[np.ndarray, "fits components augmented augmented"], settings: MixtureSettings
) -> Bag:
    """The mixtures that moments of (1, x) make."""
    whole = moments.sum(axis=1, keepdims=True)
    lacking = np.maximum(LEAST_ROWS - moments[:, :, :1, :1], 0.0)
    moments = moments + lacking * whole / whole[:, :, :1, :1]
    counts, n_visible = moments[:, :, 0, 0], moments.shape[2] - 1
    rows = counts[:, :, None, None]
    means = moments[:, :, 0, 1:] / counts[:, :, None]
    scatter = moments[:, :, 1:, 1:] - rows * means[:, :, :, None] * means[:, :, None, :]
    covariances = scatter / rows
    if settings.shrinkage > 0:
        n_rows = counts.sum(axis=1)
        pooled = scatter.sum(axis=1) / n_rows[:, None, None]
        pooled = _towards_identity(pooled, n_rows - counts.shape[1])[:, None]
        own = 0.0 if np.isinf(settings.shrinkage) else rows / (rows + settings.shrinkage)
        covariances = own * covariances + (1 - own) * pooled
    if settings.rank is not None and settings.rank < n_visible:
        covariances = _leading(covariances, settings.rank)
    covariances = covariances + settings.floor * np.eye(n_visible)
    weights = counts / counts.sum(axis=1, keepdims=True)
    return tuple(MixtureFit(*own) for own in zip(weights, means, covariances, strict=True))


def _towards_identity(
    covariances: Float[np.ndarray, "fits visible visible"], n_rows: Float[np.ndarray, "fits"]
) -> Float[np.ndarray, "fits visible visible"]:
    """Covariances mixed with multiples of the identity, by the shares that left-out rows prefer.

    Their likelihood is the approximation of Theiler ("The incredible shrinking covariance
    estimator", Proceedings of SPIE 8391, 2012), where all rows lie at the mean distance. Unlike the
    share of Ledoit and Wolf, this one minds small variances. An inverse exists also with few rows.
    """
    n_visible, n_rows = covariances.shape[1], np.maximum(n_rows, 2.0)[:, None, None]
    variances = np.maximum(np.linalg.eigvalsh(covariances), 0.0)[:, None]
    typical = variances.mean(axis=2, keepdims=True)
    kept = (1 - SHARES)[:, None] / (n_rows - 1)
    drawn = n_rows * kept * variances + SHARES[:, None] * typical
    # Without any variance all shares are as good as none.
    drawn = np.where(typical > 0, drawn, 1.0)
    distance = np.sum(variances / drawn, axis=2)
    rest = np.maximum(1 - kept[:, :, 0] * distance, 1e-12)
    misfit = np.log(drawn).sum(axis=2) + np.log(rest) + distance / rest
    share = SHARES[np.argmin(misfit, axis=1)][:, None, None]
    return (1 - share) * covariances + share * typical * np.eye(n_visible)


def _leading(
    covariances: Float[np.ndarray, "fits components visible visible"], rank: int
) -> Float[np.ndarray, "fits components visible visible"]:
    """With leading directions as they are and the mean variance of the others in their place.

    These are the most likely covariances of that form (Tipping and Bishop, "Mixtures of
    probabilistic principal component analyzers", Neural Computation 11, 1999, appendix A).
    """
    n_visible = covariances.shape[-1]
    variances, directions = np.linalg.eigh(covariances)
    rest = variances[..., : n_visible - rank].mean(axis=-1)[..., None]
    above = variances[..., n_visible - rank :] - rest
    leading = directions[..., n_visible - rank :]
    kept = (leading * above[..., None, :]) @ np.swapaxes(leading, -1, -2)
    return kept + rest[..., None] * np.eye(n_visible)


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


def _check_rows(rows: Rows, starts: Bag | None) -> None:
    if rows.ndim != 2 or 0 in rows.shape:
        problem = f"shape {rows.shape}"
    elif np.isinf(rows).any():
        problem = "an infinite cell"
    elif (empty := np.isnan(rows).all(axis=0)).any():
        problem = f"column {int(np.argmax(empty)) + 1} without an observed cell"
    elif starts and (own := starts[0].means.shape[1]) != rows.shape[1]:
        problem = f"{rows.shape[1]} columns and a start of {own}"
    else:
        return
    expected = "rows (rows, visible) of finite cells or NaN, and an observed cell in every column"
    raise InvalidInputError(
        describe("fit_mixture(rows, settings, rng)", expected=expected, got=problem)
    )
