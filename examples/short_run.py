"""Short-run MCMC (Nijkamp et al. 2019): a few Langevin steps from noise learn to be a generator."""

import sys

import jax
from sklearn.datasets import make_moons

import harmonium as hm
from harmonium.sampling import init_chains, run_chains

small, kernel, n_steps = "--small" in sys.argv, hm.Langevin(0.02), 20
# In model units: mean 0 and variance 1/2 per column.
rows = (make_moons(4000, noise=0.15, random_state=0)[0] - [0.5, 0.25]) / [1.25, 0.73]


def generate(key, model, n):
    """Draws (n, 2): noise after the steps, always as many, by a kernel that accepts all of them."""
    key_noise, key_init, key_run = jax.random.split(key, 3)
    noise = 1.5 * jax.random.normal(key_noise, (n, 2))
    states = init_chains(key_init, model, kernel, noise)
    return run_chains(key_run, model, kernel, states, n_steps=n_steps).states.position


def loss(key, model, batch):
    """Mean F over rows minus mean F over generated ones, whose gradient is that of learning."""
    negatives = jax.lax.stop_gradient(generate(key, model, len(batch)))
    free_energy = jax.vmap(model.free_energy)
    return free_energy(batch).mean() - free_energy(negatives).mean()


key_map, key_model, key_fit, key_draw = jax.random.split(jax.random.key(0), 4)
features = hm.feature_maps.ResidualMLP(2, 64, 2, input_scale=3.0, is_bounded=True, key=key_map)
model, states = hm.Harmonium(2, 64, feature_map=features, key=key_model), []
n_updates, objective = 100 if small else 4000, hm.MinimizedLoss(loss)
hm.fit(model, rows, key=key_fit, objective=objective, n_updates=n_updates, callback=states.append)
for state in (states[0], states[-1]):
    draws = generate(key_draw, state.averaged_model, 1000)
    away = ((draws[:, None] - rows[None, ::8]) ** 2).sum(-1).min(1) ** 0.5
    print(f"update {state.update}: draws are {away.mean():.3f} from the nearest row on average")
