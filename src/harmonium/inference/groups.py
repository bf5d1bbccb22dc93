"""Groups of cells that are wrong together, by densities of the group given the other cells."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from harmonium.inference.views import MOST_EXPLAINED, Space, anywhere_log_densities
from harmonium.model import Mixture
from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.typing import PerCell, Points

# Cells with which a pair may begin, at most: with fewer columns all pairs are compared.
MOST_STARTS = 40
# What a missing cell takes from the doubts of its groups: more than any doubt.
MISSING = 1e300

Cells = Int[np.ndarray, "rows group"]
Hidden = Bool[np.ndarray, "rows modeled"]
Matrices = Float[np.ndarray, "components modeled modeled"]
ByComponent = Float[np.ndarray, "components rows modeled"]


@dataclass(frozen=True, eq=False)
class Moments:
    """A mixture by covariances and precisions of its components; `log_det` are of precisions."""

    log_weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components modeled"]
    covariances: Matrices
    precisions: Matrices
    log_det: Float[np.ndarray, "components"]

    @staticmethod
    def of(mixture: Mixture) -> "Moments":
        """Those of a mixture, in double precision."""
        log_weights, means, factors, inverses = (
            np.asarray(part, np.float64)
            for part in (mixture.log_weights, mixture.means, mixture.factors, mixture.inverses)
        )
        return Moments(
            log_weights,
            means,
            covariances=factors @ np.swapaxes(factors, 1, 2),
            precisions=np.swapaxes(inverses, 1, 2) @ inverses,
            log_det=2 * np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1),
        )


@dataclass(frozen=True, eq=False)
class Groups:
    """Standardized rows (rows, modeled) under a mixture, to be asked for groups of their cells.

    `residuals` are x - m of every component, `pulled` are P(x - m) with its precision P, and
    `joint` (components, rows) are its log-densities with weights, up to a constant.
    """

    moments: Moments
    rows: Points
    residuals: ByComponent
    pulled: ByComponent
    joint: Float[np.ndarray, "components rows"]

    @staticmethod
    def of(moments: Moments, rows: Points) -> "Groups":
        """These rows under this mixture."""
        residuals = rows - moments.means[:, None]
        pulled = residuals @ moments.precisions
        constants = moments.log_weights + 0.5 * moments.log_det
        joint = constants[:, None] - 0.5 * np.sum(residuals * pulled, axis=2)
        return Groups(moments, rows, residuals, pulled, joint)

    def right(self, groups: Cells) -> PerCell:
        """log q(x_T given the other cells), T the group of a row and one more column, for every
        column; those of the group itself mean nothing. Nats.

        Of component k with precision P, x_T given the others has the precision P_TT and is
        P_TT⁻¹ (P(x - m))_T from its mean. The joint density less this is that of the others.
        """
        log_det, squares = _extended(self.moments.precisions, self.pulled, groups)
        own = 0.5 * (log_det - (groups.shape[1] + 1) * LOG_2PI - squares)
        others = logsumexp(self.joint[:, :, None] - own, axis=0)
        return np.asarray(logsumexp(self.joint, axis=0))[:, None] - np.asarray(others)

    def wrong(self, groups: Cells) -> PerCell:
        """The log-density of the same cells where all of them are wrong: half of them come together
        from another row, whatever goes with them, and half lie anywhere, each by itself.
        """
        log_det, squares = _extended(self.moments.covariances, self.residuals, groups)
        own = -0.5 * (log_det + (groups.shape[1] + 1) * LOG_2PI + squares)
        another = logsumexp(self.moments.log_weights[:, None, None] + own, axis=0)
        anywhere = anywhere_log_densities(self.rows)
        of_group = np.take_along_axis(anywhere, groups, axis=1).sum(axis=1, keepdims=True)
        return np.logaddexp(np.asarray(another), of_group + anywhere) - np.log(2)

    def doubts(self, groups: Cells) -> PerCell:
        """log P(wrong) - log P(right) of the same cells, both as likely beforehand; -inf for the
        columns of the group itself.
        """
        found = self.wrong(groups) - self.right(groups)
        np.put_along_axis(found, groups, -np.inf, axis=1)
        return found


def _extended(
    matrices: Matrices, vectors: ByComponent, groups: Cells
) -> tuple[ByComponent, ByComponent]:
    """log det M_TT and v_Tᵀ M_TT⁻¹ v_T of positive definite matrices M and vectors v, T the group
    of a row and one more column, for every column; of no meaning for those of the group.

    By Schur complements: with G the group, det M_TT = det M_GG (M_ll - M_lG M_GG⁻¹ M_Gl).
    """
    sides = matrices[:, groups]
    own = np.take_along_axis(sides, groups[None, :, None], axis=3)
    inverse = np.linalg.inv(own)
    variances = np.diagonal(matrices, axis1=1, axis2=2)[:, None]
    schur = variances - np.sum(sides * (inverse @ sides), axis=2)
    np.put_along_axis(schur, groups[None], 1.0, axis=2)
    inside = np.take_along_axis(vectors, groups[None], axis=2)[:, :, None]
    solved = inside @ inverse
    apart = vectors - (solved @ sides)[:, :, 0]
    squares = np.sum(solved * inside, axis=3) + apart**2 / schur
    return np.linalg.slogdet(own)[1][:, :, None] + np.log(schur), squares


def likeliest_groups(
    spaces: tuple[Space, ...], values: np.ndarray, doubts: PerCell, missing: Hidden, size: int
) -> tuple[Cells, Float[np.ndarray, "rows"]]:
    """The groups of `size` cells that are likeliest wrong, as positions among the modeled columns,
    and their doubts (rows,), means over the spaces.

    Of complete table rows (rows, columns), of which the cells `missing` are drawn, with the
    `doubts` (rows, modeled) of single cells. A pair is the likeliest of all that begin with one of
    the `MOST_STARTS` most doubtful cells, the more doubtful of the two first; larger groups grow
    from it, each time by the cell that makes the likeliest group. Missing cells are taken last, and
    the doubts of their groups are below all others.
    """
    doubts = doubts - MISSING * missing
    if size == 1:
        return doubts.argmax(axis=1)[:, None], doubts.max(axis=1)
    moments = [Moments.of(space.pooled) for space in spaces]
    rows = [space.scale.forward(values) for space in spaces]
    found = []
    for block in np.array_split(np.arange(len(values)), max(1, -(-len(values) // MOST_EXPLAINED))):
        judges = [Groups.of(own, at[block]) for own, at in zip(moments, rows, strict=True)]
        found.append(_likeliest(judges, doubts[block], missing[block], size))
    return np.concatenate([own for own, _ in found]), np.concatenate([own for _, own in found])


def _likeliest(
    judges: list[Groups], single: PerCell, missing: Hidden, size: int
) -> tuple[Cells, Float[np.ndarray, "rows"]]:
    def doubts(groups: Cells) -> PerCell:
        hidden = missing + np.take_along_axis(missing, groups, axis=1).sum(axis=1, keepdims=True)
        return np.mean([own.doubts(groups) for own in judges], axis=0) - MISSING * hidden

    groups, best = _likeliest_pairs(doubts, single)
    for _ in range(size - 2):
        found = doubts(groups)
        groups = np.concatenate([groups, found.argmax(axis=1)[:, None]], axis=1)
        best = found.max(axis=1)
    return groups, best


def _likeliest_pairs(
    doubts: Callable[[Cells], PerCell], single: PerCell
) -> tuple[Cells, Float[np.ndarray, "rows"]]:
    starts = np.argsort(-single, axis=1, kind="stable")[:, :MOST_STARTS]
    found = np.stack([doubts(start[:, None]) for start in starts.T], axis=1)
    at, other = np.divmod(found.reshape(len(single), -1).argmax(axis=1), single.shape[1])
    rows = np.arange(len(single))
    pairs = np.stack([starts[rows, at], other], axis=1)
    order = np.argsort(-np.take_along_axis(single, pairs, axis=1), axis=1, kind="stable")
    return np.take_along_axis(pairs, order, axis=1), found[rows, at, other]
