"""Flow-contrastive estimation (Gao et al. 2020, eq. 11): the noise is a flow that learns, too."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.scipy.stats import norm
from sklearn.datasets import make_moons

import harmonium as hm

rows = jnp.asarray((make_moons(4000, noise=0.15, random_state=0)[0] - [0.5, 0.25]) / [1.25, 0.73])
keys, optimizer = jax.random.split(jax.random.key(0), 4), optax.adam(2e-3)
model = hm.Harmonium(2, 64, feature_map=hm.feature_maps.MLP(2, (64, 64), key=keys[0]), key=keys[1])
log_z = jnp.log(jnp.pi) - model.free_energy(jnp.zeros(2))  # Known, because W = 0.
parts = (model, eqx.nn.MLP(1, 2, 64, 2, key=keys[2]), log_z)
state = optimizer.init(eqx.filter(parts, eqx.is_inexact_array))


def told_apart(parts, batch, z):
    (model, flow, log_z), n = parts, len(z)
    first = jnp.concatenate([batch[:, 0], z[:, 0]])
    scale, shift = jax.vmap(flow)(first[:, None]).T  # Autoregressive: of column 0, for column 1.
    second = jnp.concatenate([batch[:, 1], z[:, 1] * jnp.exp(scale[n:]) + shift[n:]])
    log_noise = norm.logpdf(first) + norm.logpdf(second, shift, jnp.exp(scale))
    logits = -jax.vmap(model.free_energy)(jnp.stack([first, second], 1)) - log_z - log_noise
    return jnp.mean(jax.nn.log_sigmoid(logits[:n]) + jax.nn.log_sigmoid(-logits[n:]))


@eqx.filter_jit
def update(parts, state, key):
    batch, z = jax.random.choice(key, rows, (256,)), jax.random.normal(key, (256, 2))
    model, flow, log_z = eqx.filter_grad(told_apart)(parts, batch, z)  # The flow descends.
    change, state = optimizer.update((jax.tree.map(jnp.negative, model), flow, -log_z), state)
    return eqx.apply_updates(parts, change), state


for key in jax.random.split(keys[3], 1500):
    parts, state = update(parts, state, key)
print("learned, estimated:", parts[2], hm.estimate_log_partition(parts[0], key=keys[3]).value)
