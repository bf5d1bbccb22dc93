"""A feature map of your own: any `equinox.Module` from one row to a vector of features."""

import sys

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import harmonium as hm


class Radial(eqx.Module):
    """Bumps of the distance from the origin: bounded, so that the base keeps the tails."""

    centers: jnp.ndarray

    def __init__(self, n_visible, *, key):
        self.centers = jnp.linspace(0.0, 3.0, 16)

    def __call__(self, visible):
        """One row (n_visible,) in model units to features (16,)."""
        radius = jnp.sqrt(jnp.sum(visible**2) + 1e-6)
        return jnp.exp(-8 * (radius - self.centers) ** 2)


small = "--small" in sys.argv
rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 2000)
radius = 1 + 0.1 * rng.normal(size=2000)
ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

estimator = hm.DensityEstimator(
    n_hidden=16, feature_map=Radial, base="gaussian", n_updates=100 if small else 1500
).fit(ring)
for stage in estimator.chosen_.stages:
    print(f"{stage.name}: {stage.score:.2f} nats per held-out row")
print(estimator.verdict_)
