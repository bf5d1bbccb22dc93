"""Rows as a Gaussian mixture sees them: log-densities, and the moments that components take.

Both steps of expectation-maximization are sums over blocks of rows, of which there are two kinds.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from harmonium.model.mixture_blocks import CompleteBlock, Completed, PatternBlock, Shares
from harmonium.model.mixture_components import Components, Moments, Sums
from harmonium.parallel import side_by_side
from harmonium.typing import Rows

# Numbers of the largest array of a block: of monomials, and of the smaller arrays by pattern.
MONOMIALS, BY_PATTERN = 500_000, 250_000
# Up to so many, monomials are made once: a pass then takes half the time. More of them are read
# from memory no faster than they are made.
MOST_KEPT = 8_000_000
# With more columns per component than this, products per component take less time than monomials.
COLUMNS_PER_COMPONENT = 8
# Parts of the blocks that are summed side by side.
N_LANES = 4

Block = CompleteBlock | PatternBlock


class MixtureRows:
    """Rows, NaN where a cell is missing, cut into blocks that suit so many components."""

    def __init__(self, rows: Rows, n_components: int):
        missing = np.isnan(rows)
        n_missing = missing.sum(axis=1)
        n_visible = rows.shape[1]
        self.shape = rows.shape
        self.blocks: list[Block] = []
        complete = np.flatnonzero(n_missing == 0)
        if n_visible <= COLUMNS_PER_COMPONENT * n_components:
            n_monomials = (n_visible + 1) * (n_visible + 2) // 2
            cuts = _cut(complete, MONOMIALS // n_monomials)
            keeps = n_monomials * len(complete) <= MOST_KEPT
            self.blocks += [CompleteBlock(rows, index, keeps=keeps) for index in cuts]
        else:
            cuts = _cut(complete, BY_PATTERN // (n_components * n_visible))
            self.blocks += [PatternBlock(rows, index) for index in cuts]
        # Rows with the same pattern come one after the other.
        order = np.lexsort((*missing.T, n_missing))
        for count in np.unique(n_missing[n_missing > 0]):
            own = order[n_missing[order] == count]
            cuts = _cut(own, BY_PATTERN // (n_components * int(n_visible + count**2)))
            self.blocks += [PatternBlock(rows, index) for index in cuts]

    def log_density(self, components: Components) -> Float[np.ndarray, "rows"]:
        """The log-density of the observed cells of every row, nats."""
        found = np.zeros(self.shape[0])

        def score(block: Block) -> None:
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

        def expect(lane: list[Block]) -> tuple[Sums, Float[np.ndarray, "mixtures"]]:
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
        if isinstance(given, Completed):
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


def pick(
    shares: Float[np.ndarray, "components rows"], n: int, rng: np.random.Generator
) -> Int[np.ndarray, "rows n"]:
    """`n` components of every row, each with the probability of its share."""
    passed = np.cumsum(shares, axis=0)[..., None]
    marks = rng.random((passed.shape[1], n)) * passed[-1]
    return np.sum(passed[:-1] <= marks, axis=0)


def _cut(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    size = max(1, size)
    for start in range(0, len(index), size):
        yield index[start : start + size]
