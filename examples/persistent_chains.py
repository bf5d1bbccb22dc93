"""Persistent contrastive divergence (Tieleman 2008): chains go on from update to update."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import harmonium as hm

small = "--small" in sys.argv
rng = np.random.default_rng(0)
# Four clusters at the corners of a square, in model units: variance 1/2 per column.
rows = 0.66 * rng.choice([-1.0, 1.0], size=(3000, 2)) + 0.25 * rng.normal(size=(3000, 2))
training, test = rows[:2000], rows[2000:]

# A Gaussian-Bernoulli RBM; from W = 0 all hidden units would learn the same.
model = hm.Harmonium(2, 8, key=jax.random.key(0))
weights = 0.3 * jax.random.normal(jax.random.key(1), model.weights.shape)
model = eqx.tree_at(lambda m: m.weights, model, weights)


def log_likelihood(fitted):
    """Mean log-density of the test rows in nats, exact: the hidden states are enumerated."""
    free_energies = jax.vmap(fitted.free_energy)(jnp.asarray(test, jnp.float32))
    return float(-free_energies.mean() - hm.exact_log_partition(fitted))


print(f"start: {log_likelihood(model):.3f} nats per row")
for n_chains in (256,) if small else (64, 1024):
    result = hm.fit(
        model,
        training,
        key=jax.random.key(2),
        objective=hm.MaximumLikelihood(hm.PersistentChains(n_chains=n_chains)),
        n_updates=400 if small else 4000,
    )
    print(f"{n_chains} chains: {log_likelihood(result.model):.3f} nats per row")
