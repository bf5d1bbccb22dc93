"""Rows as a Gaussian mixture sees them: log-densities, and the moments that components take.

Both steps of expectation-maximization are sums over blocks of rows, of which there are two kinds.
Complete rows go through matrix products with their monomials of degree two, in which log N(x; m, S)
is linear (Dempster, Laird and Rubin 1977, section 4.3). Rows with missing cells go through the
conditional moments of these cells given the others, by pattern of missing cells (Ghahramani and
Jordan, "Supervised learning from incomplete data via an EM approach", NIPS 6, 1994).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs

from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.parallel import side_by_side
from harmonium.typing import Rows

# Numbers of the largest array of a block: of monomials, and of the smaller arrays by pattern.
MONOMIALS, BY_PATTERN = 500_000, 250_000
# Up to so many, monomials are made once: a pass then takes half the time. More of them are read
# from memory no faster than they are made.
MOST_KEPT = 8_000_000
# With more columns per component than this, products per component take less time than monomials.
COLUMNS_PER_COMPONENT = 8
(_trtri,) = get_lapack_funcs(("trtri",))
# Parts of the blocks that are summed side by side.
N_LANES = 4
# Columns from which on factors are inverted as what they are, triangular.
LEAST_TRIANGULAR = 8

# Joint log-densities, which become responsibilities.
Shares = Float[np.ndarray, "components rows"]
# Sums of z zᵀ over the rows of every component, for z = (1, x).
Moments = Float[np.ndarray, "components augmented augmented"]


@dataclass(frozen=True)
class Components:
    """The Gaussians of a mixture: log w_k + log det(P_k)/2, means m_k and precisions P_k."""

    log_scales: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components visible"]
    precisions: Float[np.ndarray, "components visible visible"]

    @staticmethod
    def from_moments(
        weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
    ) -> "Components":
        """The Gaussians of these covariances; `LinAlgError` if one is not positive definite."""
        inverses = triangular_inverses(np.linalg.cholesky(covariances))
        half_log_dets = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
        precisions = np.swapaxes(inverses, 1, 2) @ inverses
        return Components(np.log(weights) + half_log_dets, means, precisions)

    @cached_property
    def coefficients(self) -> Float[np.ndarray, "components monomials"]:
        """What the log-densities are in terms of the monomials of (1, x)."""
        n_visible = self.means.shape[1]
        linear = np.einsum("kij,kj->ki", self.precisions, self.means)
        form = np.zeros((len(self.means), n_visible + 1, n_visible + 1))
        squares = (linear * self.means).sum(axis=1)
        form[:, 0, 0] = self.log_scales - 0.5 * squares - 0.5 * n_visible * LOG_2PI
        form[:, 0, 1:] = linear
        # The two halves of a symmetric matrix meet in one monomial.
        form[:, 1:, 1:] = -self.precisions
        form[:, range(1, n_visible + 1), range(1, n_visible + 1)] *= 0.5
        first, second = _pairs(n_visible + 1)
        return form[:, first, second]


class Sums:
    """Moments of the rows of every component, filled block by block."""

    def __init__(self, components: Components):
        n_components, n_visible = components.means.shape
        size = n_visible + 1
        self.means = components.means
        self.index = _pairs(size)
        self.monomials = np.zeros((n_components, len(self.index[0])))
        # Of (1, x - m_k) for the means that the components had.
        self.centered = np.zeros((n_components, size, size))

    def add(self, others: "Sums") -> None:
        """Add those of other blocks."""
        self.monomials += others.monomials
        self.centered += others.centered

    def moments(self) -> Moments:
        """What all blocks make together."""
        first, second = self.index
        whole = np.zeros_like(self.centered)
        whole[:, first, second] = whole[:, second, first] = self.monomials
        if not self.centered.any():
            return whole
        # Of (1, x) = (1, x - m) + (0, m): the squares first, of which the others are parts.
        whole += self.centered
        counts, means = self.centered[:, 0, :1], self.means
        crossed = means[:, :, None] * (self.centered[:, :1, 1:] + 0.5 * (counts * means)[:, None])
        whole[:, 1:, 1:] += crossed + np.swapaxes(crossed, 1, 2)
        whole[:, 0, 1:] += counts * means
        whole[:, 1:, 0] += counts * means
        return whole


class MixtureRows:
    """Rows, NaN where a cell is missing, cut into blocks that suit so many components.

    A block has the numbers of its rows, `index`, and `given(components)`: log w_k N(x; m_k, S_k) of
    the observed cells, `joint`, and `add_to(sums, members)`, which adds the moments of its rows.
    """

    def __init__(self, rows: Rows, n_components: int):
        missing = np.isnan(rows)
        n_missing = missing.sum(axis=1)
        n_visible = rows.shape[1]
        self.shape = rows.shape
        self.blocks: list[_CompleteBlock | _PatternBlock] = []
        complete = np.flatnonzero(n_missing == 0)
        if n_visible <= COLUMNS_PER_COMPONENT * n_components:
            n_monomials = (n_visible + 1) * (n_visible + 2) // 2
            cuts = _cut(complete, MONOMIALS // n_monomials)
            keeps = n_monomials * len(complete) <= MOST_KEPT
            self.blocks += [_CompleteBlock(rows, index, keeps=keeps) for index in cuts]
        else:
            cuts = _cut(complete, BY_PATTERN // (n_components * n_visible))
            self.blocks += [_PatternBlock(rows, index) for index in cuts]
        # Rows with the same pattern come one after the other.
        order = np.lexsort((*missing.T, n_missing))
        for count in np.unique(n_missing[n_missing > 0]):
            own = order[n_missing[order] == count]
            cuts = _cut(own, BY_PATTERN // (n_components * int(n_visible + count**2)))
            self.blocks += [_PatternBlock(rows, index) for index in cuts]

    def log_density(self, components: Components) -> Float[np.ndarray, "rows"]:
        """The log-density of the observed cells of every row, nats."""
        found = np.zeros(self.shape[0])

        def score(block: _CompleteBlock | _PatternBlock) -> None:
            found[block.index] = normalize(block.given(components).joint)

        side_by_side(score, self.blocks)
        return found

    def expected_moments(
        self, components: Components, n_mixtures: int = 1
    ) -> tuple[Moments, Float[np.ndarray, "mixtures"]]:
        """Moments expected given the observed cells, and log-likelihoods of these, nats.

        `components` are those of so many mixtures of equal size, one after the other: passes over
        several of them cost little more than over one.
        """

        def expect(
            lane: list[_CompleteBlock | _PatternBlock],
        ) -> tuple[Sums, Float[np.ndarray, "mixtures"]]:
            sums, log_likelihoods = Sums(components), np.zeros(n_mixtures)
            for block in lane:
                given = block.given(components)
                # In place: the logarithms become responsibilities.
                apart = given.joint.reshape(n_mixtures, -1, given.joint.shape[1])
                log_likelihoods += normalize(apart).sum(axis=1)
                given.add_to(sums, given.joint)
            return sums, log_likelihoods

        # As many lanes on any machine: sums depend on their order by rounding.
        lanes = [lane for i in range(N_LANES) if (lane := self.blocks[i::N_LANES])]
        found = side_by_side(expect, lanes)
        sums = found[0][0]
        for others, _ in found[1:]:
            sums.add(others)
        return sums.moments(), np.sum([own for _, own in found], axis=0)

    def moments_of(self, components: Components, members: Shares) -> Moments:
        """The same for rows that are known to belong to the components by these shares."""
        sums = Sums(components)
        for block in self.blocks:
            block.given(components).add_to(sums, members[:, block.index])
        return sums.moments()


def fill(rows: Rows, components: Components) -> Rows:
    """Rows with the mean of every missing cell given the others, under the first component."""
    filled = np.array(rows)
    for block in MixtureRows(rows, len(components.means)).blocks:
        given = block.given(components)
        if isinstance(given, _Completed):
            filled[block.index] = components.means[0] + given.deviations[0]
    return filled


def completion_work(rows: Rows) -> Float[np.ndarray, "rows"]:
    """Floating-point operations of one component in one pass, per row; 0 for complete rows."""
    n_missing = np.isnan(rows).sum(axis=1)
    return np.where(n_missing > 0, 4.0 * rows.shape[1] ** 2 + 2.0 * n_missing**3, 0.0)


def normalize(joint: Float[np.ndarray, "... components rows"]) -> Float[np.ndarray, "... rows"]:
    """The logarithms of the sums over components; what is given becomes shares of these sums."""
    peak = joint.max(axis=-2)
    joint -= peak[..., None, :]
    np.exp(joint, out=joint)
    total = joint.sum(axis=-2)
    joint /= total[..., None, :]
    return peak + np.log(total)


def triangular_inverses(
    factors: Float[np.ndarray, "components visible visible"],
) -> Float[np.ndarray, "components visible visible"]:
    """Inverses of lower Cholesky factors: of larger ones LAPACK's take a third of NumPy's time."""
    if factors.shape[1] < LEAST_TRIANGULAR:
        return np.tril(np.linalg.inv(factors))
    # By its transpose, which is in the order of LAPACK, so that nothing is copied.
    return np.stack([_trtri(factor.T, lower=0)[0].T for factor in factors])


@cache
def _pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """i and j of all pairs i <= j."""
    return np.triu_indices(size)


def _cut(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    size = max(1, size)
    for start in range(0, len(index), size):
        yield index[start : start + size]


class _CompleteBlock:
    """Rows without missing cells, for many components; it may keep their monomials."""

    def __init__(self, rows: Rows, index: np.ndarray, *, keeps: bool):
        self.index = index
        self.augmented = np.ones((rows.shape[1] + 1, len(index)))
        self.augmented[1:] = rows[index].T
        self.kept = _monomials(self.augmented) if keeps else None

    def given(self, components: Components) -> "_Monomials":
        monomials = _monomials(self.augmented) if self.kept is None else self.kept
        return _Monomials(components.coefficients @ monomials, monomials)


class _Monomials(NamedTuple):
    joint: Shares
    monomials: Float[np.ndarray, "monomials rows"]

    def add_to(self, sums: Sums, members: Shares) -> None:
        sums.monomials += members @ self.monomials.T


def _monomials(
    augmented: Float[np.ndarray, "augmented rows"],
) -> Float[np.ndarray, "monomials rows"]:
    """z_i z_j of every row for i <= j, in the order of `_pairs`."""
    size, n_rows = augmented.shape
    products = np.empty((size * (size + 1) // 2, n_rows))
    start = 0
    for i in range(size):
        np.multiply(augmented[i:], augmented[i], out=products[start : start + size - i])
        start += size - i
    return products


class _PatternBlock:
    """Rows with equally many missing cells, those with the same ones next to each other."""

    def __init__(self, rows: Rows, index: np.ndarray):
        n_visible = rows.shape[1]
        missing = np.isnan(rows[index])
        self.index = index
        self.seen = ~missing
        self.values = np.where(missing, 0.0, rows[index])
        self.n_missing = int(missing[0].sum())
        columns = np.nonzero(missing)[1].reshape(len(index), self.n_missing)
        is_new = np.append(True, (missing[1:] != missing[:-1]).any(axis=1))
        self.starts = np.flatnonzero(is_new)
        self.pattern = np.cumsum(is_new) - 1
        # Places of the missing cells in the flat rows, and of their pairs in a flat square.
        self.cells = (n_visible * np.arange(len(index))[:, None] + columns).T
        own = columns[self.starts].T
        self.pairs = n_visible * own[:, None] + own[None, :]

    def given(self, components: Components) -> "_Completed":
        """Of a component with precision P, missing cells have the precision P_mm given the others.

        With e = x - m, and 0 where a cell is missing, they lie P_mm⁻¹ (P e)_m below their means,
        and the observed cells have the squared distance eᵀ P e - (P e)_mᵀ P_mm⁻¹ (P e)_m.
        """
        n_components, n_visible = components.means.shape
        deviations = self.values - components.means[:, None]
        deviations *= self.seen
        pulled = deviations @ components.precisions
        joint = np.einsum("krn,krn->kr", deviations, pulled)
        joint *= -0.5
        joint += components.log_scales[:, None] - 0.5 * (n_visible - self.n_missing) * LOG_2PI
        if self.n_missing == 0:
            return _Completed(self, joint, deviations, None)
        squares = components.precisions.reshape(n_components, -1)
        inverses = inverse_factors(np.take(squares, self.pairs, axis=1))
        own = inverses[..., self.pattern]
        pulled = np.take(pulled.reshape(n_components, -1), self.cells, axis=1)
        standard = np.einsum("kabr,kbr->kar", own, pulled)
        moved = np.einsum("kabr,kar->kbr", own, standard)
        deviations.reshape(n_components, -1)[:, self.cells] = -moved
        joint += 0.5 * np.einsum("kar,kar->kr", standard, standard)
        diagonals = np.diagonal(inverses, axis1=1, axis2=2)
        joint += np.log(diagonals).sum(axis=2)[:, self.pattern]
        return _Completed(self, joint, deviations, inverses)


class _Completed(NamedTuple):
    """Deviations of cells, or of their conditional means, from the means of the components."""

    block: _PatternBlock
    joint: Shares
    deviations: Float[np.ndarray, "components rows visible"]
    # Inverse Cholesky factors of the precisions of the missing cells.
    inverses: Float[np.ndarray, "components missing missing patterns"] | None

    def add_to(self, sums: Sums, members: Shares) -> None:
        weighted = self.deviations * members[:, :, None]
        first = weighted.sum(axis=1)
        sums.centered[:, 0, 0] += members.sum(axis=1)
        sums.centered[:, 0, 1:] += first
        sums.centered[:, 1:, 0] += first
        sums.centered[:, 1:, 1:] += np.swapaxes(weighted, 1, 2) @ self.deviations
        if self.inverses is not None:
            self._add_covariances(sums, members, self.inverses)

    def _add_covariances(self, sums: Sums, members: Shares, inverses: np.ndarray) -> None:
        """Add those of the missing cells given the others, which all rows of a pattern share."""
        counts = np.add.reduceat(members, self.block.starts, axis=1)[:, None]
        spread = np.empty_like(inverses)
        for j in range(inverses.shape[1]):
            column = np.einsum("kcap,kcp->kap", inverses[:, j:, : j + 1], inverses[:, j:, j])
            spread[:, : j + 1, j] = spread[:, j, : j + 1] = counts * column
        n_components, _, n_visible = self.deviations.shape
        places = self.block.pairs.ravel()
        for k in range(n_components):
            added = np.bincount(places, spread[k].ravel(), n_visible**2)
            sums.centered[k, 1:, 1:] += added.reshape(n_visible, n_visible)


def inverse_factors(
    squares: Float[np.ndarray, "components size size patterns"],
) -> Float[np.ndarray, "components size size patterns"]:
    """Inverse lower Cholesky factors, of all components and patterns at once.

    NumPy's own take several times as long for many matrices of up to some fifty columns.
    """
    size = squares.shape[1]
    factors, inverses = np.zeros_like(squares), np.zeros_like(squares)
    for j in range(size):
        known = np.einsum("kabp,kbp->kap", factors[:, j:, :j], factors[:, j, :j])
        column = squares[:, j:, j] - known
        column /= np.sqrt(column[:, :1])
        factors[:, j:, j] = column
    for i in range(size):
        scale = 1 / factors[:, i, i]
        inverses[:, i, i] = scale
        above = np.einsum("kbp,kbcp->kcp", factors[:, i, :i], inverses[:, :i, :i])
        inverses[:, i, :i] = -scale[:, None] * above
    return inverses
