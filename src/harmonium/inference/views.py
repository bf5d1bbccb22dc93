"""Views of rows: in what way a row may be unlike the training rows, and how unlikely that is.

Every view says of a row how abnormal it is, in units of its own. Surprises, -log p with p the share
of normal rows that are at least as abnormal, make them comparable.
"""

from dataclasses import dataclass
from functools import cached_property

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.compiling import as_floats
from harmonium.data import Marginals, Whitening
from harmonium.inference.batches import map_blocks, map_rows
from harmonium.inference.conditionals import (
    conditional_log_densities,
    conditional_quantiles,
    marginal_log_densities,
    pair_log_ratios,
)
from harmonium.inference.neighbors import MOST_VOTING, near_votes
from harmonium.model import Mixture
from harmonium.model.mixture_fit import MixtureFit, MixtureSettings, fit_mixture
from harmonium.typing import Batch, PerCell, Points

# Components of the mixtures of a space; a mixture needs so many rows per component.
SIZES = (4, 8, 16, 32)
LEAST_ROWS_PER_COMPONENT = 4
# Rows of a component, at least.
FEWEST_ROWS = 5
# Numbers in the covariances of the largest mixture.
MOST_NUMBERS = 4_000_000
# Rows by which every covariance is tied to the pooled one, and what is added to its variances.
SHRINKAGE = 5.0
FLOOR = 1e-2
WIDE_SHARE, WIDE_SPREAD = 0.02, 2.0
MOST_PASSES, TOLERANCE = 50, 1e-2
# Mixtures count half where there are so many rows per column: a wide table has to say more of them
# than of what is near.
ROWS_PER_COLUMN = 30
# Standard deviations from the center at which a level stands that no training row has.
UNSEEN = 5.0
# Where coordinates end: single precision squares them and adds them up.
LARGEST_COORDINATE = 1e4
# Of wrong cells that lie anywhere: the scale of a Cauchy distribution, in standard deviations.
ANYWHERE = 5.0
# Rows that are explained at once: every candidate of every cell meets every component.
MOST_EXPLAINED = 16
# Share of the rows beyond which the tail of a view is measured, and places on the way there.
TAIL, N_QUANTILES = 0.1, 201
# Votes that lie closer, relative to 1 + |vote|, are equal but for single precision. Rows of few
# different cells have many equal votes: whether they count as passed is not rounding's to say.
ROUNDING = 2e-6

Votes = Float[np.ndarray, "rows views"]


@dataclass(frozen=True, eq=False)
class Scale:
    """Coordinates of a table: `marginals` map cells to points, which `whitening` standardizes."""

    marginals: Marginals
    whitening: Whitening

    @staticmethod
    def of_points(marginals: Marginals, points: Points) -> "Scale":
        """Standardized by points (rows, modeled) of complete rows."""
        return Scale(marginals, Whitening.fit(points, "diagonal", shrink=0.0))

    def forward(self, values: np.ndarray) -> Points:
        """Standardized points of complete table rows, (rows, modeled): variance 1 in training."""
        points = self.whitening.forward(self.marginals.centers(values)) * 2**0.5
        # Whitening makes a gap of a whole row.
        gaps = np.isnan(points)
        if gaps.any():
            points = np.where(gaps, self._with_unseen(values), points)
        return np.clip(points, -LARGEST_COORDINATE, LARGEST_COORDINATE)

    def restore(self, rows: Points) -> Points:
        """The modeled cells of standardized points (rows, modeled), in data units."""
        return self.marginals.restore(self.whitening.inverse(rows / 2**0.5))

    def _with_unseen(self, values: np.ndarray) -> Points:
        """The same, column by column, with levels that training has not seen far out."""
        points = (self.marginals.centers(values) - self.whitening.center) / self.whitening.spread
        return np.where(np.isnan(points), UNSEEN, points)


@dataclass(frozen=True, eq=False)
class Space:
    """What the training rows look like in some coordinates: mixtures, and the rows themselves.

    `mixtures` are of several sizes; kernels stand at `kernels` (kernels, modeled).
    """

    scale: Scale
    mixtures: tuple[Mixture, ...]
    kernels: Float[np.ndarray, "kernels modeled"]

    @property
    def groups(self) -> tuple[int, ...]:
        """How many votes there are of each kind: joint, of columns given the others, of kernels, of
        neighbors.
        """
        return len(self.mixtures), len(self.mixtures), 1, 1

    def weights(self, n_rows: int) -> tuple[float, ...]:
        """How much each kind counts after so many training rows."""
        known = n_rows / (n_rows + ROWS_PER_COLUMN * self.kernels.shape[1])
        return known, known, 1.0, 1.0

    @cached_property
    def pooled(self) -> Mixture:
        """The mean density of the mixtures, as one mixture of all their components."""
        share = np.log(len(self.mixtures))
        parts = [
            (np.asarray(own.log_weights) - share, own.means, own.factors, own.inverses)
            for own in self.mixtures
        ]
        return Mixture(*(as_floats(np.concatenate(own)) for own in zip(*parts, strict=True)))

    @cached_property
    def _kernels(self) -> Batch:
        return as_floats(self.kernels)

    def votes(self, values: np.ndarray) -> Votes:
        """How abnormal complete table rows (rows, columns) are by every view, in nats.

        -log q(x) of every mixture, the mean over columns of -log q(x_j given the others) of every
        mixture, minus the log-density of the kernels, up to a constant, and the mean distance to
        the nearest training rows.
        """
        rows = self.scale.forward(values)
        return np.concatenate(
            [mixture_votes(self.mixtures, rows), near_votes(self._kernels, rows)], axis=1
        )

    def places(self, candidates: np.ndarray) -> Float[np.ndarray, "modeled places"]:
        """Where cells (candidates, modeled) of the modeled columns stand, by column."""
        columns = self.scale.marginals.columns
        cells = np.zeros((len(candidates), len(columns.names)))
        cells[:, columns.modeled_index] = candidates
        return self.scale.forward(cells).T

    def conditionals(
        self, values: np.ndarray, places: Float[np.ndarray, "modeled places"]
    ) -> Float[np.ndarray, "rows modeled places+1"]:
        """log q(x_j given the others) with x_j in one of its places instead; last, of x_j itself.

        For complete table rows (rows, columns); in nats, by the mean density of the mixtures, so
        that those count more that expect the others.
        """
        rows, mixture = self.scale.forward(values), self.pooled

        def tried(block: Points) -> np.ndarray:
            at = np.broadcast_to(places, (len(block), *places.shape))
            at = np.concatenate([at, block[:, :, None]], axis=2)
            return conditional_log_densities(mixture, block, at)

        return map_blocks(tried, rows, longest=MOST_EXPLAINED)

    def likely_range(
        self, values: np.ndarray, columns: np.ndarray, shares: tuple[float, float]
    ) -> Float[np.ndarray, "rows 2"]:
        """Between which cells x_j lies given the others, j one of `columns` (rows,) per row.

        For complete table rows (rows, columns); the ends are those of these shares, in data units.
        """
        places = conditional_quantiles(self.pooled, self.scale.forward(values), columns, shares)
        points, own = (
            np.zeros((2, len(values), len(self.scale.whitening.center))),
            range(len(values)),
        )
        points[:, own, columns] = places.T
        return np.stack([self.scale.restore(end)[own, columns] for end in points], axis=1)

    def fits(self, values: np.ndarray, columns: np.ndarray) -> PerCell:
        """log q(x_j, x_k) / (q(x_j) q(x_k)) of every column k, j one of `columns` (rows,) per row.

        For complete table rows (rows, columns), in nats; negative where the two cells go together
        less often than by chance, infinite for j itself.
        """
        return pair_log_ratios(self.pooled, self.scale.forward(values), columns)

    def wrong(self, values: np.ndarray) -> PerCell:
        """The log-density of cells (rows, columns) that are wrong: half of them are those of other
        rows, whatever goes with them, and half lie anywhere.
        """
        rows = self.scale.forward(values)
        others = marginal_log_densities(self.pooled, rows)
        return np.logaddexp(others, anywhere_log_densities(rows)) - np.log(2)


def anywhere_log_densities(rows: Points) -> PerCell:
    """The log-density of every coordinate that lies anywhere, (rows, modeled)."""
    return -np.log(np.pi * ANYWHERE * (1 + (rows / ANYWHERE) ** 2))


def fit_mixtures(
    rows: Points, sizes: tuple[int, ...], rng: np.random.Generator
) -> tuple[Mixture, ...]:
    """Mixtures of these sizes for standardized rows."""
    found = []
    for size in sizes:
        settings = MixtureSettings(
            size,
            floor=FLOOR,
            shrinkage=SHRINKAGE,
            wide_share=WIDE_SHARE,
            wide_spread=WIDE_SPREAD,
        )
        fit = fit_mixture(rows, settings, rng, most_passes=MOST_PASSES, tolerance=TOLERANCE)
        found.append(_without_odd(fit, min(FEWEST_ROWS, len(rows) / size) / len(rows)))
    return tuple(found)


def _without_odd(fit: MixtureFit, least: float) -> Mixture:
    """The mixture with the wide component, its last, in place of those of less weight.

    A component of few rows may be made of odd ones, which it would call normal. The number of
    components stays, so that nothing is compiled anew.
    """
    odd = fit.weights < least
    odd[-1] = False
    weights = np.where(odd, 0.0, fit.weights)
    weights /= weights.sum()
    weights[odd] = weights[-1] / (1 + odd.sum())
    weights[-1] -= weights[odd].sum()
    means = np.where(odd[:, None], fit.means[-1], fit.means)
    covariances = np.where(odd[:, None, None], fit.covariances[-1], fit.covariances)
    return Mixture.from_moments(weights, means, covariances)


def sizes_for(n_rows: int, n_columns: int) -> tuple[int, ...]:
    """The sizes of mixtures that so many rows and columns bear; one Gaussian if they bear none."""
    most = min(n_rows // LEAST_ROWS_PER_COMPONENT, MOST_NUMBERS // n_columns**2)
    return tuple(size for size in SIZES if size <= most) or (1,)


def mixture_votes(mixtures: tuple[Mixture, ...], rows: Points) -> Votes:
    """-log q(x) of every mixture, then the means of its column surprisals, (rows, 2 mixtures)."""
    return map_rows(lambda batch: votes_of_mixtures(mixtures, batch), rows, longest=MOST_VOTING)


@eqx.filter_jit
def votes_of_mixtures(mixtures: tuple[Mixture, ...], rows: Batch) -> Float[Array, "rows views"]:
    """`mixture_votes` of one batch, as a program."""
    found = [mixture.surprisals(rows.T) for mixture in mixtures]
    joint = [own for own, _ in found]
    return jnp.stack(joint + [jnp.mean(columns, axis=0) for _, columns in found], axis=1)


@dataclass(frozen=True, eq=False)
class Surprise:
    """Votes as surprises -log p, in nats: p is the share of normal rows with such a vote or more.

    `quantiles` (places, views) are those of votes of normal rows, at even distances. Beyond the
    last tenth, the tail is exponential with the mean excess `scale` (views,). A vote has passed the
    quantiles that it equals, also those that it equals but for `ROUNDING`.
    """

    quantiles: Float[np.ndarray, "places views"]
    scale: Float[np.ndarray, "views"]

    @staticmethod
    def fit(votes: Votes) -> "Surprise":
        """Fit to votes of normal rows that the views have not seen."""
        quantiles = np.quantile(votes, np.linspace(0, 1, N_QUANTILES), axis=0)
        edge = np.quantile(votes, 1 - TAIL, axis=0)
        beyond = votes > edge
        excess = np.where(beyond, votes - edge, 0).sum(axis=0) / np.maximum(beyond.sum(axis=0), 1)
        return Surprise(quantiles, np.maximum(excess, 1e-6 * np.maximum(1.0, np.abs(edge))))

    def of(self, votes: Votes) -> Votes:
        """The surprises of votes (rows, views)."""
        shares = np.linspace(0, 1, N_QUANTILES)
        reached = votes + ROUNDING * (1 + np.abs(votes))
        found = np.empty(votes.shape)
        for j, own in enumerate(self.quantiles.T):
            edge = np.interp(1 - TAIL, shares, own)
            below = np.interp(reached[:, j], own, shares)
            within = -np.log1p(-np.minimum(below, 1 - TAIL))
            beyond = -np.log(TAIL) + np.maximum(votes[:, j] - edge, 0) / self.scale[j]
            found[:, j] = np.where(reached[:, j] > edge, beyond, within)
        return found
