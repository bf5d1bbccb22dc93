"""The same model on both sides: written for the peers as plain arrays, and compared before anything
is timed.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from benchmarks.peer_process import PeerProcess
from harmonium.model import Harmonium, feature_maps
from harmonium.typing import Batch

LARGEST_DIFFERENCE = 1e-4


def with_random_parameters(model: Harmonium, strength: float) -> Harmonium:
    """W of this standard deviation, biases of half a nat."""
    keys = jax.random.split(jax.random.key(7), 3)
    fields = (model.weights, model.visible_bias, model.hidden_bias)
    scales = (strength, 0.5, 0.5)
    drawn = tuple(
        scale * jax.random.normal(key, field.shape)
        for key, field, scale in zip(keys, fields, scales, strict=True)
    )
    return eqx.tree_at(lambda m: (m.weights, m.visible_bias, m.hidden_bias), model, drawn)


def export(model: Harmonium, path: Path) -> None:
    """The weights as plain arrays: f is the identity (no layers) or a silu network."""
    network = model.feature_map if isinstance(model.feature_map, feature_maps.MLP) else None
    layers = () if network is None else network.layers
    arrays: dict[str, Any] = {
        "weights": model.weights,
        "visible_bias": model.visible_bias,
        "hidden_bias": model.hidden_bias,
        "input_scale": 1.0 if network is None else network.input_scale,
        "n_layers": len(layers),
    }
    for i, layer in enumerate(layers):
        arrays |= {f"layer_weight_{i}": layer.weight, f"layer_bias_{i}": layer.bias}
    np.savez(path, **arrays)


def check_same(peer: PeerProcess, model: Harmonium, rows: Batch) -> None:
    """Both sides must have the same F on these rows, or nothing else means anything."""
    ours = np.asarray(jax.vmap(model.free_energy)(rows))
    theirs = np.asarray(peer.ask({"rows": np.asarray(rows).tolist()})["free_energy"])
    difference = float(np.max(np.abs(theirs - ours) / (1 + np.abs(ours))))
    if not difference < LARGEST_DIFFERENCE:
        raise RuntimeError(f"the free energies of the two sides differ by {difference:.1e}")
