"""Points in the cells of rows, drawn under a mixture of Gaussians by Gibbs sampling.

Data augmentation (Tanner and Wong 1987): the component of a row given its point, then the cells of
the row given the component, of which those that are intervals come one after the other, truncated
(Geweke 1991). A sweep costs a product with every component and has no factors per pattern of cells;
draws of different sweeps depend on each other. Independent draws are `truncated`'s.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr, ndtri_exp

from harmonium.model.mixture import Mixture
from harmonium.model.mixture_components import Components
from harmonium.model.mixture_rows import MixtureRows, normalize, pick
from harmonium.sampling.boxes import Boxes
from harmonium.sampling.patterns import DoubleMixture

# Every so many sweeps one is collapsed (Liu 1994): it sums over what open cells may be.
COLLAPSED_EVERY = 4
# Numbers in the largest stack of matrices.
_STACK = 2**21

Points = Float[np.ndarray, "rows columns"]
PerRow = Float[np.ndarray, "rows"]


def move_in_cells(
    mixture: Mixture, boxes: Boxes, points: Points, n_sweeps: int, rng: np.random.Generator
) -> Points:
    """`points` of the boxes of rows after so many sweeps, which leave the mixture in the boxes
    invariant.

    Known cells stay. What `points` has in open cells does not matter: they are drawn along with the
    component. Where no cell is an interval, one sweep makes an independent draw, and is the only
    one. By NumPy, in double precision.
    """
    components = components_of(mixture)
    is_open = np.isneginf(boxes.low) & np.isposinf(boxes.high)
    is_interval = ~is_open & (boxes.low < boxes.high)
    points = np.where(is_open, np.nan, points)
    is_moving = is_interval.any(axis=1)
    for own, n in ((~is_moving, min(n_sweeps, 1)), (is_moving, n_sweeps)):
        if own.any():
            box = Boxes(boxes.low[own], boxes.high[own])
            kinds = is_open[own], is_interval[own]
            points[own] = _swept(points[own], box, *kinds, components, n, rng)
    return points


def _swept(
    points: Points,
    boxes: Boxes,
    is_open: Bool[np.ndarray, "rows columns"],
    is_interval: Bool[np.ndarray, "rows columns"],
    components: Components,
    n_sweeps: int,
    rng: np.random.Generator,
) -> Points:
    """Points after sweeps: each draws the component, then the open cells, then the intervals.

    Collapsed sweeps draw the component without the open cells, which they then draw with it; the
    sweeps between draw it given these, for a fraction of the time.
    """
    for number in range(n_sweeps):
        observed = np.where(is_open, np.nan, points)
        seen = observed if number % COLLAPSED_EVERY == 0 else points
        chosen = _draw_components(seen, components, rng)
        points = _with_open_cells(observed, is_open, components, chosen, rng)
        _move_intervals(points, boxes, is_interval, components, chosen, rng)
    return points


def components_of(mixture: Mixture) -> Components:
    """The Gaussians by their precisions; covariances are never squared up."""
    log_weights, means, factors, _ = DoubleMixture.of(mixture)
    inverses = np.linalg.inv(factors)
    half_log_dets = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
    return Components(log_weights + half_log_dets, means, np.swapaxes(inverses, 1, 2) @ inverses)


def _draw_components(
    points: Points, components: Components, rng: np.random.Generator
) -> Int[np.ndarray, "rows"]:
    """A component of every row, given its cells that are not NaN."""
    chosen = np.empty(len(points), np.int64)
    for block in MixtureRows(points, len(components.means)).blocks:
        shares = block.given(components).joint
        normalize(shares)
        chosen[block.index] = pick(shares, 1, rng)[:, 0]
    return chosen


def _with_open_cells(
    points: Points,
    is_open: Bool[np.ndarray, "rows columns"],
    components: Components,
    chosen: Int[np.ndarray, "rows"],
    rng: np.random.Generator,
) -> Points:
    """Points with their open cells drawn given the others, under the chosen components.

    With precision P, what is open has precision P_oo, and mean m_o - P_oo⁻¹ P_ok (x_k - m_k).
    """
    points = points.copy()
    n_columns = points.shape[1]
    incomplete = np.flatnonzero(is_open.any(axis=1))
    for part in np.array_split(incomplete, -(-len(incomplete) * n_columns**2 // _STACK) or 1):
        mask, precisions = is_open[part], components.precisions[chosen[part]]
        own_means = components.means[chosen[part]]
        deviations = np.where(mask, 0.0, points[part] - own_means)
        pulled = np.where(mask, np.einsum("rij,rj->ri", precisions, deviations), 0.0)
        both = mask[:, :, None] & mask[:, None, :]
        inverses = np.linalg.inv(np.linalg.cholesky(np.where(both, precisions, np.eye(n_columns))))
        standard = rng.standard_normal(mask.shape) - np.einsum("rij,rj->ri", inverses, pulled)
        drawn = own_means + np.einsum("rji,rj->ri", inverses, standard)
        points[part] = np.where(mask, drawn, points[part])
    return points


def _move_intervals(
    points: Points,
    boxes: Boxes,
    is_interval: Bool[np.ndarray, "rows columns"],
    components: Components,
    chosen: Int[np.ndarray, "rows"],
    rng: np.random.Generator,
) -> None:
    """Draw every cell that is an interval given all others, column by column, in place."""
    deviations = points - components.means[chosen]
    for column in np.flatnonzero(is_interval.any(axis=0)):
        rows = np.flatnonzero(is_interval[:, column])
        precisions = components.precisions[chosen[rows], column]
        own_precision = precisions[:, column]
        pulled = np.einsum("rj,rj->r", precisions, deviations[rows]) / own_precision
        mean = points[rows, column] - pulled
        low, high = boxes.low[rows, column], boxes.high[rows, column]
        drawn = draw_truncated(mean, 1 / np.sqrt(own_precision), low, high, rng)
        deviations[rows, column] += drawn - points[rows, column]
        points[rows, column] = drawn


def draw_truncated(
    mean: PerRow, scale: PerRow, low: PerRow, high: PerRow, rng: np.random.Generator
) -> PerRow:
    """Draws of normals between bounds, also far out: by the inverse of the log-CDF."""
    share = rng.uniform(1e-12, 1 - 1e-12, len(mean))
    below, above = (low - mean) / scale, (high - mean) / scale
    # The log-CDF tells numbers of the lower tail apart.
    is_right = below + above > 0
    start, end = np.where(is_right, -above, below), np.where(is_right, -below, above)
    log_level = np.logaddexp(log_ndtr(start) + np.log1p(-share), log_ndtr(end) + np.log(share))
    standard = np.clip(ndtri_exp(log_level), start, end)
    return np.clip(mean + scale * np.where(is_right, -standard, standard), low, high)
