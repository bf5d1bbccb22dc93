"""Small fits for the tests of many devices, in this process or, as a program, in one of its own.

`python fits.py N …` makes the updates on N devices, for each N, and prints what came of them as
JSON; with `--join HOST:PORT PROCESSES PROCESS` on all devices of several processes.
"""

import json
import sys
from contextlib import nullcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import harmonium as hm
from harmonium.learning.devices import gather, joined, on_devices, replicate, use_devices
from harmonium.learning.rows import CompleteRows, IncompleteRows
from harmonium.learning.trainer import Control, FitSettings, Trainer, default_optimizer

N_CHAINS, BATCH_SIZE, UPDATES = 16, 32, 5


def make_rows(n=203):
    """A bent cloud; no number of devices but one divides its rows."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=n)
    return jnp.asarray(np.stack([first, first**2 - 1 + 0.3 * rng.normal(size=n)], axis=1))


def make_model():
    feature_map = hm.feature_maps.MLP(2, (8,), key=jax.random.key(5))
    return hm.Harmonium(2, 4, feature_map=feature_map, key=jax.random.key(1))


def population():
    return hm.MaximumLikelihood(hm.WeightedPopulation(n_chains=N_CHAINS, steps_per_update=2))


OBJECTIVES = {
    "population": population,
    "persistent": lambda: hm.MaximumLikelihood(hm.PersistentChains(n_chains=N_CHAINS)),
    "data-started": lambda: hm.MaximumLikelihood(hm.DataStartedChains()),
    "noise-contrastive": hm.NoiseContrastive,
    "score-matching": lambda: hm.DenoisingScoreMatching.between(0.2, 0.7),
}


def with_holes(rows):
    """The same rows, a cell of every third missing."""
    missing = jnp.zeros(rows.shape, bool).at[::3, 1].set(True)
    return IncompleteRows(rows, missing, jnp.eye(2), jax.random.key(9))


def updated(objective, n_devices, rows=None):
    """The state after updates on so many devices; its numbers, and what the updates and the last
    evaluation measured."""
    model = make_model()
    source = CompleteRows(make_rows()) if rows is None else rows
    trainer = Trainer(
        objective=objective,
        optimizer=default_optimizer(1e-2),
        settings=FitSettings(batch_size=BATCH_SIZE),
        training=source,
        held_out=CompleteRows(make_rows(51)),
        static=eqx.filter(model, eqx.is_inexact_array, inverse=True),
        updates_per_evaluation=UPDATES,
    )
    with use_devices(n_devices):
        with on_devices():
            state = trainer.start(jax.random.key(0), jax.random.key(2), model)
            trainer, state = replicate((trainer, state))
            control = Control(jnp.asarray(4.0 * UPDATES), jnp.asarray(1.0))
            state, _ = trainer.advance(state, trainer.training, control)
            state, metrics = trainer.advance(state, trainer.training, control)
            measured = {**metrics, **trainer.evaluate(state)}
        return state, numbers(gather((state, measured)))


def numbers(tree):
    """All real numbers of a tree in one row."""
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in leaves])


def main(arguments):
    jax.config.update("jax_enable_x64", True)
    together, counts = nullcontext(), [int(n) for n in arguments if n.isdigit()]
    if arguments[0] == "--join":
        together, counts = joined(arguments[1], *counts), [None]
    found = {}
    with together:
        for n in counts:
            state, values = updated(population(), n)
            shards = [s.data.shape for s in state.carry.states.position.addressable_shards]
            found[str(n)] = {"numbers": values.tolist(), "shards": shards}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
