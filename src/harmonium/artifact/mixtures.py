"""Mixtures of Gaussians as arrays, and back."""

import numpy as np

from harmonium.artifact.container import Arrays
from harmonium.compiling import as_floats
from harmonium.data.state import take_arrays
from harmonium.errors import ArtifactError
from harmonium.model import Mixture
from harmonium.model.factor_mixture import FactorMixture

# Numbers in the factors of a mixture, whose inverses are checked.
MAX_FACTORS = 2**26
# What rounding to single precision may do, relative to the terms of a sum.
ROUNDING = 1e-4
_FACTOR_PARTS = ("log_weights", "means", "scales", "directions", "gains")


def describe_mixture(mixture: Mixture) -> Arrays:
    """All of a mixture as named arrays."""
    return {
        "log_weights": np.asarray(mixture.log_weights),
        "means": np.asarray(mixture.means),
        "factors": np.asarray(mixture.factors),
        "inverses": np.asarray(mixture.inverses),
    }


def build_mixture(arrays: Arrays, n_visible: int) -> Mixture:
    """The mixture that `describe_mixture` made; raises `ArtifactError` for anything else."""
    n_components = len(np.atleast_1d(arrays.get("log_weights", np.zeros(0))))
    if not n_components:
        raise ArtifactError("a mixture has no components. The file is damaged.")
    shapes = {
        "log_weights": (n_components,),
        "means": (n_components, n_visible),
        "factors": (n_components, n_visible, n_visible),
        "inverses": (n_components, n_visible, n_visible),
    }
    checked = take_arrays(arrays, shapes, "Mixture")
    mixture = Mixture(**{name: as_floats(part) for name, part in checked.items()})
    check_mixture(mixture)
    return mixture


def check_mixture(mixture: Mixture) -> None:
    """Normalized weights, and lower triangular factors with positive diagonals beside their
    inverses.

    Raises `ArtifactError` for others.
    """
    log_weights, factors, inverses = (
        np.asarray(part, np.float64)
        for part in (mixture.log_weights, mixture.factors, mixture.inverses)
    )
    if abs(np.logaddexp.reduce(log_weights)) > ROUNDING:
        raise ArtifactError("the weights of the mixture do not add up to 1. The file is damaged.")
    for part in (factors, inverses):
        diagonals = np.diagonal(part, axis1=1, axis2=2)
        if np.any(np.triu(part, 1)) or not np.all(diagonals > 0):
            raise ArtifactError(
                "the mixture has factors that are not lower triangular with positive diagonals. "
                "The file is damaged."
            )
    # Summed without signs, the terms say how much rounding can do; what overflows is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(inverses @ factors - np.eye(mixture.n_visible))
        allowed = ROUNDING * (np.abs(inverses) @ np.abs(factors))
    if not np.all(error <= allowed):
        raise ArtifactError(
            "the mixture has inverses that are not those of its factors. The file is damaged."
        )


def check_factor_mixture(mixture: FactorMixture) -> None:
    """Normalized weights, positive scales, gains that are not negative, orthonormal directions.

    Raises `ArtifactError` for others.
    """
    weights = np.asarray(mixture.log_weights, np.float64)
    directions = np.asarray(mixture.directions, np.float64)
    error = np.abs(np.swapaxes(directions, 1, 2) @ directions - np.eye(directions.shape[2]))
    fine = abs(np.logaddexp.reduce(weights)) <= ROUNDING and np.all(error <= ROUNDING)
    if not (fine and np.all(mixture.scales > 0) and np.all(mixture.gains >= 0)):
        raise ArtifactError("the mixture of factor analyzers is none. The file is damaged.")


def describe_factor_mixture(mixture: FactorMixture) -> Arrays:
    """All of a mixture of factor analyzers as named arrays."""
    return {name: np.asarray(getattr(mixture, name)) for name in _FACTOR_PARTS}


def build_factor_mixture(
    arrays: Arrays, n_visible: int, n_components: int, n_factors: int
) -> FactorMixture:
    """The mixture of these sizes; raises `ArtifactError` for anything else."""
    shapes = {
        "log_weights": (n_components,),
        "means": (n_components, n_visible),
        "scales": (n_components, n_visible),
        "directions": (n_components, n_visible, n_factors),
        "gains": (n_components, n_factors),
    }
    checked = take_arrays(arrays, shapes, "FactorMixture")
    mixture = FactorMixture(**{name: as_floats(part) for name, part in checked.items()})
    check_factor_mixture(mixture)
    return mixture
