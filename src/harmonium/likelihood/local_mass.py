"""The mass near the lowest places that were met: a bound on log Z that needs no path."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from harmonium.likelihood.annealed import summarize
from harmonium.model.mixture_fit import MixtureFit
from harmonium.typing import Rows

N_PLACES = 3
# Rows around a place that a Gaussian is fitted to: so many at least, or per column, and multiples.
FEWEST_AROUND, AROUND_PER_COLUMN = 24, 2
MULTIPLES = (1, 4, 16)
# Of the covariance there: the rows of a neighborhood end where the mode goes on.
WIDENING = 1.5
# Added to variances: neighbors may lie on a line.
RIDGE = 1e-12
SIGMAS = 5.0

PerRow = Float[np.ndarray, "rows"]


def local_bound(
    free_energies: Callable[[Rows], PerRow], rows: Rows, rng: np.random.Generator
) -> float:
    """A bound on log Z, nats, from what lies near those rows (rows, visible) of which F is lowest.

    The mean of exp(-F)/q over draws of a density q is an unbiased estimate of no more than Z, and q
    need not reach all modes: it is made of Gaussians around the lowest rows. That the mean exceeds
    Z by a factor a has a probability of at most 1/a (Markov's inequality); five standard errors are
    taken off besides. -inf where no draw has a finite F.
    """
    # Resampling repeats rows.
    energies, first = free_energies(rows), np.unique(rows, axis=0, return_index=True)[1]
    around = _around_the_lowest(rows[first], energies[first])
    draws = _draw(around, len(rows), rng)
    log_weights = -free_energies(draws) - around.log_density(draws)
    log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    if not np.any(np.isfinite(log_weights)):
        return -np.inf
    found = summarize(log_weights, 0.0, np.arange(len(rows)))
    return found.value - SIGMAS * found.standard_error


def _around_the_lowest(rows: Rows, energies: PerRow) -> MixtureFit:
    """Gaussians at the lowest rows: some for neighborhoods of each, which the next must not be in.

    How far a mode reaches is not known: its rows may be few, or nearly all.
    """
    least = max(FEWEST_AROUND, AROUND_PER_COLUMN * rows.shape[1])
    left = np.where(np.isfinite(energies), energies, np.inf)
    fitted = []
    for _ in range(N_PLACES):
        place = int(np.argmin(left))
        order = np.argsort(np.sum((rows - rows[place]) ** 2, axis=1))
        fitted += [_gaussian(rows[order[: least * multiple]]) for multiple in MULTIPLES]
        left[order[:least]] = np.inf
        if not np.any(np.isfinite(left)):
            break
    means, covariances = zip(*fitted, strict=True)
    weights = np.full(len(fitted), 1 / len(fitted))
    return MixtureFit(weights, np.stack(means), np.stack(covariances))


def _gaussian(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of rows; few say little about correlations."""
    n_rows, n_visible = rows.shape
    covariance = np.cov(rows.T, bias=True).reshape(n_visible, n_visible)
    share = n_visible / (n_visible + n_rows)
    variances = np.diag(np.diag(covariance) + RIDGE)
    return rows.mean(axis=0), WIDENING * ((1 - share) * covariance + share * variances)


def _draw(mixture: MixtureFit, n: int, rng: np.random.Generator) -> Rows:
    """Draws (n, visible)."""
    members = rng.choice(len(mixture.weights), n, p=mixture.weights)
    noise = rng.normal(size=(n, mixture.means.shape[1]))
    factors = np.linalg.cholesky(mixture.covariances)
    return mixture.means[members] + np.einsum("rij,rj->ri", factors[members], noise)
