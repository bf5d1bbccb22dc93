"""Draws of the parameters of a base, for completed tables that differ in these, too.

Multiple imputation is proper where every completed table has parameters of its own, drawn from what
the rows leave open (Rubin 1987, section 4.2): of few rows, intervals would be too narrow otherwise.
"""

import numpy as np
from jaxtyping import Float

from harmonium.inference.density import Density
from harmonium.learning.base_choice import N_BAGGED
from harmonium.model import MixtureBase
from harmonium.model.mixture import Mixture

# Different parameters, at most; further tables have those of the first ones again.
MOST_DRAWS = 12
# Logarithms of weights stay finite.
LEAST_WEIGHT = 1e-12

Shares = Float[np.ndarray, "modeled"]


def draw_parameters(
    density: Density, shares: Shares, n: int, rng: np.random.Generator
) -> tuple[Mixture, ...]:
    """At most `n` mixtures of the coordinates u that the training rows might as well have given.

    `shares` (modeled,) are the shares of observed cells in the training rows. Every draw is that of
    one fit of the bag that the base is the mean of.
    """
    members = _members(density)
    n_rows = density.columns.n_rows
    chosen = (members[i % len(members)] for i in range(min(n, MOST_DRAWS)))
    return tuple(drawn_parameters(member, n_rows, shares, rng) for member in chosen)


def drawn_parameters(
    mixture: Mixture, n_rows: int, shares: Shares, rng: np.random.Generator
) -> Mixture:
    """A mixture from the posterior around one that was fitted to `n_rows` rows.

    Components count as many rows as their weights say: weights are from a Dirichlet distribution,
    covariances from inverse Wishart distributions with the fit as their mean, means from normal
    ones (Gelman et al., Bayesian Data Analysis, section 3.6). Every component counts as many rows
    more as there are columns, because covariances are tied. A column with holes is known as well as
    its observed cells say.
    """
    weights = np.exp(np.asarray(mixture.log_weights, np.float64))
    means, factors = (np.asarray(part, np.float64) for part in (mixture.means, mixture.factors))
    shares = np.maximum(shares, 1 / n_rows)
    counts = n_rows * shares.mean() * weights / weights.sum()
    rows = counts + means.shape[1]
    roots = np.sqrt(rows)[:, None, None] * (factors @ _inverse_wishart_roots(rows, rng, means))
    noise = np.einsum("kij,kj->ki", roots, rng.standard_normal(means.shape))
    means = means + noise / np.sqrt(rows)[:, None] * np.sqrt(shares.mean() / shares)
    weights = np.maximum(rng.dirichlet(counts + 0.5), LEAST_WEIGHT)
    return Mixture.from_roots(np.log(weights / weights.sum()), means, roots)


def _inverse_wishart_roots(
    rows: Float[np.ndarray, "components"],
    rng: np.random.Generator,
    like: Float[np.ndarray, "components modeled"],
) -> Float[np.ndarray, "components modeled modeled"]:
    """Roots R of draws R Rᵀ with mean I / rows; by Bartlett's decomposition of their inverses."""
    n_components, n_columns = like.shape
    lower = np.tril(rng.standard_normal((n_components, n_columns, n_columns)), -1)
    freedom = rows[:, None] + n_columns + 1 - np.arange(n_columns)
    at = np.arange(n_columns)
    lower[:, at, at] = np.sqrt(rng.chisquare(freedom))
    return np.swapaxes(np.linalg.inv(lower), 1, 2)


def _members(density: Density) -> tuple[Mixture, ...]:
    """The fits whose mean is the base, in u: those of a bag have components, and weight, alike."""
    base, mixture = density.model.base, density.boxes.base
    n_components = mixture.n_components
    if not isinstance(base, MixtureBase) or n_components % N_BAGGED:
        return (mixture,)
    weights = np.exp(np.asarray(base.mixture.log_weights, np.float64)).reshape(N_BAGGED, -1)
    if not np.allclose(weights.sum(axis=1), 1 / N_BAGGED, rtol=1e-3):
        return (mixture,)
    size = n_components // N_BAGGED
    return tuple(_part(mixture, slice(i, i + size)) for i in range(0, n_components, size))


def _part(mixture: Mixture, own: slice) -> Mixture:
    """Some components of a mixture."""
    parts = mixture.log_weights, mixture.means, mixture.factors, mixture.inverses
    return Mixture(*(part[own] for part in parts))
