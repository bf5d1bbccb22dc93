"""Points in cells by Gibbs sampling. Kind of truth: rejection sampling from exact conditionals, and
closed forms, within 5 standard errors. Seeds: 31 and the numbers after it.
"""

import numpy as np
import pytest
from scipy import stats

from harmonium.model import Mixture
from harmonium.sampling.boxes import Boxes
from harmonium.sampling.cells import COLLAPSED_EVERY, draw_truncated, move_in_cells

SEED = 31
N_ROWS = 4000
SIGMAS = 5.0
# The second cell is open, the third known; the others are intervals, one of them a half-line.
LOW = np.array([0.0, -np.inf, 0.4, -0.6])
HIGH = np.array([np.inf, np.inf, 0.4, 0.5])


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    rng = np.random.default_rng(SEED)
    roots = rng.normal(size=(3, 4, 4))
    covariances = 0.3 * roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(4)
    return Mixture.from_moments(np.array([0.5, 0.3, 0.2]), rng.normal(size=(3, 4)), covariances)


@pytest.fixture(scope="module")
def truth(mixture) -> np.ndarray:
    """Independent draws of the open columns and intervals given the known cell."""
    known = np.where(LOW == HIGH, LOW, np.nan)
    _, given = mixture.conditional(known)
    rng = np.random.default_rng(SEED + 1)
    weights = np.exp(np.asarray(given.log_weights, np.float64))
    n = 200_000
    chosen = rng.choice(len(weights), size=n, p=weights / weights.sum())
    noise = rng.standard_normal((n, 3))
    factors = np.asarray(given.factors, np.float64)
    free = np.asarray(given.means)[chosen] + np.einsum("rij,rj->ri", factors[chosen], noise)
    rows = np.insert(free, 2, LOW[2], axis=1)
    return rows[np.all((rows >= LOW) & (rows <= HIGH), axis=1)]


def _boxes(n: int) -> Boxes:
    return Boxes(np.tile(LOW, (n, 1)), np.tile(HIGH, (n, 1)))


def _assert_alike(found: np.ndarray, truth: np.ndarray, columns=(0, 1, 3)) -> None:
    for j in columns:
        for power in (1, 2):
            a, b = found[:, j] ** power, truth[:, j] ** power
            error = np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5)
            assert abs(a.mean() - b.mean()) < SIGMAS * error
    a, b = found[:, 0] * found[:, 1], truth[:, 0] * truth[:, 1]
    error = np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5)
    assert abs(a.mean() - b.mean()) < SIGMAS * error


@pytest.mark.parametrize("n_sweeps", [1, COLLAPSED_EVERY])
def test_sweeps_leave_the_mixture_in_the_boxes_invariant(n_sweeps, mixture, truth):
    start = truth[:N_ROWS]
    rng = np.random.default_rng(SEED + 2)
    moved = move_in_cells(mixture, _boxes(len(start)), start, n_sweeps, rng)
    assert np.all(np.any(moved != start, axis=1))
    _assert_alike(moved, truth)


def test_sweeps_reach_the_mixture_from_one_corner(mixture, truth):
    start = np.tile([3.0, np.nan, 0.4, 0.5], (N_ROWS, 1))
    moved = move_in_cells(mixture, _boxes(N_ROWS), start, 16, np.random.default_rng(SEED + 3))
    _assert_alike(moved, truth)


def test_points_stay_in_their_cells_and_known_cells_as_they_are(mixture):
    rng = np.random.default_rng(SEED + 4)
    low = rng.normal(scale=30, size=(300, 4))
    high = low + rng.choice([0.0, 1e-9, 1.0, np.inf], size=low.shape)
    start = np.where(np.isinf(high), low + 1, (low + high) / 2)
    moved = move_in_cells(mixture, Boxes(low, high), start, 3, rng)
    assert np.all((low <= moved) & (moved <= high))
    np.testing.assert_array_equal(moved[low == high], low[low == high])


def test_without_sweeps_open_cells_are_nan_and_the_rest_stays(mixture):
    start = np.array([[1.0, 2.0, 0.4, 0.1]])
    moved = move_in_cells(mixture, _boxes(1), start, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(moved, [[1.0, np.nan, 0.4, 0.1]])


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 2.0), (4.0, np.inf), (-np.inf, -9.0), (30.0, 31.0), (50.0, 50.001)]
)
def test_truncated_normals_follow_their_distribution(low, high):
    n = 20_000
    rng = np.random.default_rng(SEED + 5)
    mean, scale = np.full(n, 1.5), np.full(n, 2.0)
    ends = (np.full(n, 1.5 + 2 * low), np.full(n, 1.5 + 2 * high))
    standard = (draw_truncated(mean, scale, *ends, rng) - 1.5) / 2
    assert np.all((standard >= low - 1e-9) & (standard <= high + 1e-9))
    # Survival functions keep the upper tail apart, log-differences the narrow cells.
    shares = _share_below(standard, low, high)
    assert stats.kstest(shares, "uniform").pvalue > 1e-6


def _share_below(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """(CDF(x) - CDF(low)) / (CDF(high) - CDF(low)) of the standard normal, in its lower tail."""
    if low + high > 0:
        return 1 - _share_below(-x, -high, -low)
    start, end, at = (stats.norm.logcdf(value) for value in (low, high, x))
    return np.expm1(at - start) / np.expm1(end - start) if np.isfinite(start) else np.exp(at - end)
