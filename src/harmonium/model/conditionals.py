"""Some coordinates of x given the others, in closed form: affine feature maps with few hidden units.

Given h, x is Gaussian with precision 2 I; given known coordinates too, the open ones are Gaussian and p(h | known) is
a sum over 2^k states. The coordinates may be those of y with x = M y.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from harmonium.errors import InfeasibleError
from harmonium.model.harmonium import Harmonium
from harmonium.model.oracles import MAX_SAMPLED_HIDDEN, hidden_states


class ConditionalMixture(NamedTuple):
    """p(open | known) as a mixture of Gaussians with one covariance.

    `log_mass` = log ∫ exp(-F) over the open coordinates. Per state of h: `weights` (states,), which add up to 1, and
    `means` (states, visible), at the known value in a known coordinate; `covariance` (visible, visible) is 0 there.
    """

    log_mass: float
    weights: Float[np.ndarray, "states"]
    means: Float[np.ndarray, "states visible"]
    covariance: Float[np.ndarray, "visible visible"]

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n visible"]:
        """Independent draws."""
        states = rng.choice(len(self.weights), size=n, p=self.weights)
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return self.means[states] + rng.standard_normal((n, len(root))) @ root.T


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
    feature_matrix, offset = (np.asarray(part, np.float64) for part in model.affine_form())
    weights, bias, hidden_bias = (
        np.asarray(part, np.float64)
        for part in (model.weights, model.visible_bias, model.hidden_bias)
    )
    states = np.asarray(hidden_states(model), np.float64)
    # -E = -y·P y/2 + linear·y + constant for each state.
    precision = 2 * matrix.T @ matrix
    linear = (bias - states @ weights @ feature_matrix) @ matrix
    constant = states @ (hidden_bias - weights @ offset)
    is_open = np.isnan(known)
    fixed = np.where(is_open, 0.0, known)
    constant = constant + linear @ fixed - fixed @ precision @ fixed / 2
    pull = (linear - precision @ fixed)[:, is_open]
    inverse = np.linalg.inv(precision[np.ix_(is_open, is_open)])
    means = np.tile(fixed, (len(states), 1))
    means[:, is_open] = pull @ inverse
    log_determinant = np.linalg.slogdet(inverse)[1]
    gaussian = 0.5 * (is_open.sum() * np.log(2 * np.pi) + log_determinant)
    log_weights = constant + 0.5 * np.sum(pull * means[:, is_open], axis=1) + gaussian
    log_mass = float(np.logaddexp.reduce(log_weights))
    covariance = np.zeros_like(precision)
    covariance[np.ix_(is_open, is_open)] = inverse
    return ConditionalMixture(log_mass, np.exp(log_weights - log_mass), means, covariance)
