"""Some coordinates of x given the others, in closed form: affine feature maps with few hidden units.

Given h, x is the base tilted by a vector; p(x) is a sum over 2^k states of tilted mixtures, and so is p(open | known). The
coordinates may be those of y with x = M y.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from harmonium.errors import InfeasibleError
from harmonium.model.harmonium import Harmonium
from harmonium.model.mixture import Mixture
from harmonium.model.oracles import MAX_SAMPLED_HIDDEN, hidden_states, in_double


class ConditionalMixture(NamedTuple):
    """p(open | known) as a mixture of Gaussians, one part for every state of h and component of the base.

    `log_mass` = log ∫ exp(-F) over the open coordinates. `weights` (parts,) add up to 1, and `means` (parts, visible)
    are at the known value in a known coordinate. Covariances are those of the components, which come in turn: part i has the
    covariance R Rᵀ with R the (i modulo components) of `roots` (components, visible, visible), 0 in rows of known coordinates.
    """

    log_mass: float
    weights: Float[np.ndarray, "parts"]
    means: Float[np.ndarray, "parts visible"]
    roots: Float[np.ndarray, "components visible visible"]

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n visible"]:
        """Independent draws."""
        parts = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        rows = self.means[parts]
        for component, root in enumerate(self.roots):
            own = parts % len(self.roots) == component
            rows[own] += noise[own] @ root.T
        return rows


def exact_conditional(
    model: Harmonium,
    known: Float[np.ndarray, "visible"],
    matrix: Float[np.ndarray, "visible visible"] | None = None,
) -> ConditionalMixture:
    """The open coordinates (NaN in `known`) of y given the known ones, where x = `matrix` y (the identity).

    Raises `InfeasibleError` for other than affine feature maps, and beyond 16 hidden units.
    """
    if not model.is_affine or model.n_hidden > MAX_SAMPLED_HIDDEN:
        raise InfeasibleError(
            f"exact_conditional(model, known): expected an affine feature map with at most {MAX_SAMPLED_HIDDEN} "
            f"hidden units; got {type(model.feature_map).__name__} with n_hidden={model.n_hidden}. Try: "
            "draw_conditional."
        )
    known = np.asarray(known, np.float64)
    matrix = np.eye(len(known)) if matrix is None else np.asarray(matrix, np.float64)
    is_open = np.isnan(known)
    fixed = np.where(is_open, 0.0, known)
    with jax.enable_x64(True):
        model = in_double(model)
        log_base, mixture = model.base.tilted(jnp.zeros_like(model.visible_bias))
        log_known, opened = mixture.mapped(np.linalg.inv(matrix)).conditional(known)
        arrays = (jnp.asarray(part) for part in (matrix, fixed, np.flatnonzero(is_open)))
        log_weights, open_means = map(np.asarray, _tilted_by_states(model, opened, *arrays))
    # The density of y is that of x times |det M|.
    constant = float(log_base) + log_known - np.linalg.slogdet(matrix)[1]
    log_mass = float(np.logaddexp.reduce(log_weights))
    means = np.tile(fixed, (len(log_weights), 1))
    means[:, is_open] = open_means
    roots = np.zeros((opened.n_components, *matrix.shape))
    roots[np.ix_(np.arange(len(roots)), is_open, is_open)] = opened.factors
    return ConditionalMixture(
        float(constant + log_mass), np.exp(log_weights - log_mass), means, roots
    )


@eqx.filter_jit
def _tilted_by_states(
    model: Harmonium,
    opened: Mixture,
    matrix: Float[Array, "visible visible"],
    fixed: Float[Array, "visible"],
    places: Int[Array, "open"],
) -> tuple[Float[Array, "parts"], Float[Array, "parts open"]]:
    """Log-weights and means of the mixture of the coordinates at these places, tilted by every state of h."""
    states = jnp.asarray(hidden_states(model))
    feature_matrix, offset = model.affine_form()
    tilts = (model.visible_bias[None, :] - states @ model.weights @ feature_matrix) @ matrix
    # In known coordinates a tilt is a number.
    constants = states @ (model.hidden_bias - model.weights @ offset) + tilts @ fixed
    masses, tilted = jax.vmap(opened.tilted)(tilts[:, places])
    log_weights = (constants + masses)[:, None] + tilted.log_weights
    return log_weights.ravel(), tilted.means.reshape(log_weights.size, opened.n_visible)
