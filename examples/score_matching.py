"""Score matching (Hyvärinen 2005, eq. 4): no chains and no log Z, but second derivatives."""

import sys

import jax
import jax.numpy as jnp
from sklearn.datasets import make_moons

import harmonium as hm

small = "--small" in sys.argv
# In model units: mean 0 and variance 1/2 per column.
rows = (make_moons(4000, noise=0.15, random_state=0)[0] - [0.5, 0.25]) / [1.25, 0.73]


def loss(key, model, batch):
    """Mean over rows of tr(d score/dx) + |score|²/2, which is minimal where scores agree."""

    def of_row(x):
        score = model.score(x)
        return jnp.trace(jax.jacfwd(model.score)(x)) + 0.5 * score @ score

    return jnp.mean(jax.vmap(of_row)(batch))


key_map, key_model, key_fit = jax.random.split(jax.random.key(0), 3)
features = hm.feature_maps.ResidualMLP(2, 64, 2, input_scale=3.0, is_bounded=True, key=key_map)
model = hm.Harmonium(2, 64, feature_map=features, key=key_model)
result = hm.fit(
    model,
    rows[:3000],
    key=key_fit,
    objective=hm.MinimizedLoss(loss),
    validation=rows[3000:],
    n_updates=300 if small else 3000,
)
first, *_, last = [record["loss"] for record in result.history if "loss" in record]
print(f"loss from {first:.3f} to {last:.3f}")
print(result.verdict)
