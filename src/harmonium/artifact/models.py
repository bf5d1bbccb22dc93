"""Models as plain values and arrays: what a file holds of a model, and how it is checked when it
comes back.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.artifact.container import Arrays, Config
from harmonium.artifact.entries import entry, flag, listing, mapping, number, text, whole
from harmonium.artifact.mixtures import MAX_FACTORS, check_factor_mixture, check_mixture
from harmonium.artifact.own_bases import plain_fields, rebuilt
from harmonium.errors import ArtifactError
from harmonium.inference import OwnParts
from harmonium.model import (
    AbstractBase,
    Bernoulli,
    GaussianBase,
    Harmonium,
    Mixture,
    MixtureBase,
    Spin,
)
from harmonium.model.convolutions import (
    ConvNet,
    ImageShape,
    Intensities,
    LocalWhitening,
    ResidualConvNet,
)
from harmonium.model.factor_mixture import FactorBase, FactorMixture
from harmonium.model.feature_maps import MLP, Affine, FourierFeatures, Identity, ResidualMLP

_HIDDEN_UNITS = {"Bernoulli": Bernoulli, "Spin": Spin}
# Every layer of a map takes time to compile.
MAX_LAYERS = 256
MAX_SCALE = 1e6
MAX_WINDOW = 31


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
        "base": _describe_base(model.base),
    }
    return config, arrays


def build_model(config: Config, arrays: Arrays, own: OwnParts) -> Harmonium:
    """A model of the described structure, filled with the stored arrays after checking each.

    `own` has the parts that the file knows by their class names alone.
    """
    # No size of a model is larger than its largest array: what is described has to be there.
    largest = max((array.size for array in arrays.values()), default=0)
    units = text(config, "hidden_units")
    if units not in _HIDDEN_UNITS:
        raise ArtifactError(f"unknown hidden units {units!r:.80}.")
    n_visible = whole(config, "n_visible", 1, largest)
    n_hidden = whole(config, "n_hidden", 1, largest)
    described = mapping(config, "feature_map")
    described_base = mapping(config, "base")

    def build() -> Harmonium:
        if own.feature_map is None:
            chosen = _build_feature_map(described, n_visible, largest, MAX_LAYERS)
        else:
            chosen = own.build_feature_map(jax.random.key(0), n_visible)
        return Harmonium(
            n_visible,
            n_hidden,
            feature_map=chosen,
            hidden_units=_HIDDEN_UNITS[units](),
            base=_build_base(described_base, arrays, n_visible, own),
            key=jax.random.key(0),
        )

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
        raise ArtifactError(f"the stored arrays do not match the described model: {odd[:5]!r:.200}")
    leaves = [
        _checked(jax.tree_util.keystr(path), leaf, arrays)
        if isinstance(leaf, jax.ShapeDtypeStruct)
        else leaf
        for path, leaf in paths
    ]
    model = jax.tree_util.tree_unflatten(structure, leaves)
    if isinstance(model.base, MixtureBase):
        check_mixture(model.base.mixture)
    if isinstance(model.base, FactorBase):
        check_factor_mixture(model.base.mixture)
    return model


def _checked(name: str, expected: jax.ShapeDtypeStruct, arrays: Arrays) -> jax.Array:
    array = arrays[name]
    if array.shape != expected.shape:
        raise ArtifactError(f"{name}: expected shape {expected.shape}; got {array.shape}.")
    # Finite also in the precision that it is used in.
    with np.errstate(over="ignore"):
        finite = np.all(np.isfinite(array.astype(expected.dtype)))
    if not np.issubdtype(array.dtype, np.floating) or not finite:
        raise ArtifactError(f"{name}: expected finite floating-point numbers.")
    return jnp.asarray(array, expected.dtype)


def _describe_base(base: AbstractBase) -> Config:
    if isinstance(base, MixtureBase):
        n_numbers = base.mixture.factors.size
        if n_numbers > MAX_FACTORS:
            raise ArtifactError(
                f"save: a mixture of {base.mixture.n_components} components in {base.n_visible} "
                f"columns has {n_numbers} "
                f"numbers in its factors, and a file may hold {MAX_FACTORS}. Try: fewer components."
            )
        return {"name": "MixtureBase", "n_components": base.mixture.n_components}
    if isinstance(base, FactorBase):
        n_components, n_factors = base.mixture.gains.shape
        return {"name": "FactorBase", "n_components": n_components, "n_factors": n_factors}
    name = type(base).__name__
    return {"name": name} if isinstance(base, GaussianBase) else {"name": name} | plain_fields(base)


def _build_base(config: Config, arrays: Arrays, n_visible: int, own: OwnParts) -> AbstractBase:
    """The described base, with a mixture of no more numbers than there are."""
    name = text(config, "name")
    if own.base is not None:
        return own.base if isinstance(own.base, AbstractBase) else rebuilt(own.base, config, arrays)
    if name == "GaussianBase":
        return GaussianBase(n_visible)
    largest = max(array.size for array in arrays.values())
    if name == "FactorBase":
        n_components = whole(config, "n_components", 1, largest)
        n_factors = whole(config, "n_factors", 1, n_visible)
        means = jnp.zeros((n_components, n_visible))
        directions = jnp.zeros((n_components, n_visible, n_factors))
        gains = jnp.zeros((n_components, n_factors))
        weights = jnp.zeros(n_components)
        return FactorBase(FactorMixture(weights, means, means, directions, gains))
    if name != "MixtureBase":
        raise ArtifactError(
            f"the model has a base of your own, {name!r:.80}. "
            "Try: load(path, base=...) with its class, or an instance of the same structure."
        )
    most = min(largest, MAX_FACTORS) // n_visible**2
    n_components = whole(config, "n_components", 1, most)
    means = jnp.zeros((n_components, n_visible))
    factors = jnp.zeros((n_components, n_visible, n_visible))
    return MixtureBase(Mixture(jnp.zeros(n_components), means, factors, factors))


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
            "is_bounded": feature_map.is_bounded,
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
    if isinstance(feature_map, Intensities):
        pieces = feature_map.rises.shape[1]
        head = _describe_feature_map(feature_map.head)
        return {"name": name, "pieces": pieces, "head": head}
    if isinstance(feature_map, LocalWhitening):
        head = _describe_feature_map(feature_map.head)
        shape = list(feature_map.image_shape)
        return {"name": name, "image_shape": shape, "window": feature_map.window, "head": head}
    if isinstance(feature_map, ConvNet | ResidualConvNet):
        return {
            "name": name,
            "image_shape": list(feature_map.image_shape),
            "channels": list(feature_map.channels),
            "strides": list(feature_map.strides) if isinstance(feature_map, ConvNet) else None,
            "is_bounded": feature_map.is_bounded,
        }
    return {"name": name, "user_defined": True}


def _build_feature_map(config: Config, n_inputs: int, largest: int, most_layers: int) -> Any:
    """The described map of `n_inputs` numbers, of no larger sizes and no more layers than these."""
    name = text(config, "name")
    if name in ("Intensities", "LocalWhitening", "ConvNet", "ResidualConvNet"):
        return _build_image_map(name, config, n_inputs, largest, most_layers)
    if name not in ("Identity", "Affine", "MLP", "ResidualMLP", "FourierFeatures"):
        raise ArtifactError(
            f"the model has a feature map of your own, {name!r:.80}. "
            "Try: load(path, feature_map=...) with its factory, or an instance of the same "
            "structure."
        )
    if name == "Affine":
        shape = _sizes(listing(config, "shape", 2), largest)
        if len(shape) != 2 or shape[1] != n_inputs:
            raise ArtifactError(f"shape: expected (features, {n_inputs}); got {shape}.")
        return Affine(jnp.zeros(shape))
    n_visible = whole(config, "n_visible", n_inputs, n_inputs)
    key = jax.random.key(0)
    if name == "Identity":
        return Identity(n_visible)
    if name == "FourierFeatures":
        n_frequencies = whole(config, "n_frequencies", 1, largest)
        head = None
        if entry(config, "head") is not None:
            if most_layers < 1:
                raise ArtifactError(f"expected at most {MAX_LAYERS} layers.")
            described = mapping(config, "head")
            head = _build_feature_map(described, 2 * n_frequencies, largest, most_layers - 1)
        return FourierFeatures(n_visible, n_frequencies, head=head, key=key)
    scale = number(config, "input_scale")
    if abs(scale) > MAX_SCALE:
        raise ArtifactError(f"input_scale: expected at most {MAX_SCALE:g}; got {scale:g}.")
    activation = text(config, "activation")
    if name == "MLP":
        widths = _sizes(listing(config, "widths", most_layers), largest)
        return MLP(n_visible, widths, activation=activation, input_scale=scale, key=key)
    return ResidualMLP(
        n_visible,
        whole(config, "width", 1, largest),
        whole(config, "depth", 0, most_layers),
        activation=activation,
        input_scale=scale,
        is_bounded=flag(config, "is_bounded"),
        key=key,
    )


def _build_image_map(
    name: str, config: Config, n_inputs: int, largest: int, most_layers: int
) -> Any:
    """The described map of images of `n_inputs` numbers."""

    def build_head() -> Any:
        if most_layers < 1:
            raise ArtifactError(f"expected at most {MAX_LAYERS} layers.")
        return _build_feature_map(mapping(config, "head"), n_inputs, largest, most_layers - 1)

    if name == "Intensities":
        pieces = whole(config, "pieces", 1, largest)
        knots, rises = jnp.zeros((n_inputs, pieces + 1)), jnp.zeros((n_inputs, pieces))
        return Intensities(knots, rises, build_head())
    shape = ImageShape(*_sizes(listing(config, "image_shape", 3), largest))
    if shape.n_visible != n_inputs:
        raise ArtifactError(f"image_shape: expected {n_inputs} numbers; got {shape.n_visible}.")
    if name == "LocalWhitening":
        window = whole(config, "window", 1, MAX_WINDOW)
        if window % 2 == 0:
            raise ArtifactError(f"window: expected an odd number; got {window}.")
        kernel = jnp.zeros((window**2 * shape.channels, shape.channels))
        return LocalWhitening(shape, kernel, jnp.zeros(shape.channels), build_head())
    channels = _sizes(listing(config, "channels", most_layers), largest)
    is_bounded, key = flag(config, "is_bounded"), jax.random.key(0)
    if name == "ConvNet":
        strides = _sizes(listing(config, "strides", most_layers), largest)
        return ConvNet(shape, channels, strides=strides, is_bounded=is_bounded, key=key)
    if not channels:
        raise ArtifactError("channels: expected at least one layer. The file is damaged.")
    depth = len(channels) - 1
    return ResidualConvNet(shape, channels[0], depth, is_bounded=is_bounded, key=key)


def _sizes(sizes: list[Any], largest: int) -> list[int]:
    """A list of whole numbers from 1 to the largest."""
    return [whole({"size": size}, "size", 1, largest) for size in sizes]
