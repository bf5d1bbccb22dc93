"""Blocks of rows, complete ones and ones that miss cells, under many Gaussians at once.

A block has the numbers of its rows, `index`, and `given(components)`: log w_k N(x; m_k, S_k) of the
observed cells, `joint`, and `add_to(sums, members)`, which adds the moments of its rows.

Complete rows go through matrix products with their monomials of degree two, in which log N(x; m, S)
is linear (Dempster, Laird and Rubin 1977, section 4.3). Rows with missing cells go through the
conditional moments of these cells given the others, by pattern of missing cells (Ghahramani and
Jordan, "Supervised learning from incomplete data via an EM approach", NIPS 6, 1994).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from harmonium.model.abstract_mixture import LOG_2PI
from harmonium.model.mixture_components import Components, Sums
from harmonium.typing import Rows

# Joint log-densities, which become responsibilities.
Shares = Float[np.ndarray, "components rows"]


class CompleteBlock:
    """Rows without missing cells, for many components; it may keep their monomials."""

    def __init__(self, rows: Rows, index: np.ndarray, *, keeps: bool):
        self.index = index
        self.augmented = np.ones((rows.shape[1] + 1, len(index)))
        self.augmented[1:] = rows[index].T
        self.kept = _monomials(self.augmented) if keeps else None

    def given(self, components: Components) -> "_Monomials":
        """The rows under every component: one product with their monomials."""
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
    """z_i z_j of every row for i <= j, in the order of `np.triu_indices`."""
    size, n_rows = augmented.shape
    products = np.empty((size * (size + 1) // 2, n_rows))
    start = 0
    for i in range(size):
        np.multiply(augmented[i:], augmented[i], out=products[start : start + size - i])
        start += size - i
    return products


class PatternBlock:
    """Rows with equally many missing cells, those with the same ones next to each other."""

    def __init__(self, rows: Rows, index: np.ndarray):
        n_visible = rows.shape[1]
        missing = np.isnan(rows[index])
        self.index = index
        self.seen = ~missing
        self.values = np.where(missing, 0.0, rows[index])
        self.n_missing = int(missing[0].sum())
        columns = np.nonzero(missing)[1].reshape(len(index), self.n_missing)
        self.columns = columns.T
        is_new = np.append(True, (missing[1:] != missing[:-1]).any(axis=1))
        self.starts = np.flatnonzero(is_new)
        self.pattern = np.cumsum(is_new) - 1
        # Places of the missing cells in the flat rows, and of their pairs in a flat square.
        self.cells = (n_visible * np.arange(len(index))[:, None] + columns).T
        own = columns[self.starts].T
        self.pairs = n_visible * own[:, None] + own[None, :]

    def given(self, components: Components) -> "Completed":
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
            return Completed(self, joint, deviations, None)
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
        return Completed(self, joint, deviations, inverses)


class Completed(NamedTuple):
    """Deviations of cells, or of their conditional means, from the means of the components."""

    block: PatternBlock
    joint: Shares
    deviations: Float[np.ndarray, "components rows visible"]
    # Inverse Cholesky factors of the precisions of the missing cells.
    inverses: Float[np.ndarray, "components missing missing patterns"] | None

    @property
    def of_missing(self) -> Float[np.ndarray, "components missing rows"]:
        """The deviations of the missing cells."""
        return self.deviations.reshape(len(self.deviations), -1)[:, self.block.cells]

    @property
    def scales(self) -> Float[np.ndarray, "components missing rows"]:
        """The conditional standard deviations of the missing cells."""
        assert self.inverses is not None
        scales = np.sqrt(np.einsum("kcap,kcap->kap", self.inverses, self.inverses))
        return scales[..., self.block.pattern]

    def add_to(self, sums: Sums, members: Shares) -> None:
        """Add the moments of the rows, which belong to the components by these shares."""
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
