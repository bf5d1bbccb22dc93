"""Models as plain values and arrays: what a file holds of a model, and how it is checked when it comes back."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.errors import ArtifactError
from harmonium.model import Bernoulli, Harmonium, Spin
from harmonium.model.feature_maps import MLP, Affine, FourierFeatures, Identity, ResidualMLP

_HIDDEN_UNITS = {"Bernoulli": Bernoulli, "Spin": Spin}

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]


def describe_model(model: Harmonium) -> tuple[Config, Arrays]:
    """Its structure in plain values, and its arrays by path."""
    parameters = eqx.filter(model, eqx.is_array)
    leaves = jax.tree_util.tree_leaves_with_path(parameters)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    config = {
        "n_visible": model.n_visible,
        "n_hidden": model.n_hidden,
        "hidden_units": type(model.hidden_units).__name__,
        "feature_map": _describe_feature_map(model.feature_map),
    }
    return config, arrays


def build_model(config: Config, arrays: Arrays, feature_map: Any) -> Harmonium:
    """A model of the described structure, filled with the stored arrays after checking each."""
    if config["hidden_units"] not in _HIDDEN_UNITS:
        raise ArtifactError(f"unknown hidden units {config['hidden_units']!r}.")
    units = _HIDDEN_UNITS[config["hidden_units"]]()
    n_visible, n_hidden = int(config["n_visible"]), int(config["n_hidden"])
    described = config["feature_map"]

    def build() -> Harmonium:
        key = jax.random.key(0)
        chosen = _build_feature_map(described) if feature_map is None else feature_map
        return Harmonium(n_visible, n_hidden, feature_map=chosen, hidden_units=units, key=key)

    # Only shapes are made here: a hostile size must not allocate before it is checked.
    skeleton = eqx.filter_eval_shape(build)
    paths, structure = jax.tree_util.tree_flatten_with_path(skeleton)
    expected = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in paths
        if isinstance(leaf, jax.ShapeDtypeStruct)
    }
    if set(expected) != set(arrays):
        odd = sorted(set(expected) ^ set(arrays))
        raise ArtifactError(f"the stored arrays do not match the described model: {odd[:5]}.")
    leaves = [
        _checked(jax.tree_util.keystr(path), leaf, arrays)
        if isinstance(leaf, jax.ShapeDtypeStruct)
        else leaf
        for path, leaf in paths
    ]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _checked(name: str, expected: jax.ShapeDtypeStruct, arrays: Arrays) -> jax.Array:
    array = arrays[name]
    if array.shape != expected.shape:
        raise ArtifactError(f"{name}: expected shape {expected.shape}; got {array.shape}.")
    if not np.issubdtype(array.dtype, np.floating) or not np.all(np.isfinite(array)):
        raise ArtifactError(f"{name}: expected finite floating-point numbers.")
    return jnp.asarray(array, expected.dtype)


def _describe_feature_map(feature_map: Any) -> Config:
    name = type(feature_map).__name__
    if isinstance(feature_map, Identity):
        return {"name": name, "n_visible": feature_map.n_visible}
    if isinstance(feature_map, Affine):
        return {"name": name, "shape": list(feature_map.matrix.shape)}
    if isinstance(feature_map, MLP):
        return {
            "name": name,
            "n_visible": feature_map.layers[0].in_features,
            "widths": [layer.out_features for layer in feature_map.layers],
            "activation": feature_map.activation,
            "input_scale": feature_map.input_scale,
        }
    if isinstance(feature_map, ResidualMLP):
        return {
            "name": name,
            "n_visible": feature_map.lift.in_features,
            "width": feature_map.lift.out_features,
            "depth": len(feature_map.blocks),
            "activation": feature_map.activation,
            "input_scale": feature_map.input_scale,
        }
    if isinstance(feature_map, FourierFeatures):
        head = feature_map.head
        n_frequencies, n_visible = feature_map.frequencies.shape
        return {
            "name": name,
            "n_visible": n_visible,
            "n_frequencies": n_frequencies,
            "head": None if head is None else _describe_feature_map(head),
        }
    return {"name": name, "user_defined": True}


def _build_feature_map(config: Config) -> Any:
    key = jax.random.key(0)
    arguments = {name: value for name, value in config.items() if name != "name"}
    match config["name"]:
        case "Identity":
            return Identity(**arguments)
        case "Affine":
            return Affine(jnp.zeros(tuple(arguments["shape"])))
        case "MLP":
            return MLP(**arguments, key=key)
        case "ResidualMLP":
            return ResidualMLP(**arguments, key=key)
        case "FourierFeatures":
            head = arguments.pop("head")
            built = None if head is None else _build_feature_map(head)
            return FourierFeatures(**arguments, head=built, key=key)
    raise ArtifactError(
        f"the model has a feature map of your own, {config['name']!r}. "
        "Try: load(path, feature_map=...) with an instance of the same structure."
    )
