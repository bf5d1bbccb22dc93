"""Boosted trees that tell rows from draws: how much likelier a point is among the rows.

Trees of one depth, with cuts between few bins, climb the logistic likelihood (Friedman 2001; bins
as in Ke et al. 2017). All have the same shape, so that an ensemble is three arrays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import expit

DEPTH = 6
N_BINS = 127
RATE = 0.1
# Trees of a fold at most, and after how many without a gain on the part held out it ends.
MOST_TREES, PATIENCE = 300, 15
N_FOLDS = 5
# Of the points, for each tree.
SHARE = 0.7
# Added to the second derivatives of a leaf, and the least that both sides of a cut must have.
DAMPING, LEAST = 2.0, 2.0
# No point is above it.
UNREACHED = 1e300
# Passes over the columns that put their marginals right, and points added to each of their bins.
N_PASSES, PRIOR = 2, 10.0
# Of the cuts of a column that such a tree halves it by.
LEVELS = 4

Points = Float[np.ndarray, "points columns"]
Codes = Int[np.ndarray, "columns points"]
PerPoint = Float[np.ndarray, "points"]
Nodes = Int[np.ndarray, "nodes"]
Leaves = Float[np.ndarray, "leaves"]
# Cuts, or their numbers.
Tree = tuple[Nodes, Shaped[np.ndarray, "nodes"], Leaves]
Rows = Float[np.ndarray, "rows columns"]
Draws = Float[np.ndarray, "draws columns"]


@dataclass(frozen=True, eq=False)
class Trees:
    """The sum of trees of one depth D, a function of points.

    At node i of a tree a point goes on to node 2i + 1, or to 2i + 2 where its column `columns`[i]
    is above `cuts`[i]; both (trees, 2^D - 1). `values` (trees, 2^D) are those of the leaves.
    """

    columns: Int[np.ndarray, "trees nodes"]
    cuts: Float[np.ndarray, "trees nodes"]
    values: Float[np.ndarray, "trees leaves"]

    def __call__(self, points: Points) -> PerPoint:
        """The sum over trees at points (points, columns), shape (points,)."""
        total = np.zeros(len(points))
        for tree in zip(self.columns, self.cuts, self.values, strict=True):
            total += _at(points.T, tree)
        return total


def fit_trees(rows: Rows, draws: Draws, rng: np.random.Generator) -> Trees:
    """log p(rows)/p(draws) as a function of points (points, columns) of both.

    The mean of the trees of `N_FOLDS` folds, each ended where the points that it left out are told
    apart best. Trees of a single column follow, which put the marginals right: what is rare among
    the draws is weighed down sooner than what they lack is weighed up.
    """
    points, is_row = np.concatenate([rows, draws]), np.arange(len(rows) + len(draws)) < len(rows)
    bins = _Bins.of(points)
    codes = bins.codes(points)
    weights = np.where(is_row, 1.0, len(rows) / len(draws))
    folds = np.empty(len(points), np.int64)
    for own in (is_row, ~is_row):
        folds[own] = rng.permutation(own.sum()) % N_FOLDS
    found: list[Tree] = []
    for fold in range(N_FOLDS):
        for columns, places, values in _boost(codes, is_row, weights, folds == fold, rng):
            found.append((columns, bins.cuts[columns, places], values / N_FOLDS))
    log_ratio = _sum_of(found, draws)
    for _ in range(N_PASSES):
        for column in range(rows.shape[1]):
            tree = _column_tree(rows, draws, log_ratio, column)
            log_ratio += _at(draws.T, tree)
            found.append(tree)
    return Trees(*(np.stack(part) for part in zip(*found, strict=True)))


@dataclass(frozen=True, eq=False)
class _Bins:
    """Cuts (columns, `N_BINS`) of every column, increasing; those that are too many are never reached."""

    cuts: Float[np.ndarray, "columns cuts"]

    @staticmethod
    def of(points: Points) -> "_Bins":
        cuts = np.full((points.shape[1], N_BINS), UNREACHED)
        shares = np.linspace(0, 1, N_BINS + 1)[1:-1]
        for own, column in zip(cuts, points.T, strict=True):
            # Values themselves, not places between, so that cuts fall beside them exactly.
            distinct = np.unique(np.quantile(column, shares, method="lower"))
            own[: len(distinct)] = distinct
        return _Bins(cuts)

    def codes(self, points: Points) -> Codes:
        """How many cuts lie below each cell."""
        return np.stack(
            [np.searchsorted(own, column) for own, column in zip(self.cuts, points.T, strict=True)]
        )


def _boost(
    codes: Codes,
    is_row: Bool[np.ndarray, "points"],
    weights: PerPoint,
    left_out: Bool[np.ndarray, "points"],
    rng: np.random.Generator,
) -> list[Tree]:
    """Trees on the points that are not left out, with the numbers of cuts in place of cuts."""
    kept = ~left_out
    inside, outside = np.ascontiguousarray(codes[:, kept]), codes[:, left_out]
    target, weight = is_row[kept], weights[kept]
    sign, others = np.where(is_row[left_out], -1.0, 1.0), weights[left_out]
    found: list[Tree] = []
    score, unseen = np.zeros(kept.sum()), np.zeros(left_out.sum())
    best, n_best = others @ np.logaddexp(0, sign * unseen), 0
    while len(found) < min(MOST_TREES, n_best + PATIENCE):
        some = rng.permutation(len(score))[: int(SHARE * len(score))]
        chance, own = expit(score[some]), weight[some]
        tree = _grow(inside[:, some], own * (target[some] - chance), own * chance * (1 - chance))
        found.append(tree)
        score += _at(inside, tree)
        unseen += _at(outside, tree)
        loss = others @ np.logaddexp(0, sign * unseen)
        if loss < best:
            best, n_best = loss, len(found)
    return found[:n_best]


def _grow(codes: Codes, slope: PerPoint, curvature: PerPoint) -> Tree:
    """A tree by Newton steps, of which every level takes the best cut of each of its nodes."""
    node = np.zeros(codes.shape[1], np.int64)
    every = np.arange(codes.shape[1])
    columns, places = [], []
    for level in range(DEPTH):
        column, place = _best_cuts(codes, node, 2**level, slope, curvature)
        node = 2 * node + (codes[column[node], every] > place[node])
        columns.append(column)
        places.append(place)
    n_leaves = 2**DEPTH
    steps = np.bincount(node, slope, n_leaves) / (np.bincount(node, curvature, n_leaves) + DAMPING)
    return np.concatenate(columns), np.concatenate(places), RATE * steps


def _best_cuts(
    codes: Codes,
    node: Int[np.ndarray, "points"],
    n_nodes: int,
    slope: PerPoint,
    curvature: PerPoint,
) -> tuple[Nodes, Nodes]:
    """Column and cut of every node; the last cut, which sends all points left, where none gains."""
    width = N_BINS + 1
    gains = np.zeros((len(codes), n_nodes, width))
    for gain, column in zip(gains, codes, strict=True):
        own = node * width + column
        sums = [
            np.bincount(own, part, n_nodes * width).reshape(n_nodes, width).cumsum(axis=1)
            for part in (slope, curvature)
        ]
        (low, low_curve), (whole, whole_curve) = sums, (part[:, -1:] for part in sums)
        high, high_curve = whole - low, whole_curve - low_curve
        both = low**2 / (low_curve + DAMPING) + high**2 / (high_curve + DAMPING)
        enough = (low_curve >= LEAST) & (high_curve >= LEAST)
        gain[:] = np.where(enough, both - whole**2 / (whole_curve + DAMPING), 0.0)
    gains = np.moveaxis(gains, 1, 0).reshape(n_nodes, -1)
    best = gains.argmax(axis=1)
    has_gain = gains[np.arange(n_nodes), best] > 0
    return np.where(has_gain, best // width, 0), np.where(has_gain, best % width, N_BINS - 1)


def _column_tree(
    rows: Rows, draws: Draws, log_ratio: Float[np.ndarray, "draws"], column: int
) -> Tree:
    """The tree of one column by which weighted draws have the rows' shares of its bins."""
    n_bins = 2**LEVELS
    cuts = np.quantile(rows[:, column], np.arange(1, n_bins) / n_bins, method="lower")
    # In a tree that halves, node p of a level splits at the middle of its part of the cuts.
    order = [(2 * np.arange(2**k) + 1) * 2 ** (LEVELS - 1 - k) - 1 for k in range(LEVELS)]
    nodes = np.full(2**DEPTH - 1, UNREACHED)
    nodes[: n_bins - 1] = cuts[np.concatenate(order)]
    weights = np.exp(log_ratio - log_ratio.max())
    shares = [
        np.bincount(np.searchsorted(cuts, points[:, column]), own, n_bins)
        for points, own in ((rows, None), (draws, len(rows) * weights / weights.sum()))
    ]
    values = np.log((shares[0] + PRIOR) / (shares[1] + PRIOR))
    return np.full(len(nodes), column), nodes, np.repeat(values, 2 ** (DEPTH - LEVELS))


def _at(columns: np.ndarray, tree: Tree) -> PerPoint:
    """A tree at the columns of points, cells or codes."""
    own, cuts, values = tree
    node, every = np.zeros(columns.shape[1], np.int64), np.arange(columns.shape[1])
    for _ in range(DEPTH):
        node = 2 * node + 1 + (columns[own[node], every] > cuts[node])
    return values[node - len(own)]


def _sum_of(trees: list[Tree], points: Points) -> PerPoint:
    return sum((_at(points.T, tree) for tree in trees), np.zeros(len(points)))
