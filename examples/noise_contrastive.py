"""Noise-contrastive estimation (Gutmann and Hyvärinen 2010): log Z is learned as a parameter."""

import sys

import jax
import numpy as np
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture

import harmonium as hm

small = "--small" in sys.argv
# In model units: mean 0 and variance 1/2 per column.
rows = (make_moons(4000, noise=0.15, random_state=0)[0] - [0.5, 0.25]) / [1.25, 0.73]

# The noise is the base of the model: a mixture near the rows makes the task hard enough to learn.
found = GaussianMixture(4, random_state=0).fit(rows)
log_weights, roots = np.log(found.weights_), np.linalg.cholesky(found.covariances_)
base = hm.MixtureBase(hm.Mixture.from_roots(log_weights, found.means_, roots))

key_map, key_model, key_fit, key_estimate = jax.random.split(jax.random.key(0), 4)
features = hm.feature_maps.ResidualMLP(2, 64, 2, input_scale=3.0, is_bounded=True, key=key_map)
result = hm.fit(
    hm.Harmonium(2, 64, feature_map=features, base=base, key=key_model),
    rows[:3000],
    key=key_fit,
    objective=hm.NoiseContrastive(noise_ratio=4),
    validation=rows[3000:],
    n_updates=300 if small else 3000,
)
before, after = (result.history[i]["validation_log_likelihood"] for i in (0, -1))
print(f"held-out rows: {before:.3f} nats before training, {after:.3f} after it")
# A normalized base: log Z is the log-ratio that the classifier learned.
print(f"log Z learned: {float(result.carry.log_ratio):.3f}")
print(f"log Z by {result.log_partition.method}: {result.log_partition.value:.3f}")
