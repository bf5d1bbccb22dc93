"""Exact expectations and exact draws of models with two visible units, for tests of what moves
chains."""

from functools import cached_property

import numpy as np
from exact import brute
from scipy.special import logsumexp


class Truth:
    """Exact expectations on a grid, and exact draws: of the mixture if affine, by rejection
    otherwise.

    E[h|x] is that of `observer`, the model itself unless given (where W = 0 it would not depend on
    x).
    """

    def __init__(self, model, observer=None):
        self.model = model
        self.observer = model if observer is None else observer
        self.nodes, _ = brute.grid(2, half_width=7.0, n_points=281)
        self.free_energies = brute.free_energies(model, self.nodes)
        log_density = -self.free_energies
        self.weights = np.exp(log_density - logsumexp(log_density))

    def statistics(self, rows, free_energies):
        """x, x xᵀ, F, F² and E[h|x] of every row."""
        products = np.stack([rows[:, 0] ** 2, rows[:, 0] * rows[:, 1], rows[:, 1] ** 2], axis=1)
        energies = np.stack([free_energies, free_energies**2], axis=1)
        return np.hstack([rows, products, energies, brute.hidden_means(self.observer, rows)])

    @cached_property
    def expected(self):
        """The exact mean of each statistic."""
        return self.weights @ self.statistics(self.nodes, self.free_energies)

    def sample(self, rng, n):
        """Exact draws: of the mixture if affine, by rejection from a Gaussian bound otherwise."""
        if self.model.is_affine:
            return brute.Mixture(self.model).sample(rng, n)
        # Log-density on the grid bounded by a wide Gaussian's: candidates accepted exactly.
        center = self.weights @ self.nodes
        log_ratio = -self.free_energies + np.sum((self.nodes - center) ** 2, axis=1) / 4
        bound = log_ratio.max() + 0.05
        kept = np.empty((0, 2))
        while len(kept) < n:
            proposed = center + np.sqrt(2.0) * rng.normal(size=(4 * n, 2))
            log_accept = -brute.free_energies(self.model, proposed) - bound
            log_accept += np.sum((proposed - center) ** 2, axis=1) / 4
            assert log_accept.max() <= 0
            kept = np.vstack([kept, proposed[np.log(rng.uniform(size=4 * n)) < log_accept]])
        return kept[:n]

    def worst_score(self, rows):
        """The largest |z| over all statistics."""
        rows = np.asarray(rows)
        statistics = self.statistics(rows, brute.free_energies(self.model, rows))
        return np.abs(brute.z_scores(statistics, self.expected)).max()
