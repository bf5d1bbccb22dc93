"""Masses of rows of a fitted density, and draws of what is not known of them.

A row is a box in the coordinates u of the columns: known values, the intervals of categories,
atoms and integers, and open cells. The base is a mixture of Gaussians in u, whose mass in a box and
draws from it the sequential truncated sampler finds; the residual energy enters as a weight.
"""

from dataclasses import dataclass
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from harmonium.compiling import as_floats
from harmonium.data import Bounds, Whitening
from harmonium.inference.batches import map_rows
from harmonium.model import ConditionedModel, Harmonium, Mixture, condition, in_coordinates, tilted
from harmonium.sampling.boxes import Boxes, MassEstimate, TruncatedDraws, log_mean_exps
from harmonium.sampling.truncated import TruncatedSampler
from harmonium.typing import Batch, PerRow

# Draws from the box of a row; where their weights are worth fewer than this, it gets more draws.
N_DRAWS = 128
FEWEST_EFFECTIVE = 8.0
MORE_DRAWS = 512
# Proposals per draw that is wanted of a row given its known cells.
PROPOSALS_PER_DRAW = 8
FEWEST_PROPOSALS, MOST_PROPOSALS = 16, 4096

Points = Float[np.ndarray, "points modeled"]


@dataclass(frozen=True, eq=False)
class ConditionalDraws:
    """Draws of u for rows (rows, draws, modeled), the log-mass of each row, and the ess of its
    weights.
    """

    points: Float[np.ndarray, "rows draws modeled"]
    log_mass: Float[np.ndarray, "rows"]
    ess: Float[np.ndarray, "rows"]


@dataclass(frozen=True, eq=False)
class BoxDensity:
    """The density of a model in the coordinates u, but for log Z: base times exp(residual)."""

    model: Harmonium
    whitening: Whitening

    @cached_property
    def base(self) -> Mixture:
        """The tilted base as a mixture of u."""
        mixture = self._tilted[1]
        return mixture.mapped(self.whitening.inverse_matrix.T, self.whitening.center)

    def given(self, known: Float[np.ndarray, "modeled"]) -> ConditionedModel:
        """The model of the cells of u (modeled,) that are NaN, given the others; `log_scale` with
        it, as `log_masses` has it.
        """
        matrix = self.whitening.matrix.T
        log_scale, moved = in_coordinates(self.model, matrix, -matrix @ self.whitening.center)
        found = condition(moved, known)
        return found._replace(log_scale=found.log_scale + log_scale)

    @property
    def has_residual(self) -> bool:
        """Whether anything is left beside the base."""
        return bool(np.any(np.asarray(self.model.weights)))

    def is_closed(self, bounds: Bounds) -> Bool[np.ndarray, "rows"]:
        """Whose open cells have a closed form: rows of points otherwise, of a base alone."""
        return ~bounds.has_intervals & (not self.has_residual)

    def log_masses(self, bounds: Bounds, n_draws: int = N_DRAWS) -> Float[np.ndarray, "rows"]:
        """log ∫ exp(-F) over the boxes of rows, as a density of u in their known cells; nats.

        Exact for the base where at most one cell is an interval; otherwise a mean over `n_draws`, a
        power of two, or 512 where the weights of these are worth fewer than 8 draws.
        """
        found = self._masses(bounds, n_draws)
        log_mass = found.log_mass
        poor = np.flatnonzero(found.ess < FEWEST_EFFECTIVE)
        if len(poor):
            log_mass[poor] = self._masses(bounds.of_rows(poor), MORE_DRAWS).log_mass
        return log_mass + self.log_constant

    def draw(
        self, bounds: Bounds, n_draws: int, *, seed: int, base: Mixture | None = None
    ) -> ConditionalDraws:
        """Equally weighted draws from the boxes of rows, by importance resampling from the base.

        Draws of the base alone are exact where a row has at most one interval. Another `base`, a
        mixture of u, may take the place of the model's.
        """
        is_interval = ~(bounds.is_point | bounds.is_open)
        is_exact = not self.has_residual and is_interval.sum(axis=1).max(initial=0) <= 1
        wanted = n_draws if is_exact else min(PROPOSALS_PER_DRAW * n_draws, MOST_PROPOSALS)
        n_proposals = max(2 ** int(np.ceil(np.log2(wanted))), FEWEST_PROPOSALS)
        drawn = self.propose(bounds, n_proposals, seed=seed, base=base)
        points = drawn.resampled(n_draws, seed)
        return ConditionalDraws(points, drawn.log_mass + self.log_constant, drawn.mass.ess)

    def propose(
        self, bounds: Bounds, n_proposals: int, *, seed: int, base: Mixture | None = None
    ) -> TruncatedDraws:
        """Weighted draws of u from the boxes of rows: those of the base, weighted by the residual.

        Their number is a power of two.
        """
        drawn = TruncatedSampler(base or self.base, n_proposals, seed).draw(_boxes(bounds))
        if not self.has_residual:
            return drawn
        factor = self._log_factor(drawn.positions.reshape(-1, drawn.positions.shape[2]))
        return drawn.reweighted(factor.reshape(drawn.log_weights.shape))

    def draw_rows(self, n: int, *, seed: int) -> tuple[Points, float]:
        """Whole rows u (n, modeled): exact draws of the base, resampled by the residual energy.

        Beside them comes the effective sample size of the weights; that of exact draws is n.
        """
        rng = np.random.default_rng(seed)
        if not self.has_residual:
            return _mixture_draws(self.base, n, rng), float(n)
        proposals = _mixture_draws(self.base, PROPOSALS_PER_DRAW * n, rng)
        log_weights = self._log_factor(proposals)[None]
        drawn = TruncatedDraws(proposals[None], log_weights, log_mean_exps(log_weights))
        return drawn.resampled(n, seed)[0], float(drawn.mass.ess[0])

    def _masses(self, bounds: Bounds, n_draws: int) -> MassEstimate:
        sampler = TruncatedSampler(self.base, n_draws)
        return sampler.mass(_boxes(bounds), self._log_factor if self.has_residual else None)

    def _log_factor(self, points: Points) -> Float[np.ndarray, "points"]:
        """What the hidden units add to the base at points u, less what they add with W = 0."""

        def added(rows: np.ndarray) -> np.ndarray:
            return np.asarray(_hidden_log_sums(self.model, as_floats(rows)))

        return map_rows(added, np.asarray(points), self.whitening.forward) - self.log_sum_at_rest

    @cached_property
    def _tilted(self) -> tuple[float, Mixture]:
        log_partition, mixture = tilted(self.model.base, self.model.visible_bias)
        return float(log_partition), mixture

    @cached_property
    def log_sum_at_rest(self) -> float:
        """What the hidden units add to -F with W = 0, in nats."""
        units = self.model.hidden_units
        return float(np.sum(np.asarray(units.log_normalizer(self.model.hidden_bias), np.float64)))

    @property
    def log_constant(self) -> float:
        """log ∫ exp(-F) of the model with W = 0: what the normalized base is multiplied by."""
        return self._tilted[0] + self.log_sum_at_rest


@eqx.filter_jit
def _hidden_log_sums(model: Harmonium, rows: Batch) -> PerRow:
    def log_sum(x: Array) -> Array:
        return jnp.sum(model.hidden_units.log_normalizer(model.hidden_logits(x)))

    return jax.vmap(log_sum)(rows)


def _mixture_draws(mixture: Mixture, n: int, rng: np.random.Generator) -> Points:
    """Independent draws (n, modeled), by NumPy: nothing is compiled for them."""
    log_weights, means, factors = (
        np.asarray(part, np.float64)
        for part in (mixture.log_weights, mixture.means, mixture.factors)
    )
    weights = np.exp(log_weights - np.logaddexp.reduce(log_weights))
    counts = rng.multinomial(n, weights)
    parts = [
        means[k] + rng.standard_normal((counts[k], len(means[k]))) @ factors[k].T
        for k in np.flatnonzero(counts)
    ]
    return rng.permutation(np.concatenate(parts))


def _boxes(bounds: Bounds) -> Boxes:
    return Boxes(bounds.low, bounds.high)
