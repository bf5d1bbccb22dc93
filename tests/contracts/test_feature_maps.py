"""Kind of truth: contract, and NumPy re-implementations of every map.

Seeds: rows 0, keys 0 and 1.
"""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy import stats
from scipy.special import erf

import harmonium.model as hm
from harmonium.errors import InvalidInputError
from harmonium.model import feature_maps

KEY = jax.random.key(0)
ROWS = np.random.default_rng(0).normal(size=(5, 3))


class Cubes(eqx.Module):
    """A user's own map: a scaled tanh of the pairwise products."""

    scale: jax.Array

    def __call__(self, x):
        """tanh of scale times (x0 x1, x1 x2)."""
        return jnp.tanh(self.scale * x[:-1] * x[1:])


class OwnAffine(eqx.Module):
    """A user's own affine map, which says that it is one."""

    scale: jax.Array

    def __call__(self, x):
        """scale * x reversed, plus one."""
        return self.scale * x[::-1] + 1

    def affine_form(self):
        """The matrix and the offset."""
        size = self.scale.shape[0]
        return self.scale[:, None] * jnp.eye(size)[::-1], jnp.ones(size)


MAPS = {
    "Identity": feature_maps.Identity(3),
    "Affine": feature_maps.Affine(
        jnp.asarray(np.random.default_rng(1).normal(size=(4, 3))), jnp.arange(4.0)
    ),
    "MLP": feature_maps.MLP(3, (5, 4), key=KEY),
    "ResidualMLP": feature_maps.ResidualMLP(3, 4, 2, activation="tanh", key=KEY),
    "FourierFeatures": feature_maps.FourierFeatures(3, 4, key=KEY),
    "ConvNet": feature_maps.ConvNet((1, 3, 1), (2, 3), key=KEY),
    "ResidualConvNet": feature_maps.ResidualConvNet((3, 1, 1), 2, 1, is_bounded=True, key=KEY),
    "Intensities": feature_maps.Intensities(
        jnp.asarray([[-1.0, 0.0, 2.0]] * 3), jnp.asarray([[1.0, 3.0]] * 3), feature_maps.Identity(3)
    ),
    "LocalWhitening": feature_maps.LocalWhitening(
        (1, 3, 1),
        jnp.asarray(np.random.default_rng(4).normal(size=(9, 1))),
        jnp.asarray([0.3]),
        feature_maps.Identity(3),
    ),
    "user": Cubes(jnp.asarray([0.7, -2.0])),
    "user affine": OwnAffine(jnp.asarray([0.7, -2.0, 0.4])),
}
AFFINE = {"Identity", "Affine", "user affine"}
each_map = pytest.mark.parametrize("name", MAPS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# jax.nn.gelu is the tanh approximation; the exact one differs by less than 1e-3.
NUMPY_ACTIVATIONS = {
    "silu": (lambda z: z * sigmoid(z), 1e-12),
    "tanh": (np.tanh, 1e-12),
    "softplus": (lambda z: np.log1p(np.exp(z)), 1e-12),
    "gelu": (lambda z: z * (1 + erf(z / np.sqrt(2))) / 2, 1e-3),
    "relu": (lambda z: np.maximum(z, 0), 1e-12),
}


def linear(layer, z):
    return z @ np.asarray(layer.weight).T + np.asarray(layer.bias)


def activated(z):
    return NUMPY_ACTIVATIONS["silu"][0](z)


def convolved(layer, images, stride):
    """Sums over the nine pixels around every `stride`-th one, with zeros around the image."""
    weight = np.asarray(layer.weight).reshape(3, 3, images.shape[3], -1)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    lines = [
        [
            np.einsum("nabi,abio->no", padded[:, i : i + 3, j : j + 3], weight)
            for j in range(0, images.shape[2], stride)
        ]
        for i in range(0, images.shape[1], stride)
    ]
    return np.array(lines).transpose(2, 0, 1, 3) + np.asarray(layer.bias)


def reference(name, rows):
    """The map as its docstring says, in NumPy."""
    feature_map = MAPS[name]
    if name == "Identity":
        return rows
    if name == "Affine":
        return rows @ np.asarray(feature_map.matrix).T + np.asarray(feature_map.offset)
    if name == "MLP":
        z = np.sqrt(2.0) * rows
        for layer in feature_map.layers:
            z = NUMPY_ACTIVATIONS["silu"][0](linear(layer, z))
        return z
    if name == "ResidualMLP":
        z = np.tanh(linear(feature_map.lift, np.sqrt(2.0) * rows))
        for block in feature_map.blocks:
            z = z + np.tanh(linear(block, z))
        return z
    if name == "FourierFeatures":
        phase = rows @ np.asarray(feature_map.frequencies).T
        return np.hstack([np.sin(phase), np.cos(phase)])
    if name == "ConvNet":
        first, second = feature_map.layers
        z = convolved(first, rows.reshape(-1, 1, 3, 1), 1)
        return activated(convolved(second, activated(z), 2)).reshape(len(rows), -1)
    if name == "ResidualConvNet":
        z = activated(convolved(feature_map.lift, rows.reshape(-1, 3, 1, 1), 2))
        z = z + activated(convolved(feature_map.blocks[0], z, 1))
        return np.tanh(z).reshape(len(rows), -1)
    if name == "Intensities":
        return np.clip(rows + 1, 0, 1) + 3 * np.clip(rows / 2, 0, 1)
    if name == "LocalWhitening":
        # Of a line of three pixels only the middle line of the window is inside.
        before, own, after = np.asarray(feature_map.kernel).ravel()[3:6]
        padded = np.pad(rows - 0.3, ((0, 0), (1, 1)))
        return before * padded[:, :-2] + own * padded[:, 1:-1] + after * padded[:, 2:]
    if name == "user":
        return np.tanh(np.array([0.7, -2.0]) * rows[:, :-1] * rows[:, 1:])
    return np.array([0.7, -2.0, 0.4]) * rows[:, ::-1] + 1


def test_every_public_map_has_a_row():
    public = {
        name
        for name, cls in inspect.getmembers(feature_maps, inspect.isclass)
        if issubclass(cls, eqx.Module)
    }
    assert public == {name for name in MAPS if not name.startswith("user")}


@each_map
def test_values_are_the_formula(name):
    actual = jax.vmap(MAPS[name])(jnp.asarray(ROWS))
    np.testing.assert_allclose(np.asarray(actual), reference(name, ROWS), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", feature_maps.ACTIVATIONS)
def test_activations_are_what_they_are_called(activation):
    formula, tolerance = NUMPY_ACTIVATIONS[activation]
    feature_map = feature_maps.MLP(3, (4,), activation=activation, input_scale=1.0, key=KEY)
    expected = formula(linear(feature_map.layers[0], ROWS))
    actual = jax.vmap(feature_map)(jnp.asarray(ROWS))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=tolerance)


def test_fourier_features_pass_through_their_head():
    head = feature_maps.MLP(8, (5,), input_scale=1.0, key=jax.random.key(1))
    feature_map = feature_maps.FourierFeatures(3, 4, head=head, key=KEY)
    waves = reference("FourierFeatures", ROWS)
    expected = NUMPY_ACTIVATIONS["silu"][0](linear(head.layers[0], waves))
    actual = jax.vmap(feature_map)(jnp.asarray(ROWS))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-10)


@each_map
def test_a_model_takes_it(name):
    for units in brute.ALPHABETS.values():
        model = hm.Harmonium(3, 2, feature_map=MAPS[name], hidden_units=units, key=KEY)
        assert model.n_features == reference(name, ROWS).shape[1]
        model = brute.with_parameters(model, np.random.default_rng(2))
        actual = jax.vmap(model.free_energy)(jnp.asarray(ROWS))
        np.testing.assert_allclose(
            np.asarray(actual), brute.free_energies(model, ROWS), rtol=1e-10, atol=1e-10
        )


@each_map
def test_jit_vmap_and_loop_agree(name):
    feature_map = MAPS[name]
    loop = np.stack([np.asarray(feature_map(jnp.asarray(row))) for row in ROWS])
    batched = eqx.filter_jit(lambda f, rows: jax.vmap(f)(rows))(feature_map, jnp.asarray(ROWS))
    np.testing.assert_allclose(np.asarray(batched), loop, rtol=1e-12, atol=1e-12)


@each_map
def test_pytree_round_trip(name):
    feature_map = MAPS[name]
    leaves, structure = jax.tree.flatten(feature_map)
    again = jax.tree.unflatten(structure, leaves)
    x = jnp.asarray(ROWS[0])
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(feature_map(x)))
    assert type(feature_map).__name__ in repr(feature_map)


@each_map
def test_affine_forms_are_true_and_only_given_by_affine_maps(name):
    feature_map = MAPS[name]
    model = hm.Harmonium(3, 2, feature_map=feature_map, key=KEY)
    assert model.is_affine == (name in AFFINE)
    if name in AFFINE:
        matrix, offset = feature_map.affine_form()
        expected = ROWS @ np.asarray(matrix).T + np.asarray(offset)
        np.testing.assert_allclose(reference(name, ROWS), expected, rtol=1e-12)


@each_map
def test_every_parameter_can_be_trained(name):
    def loss(feature_map):
        return jnp.sum(jnp.sin(jax.vmap(feature_map)(jnp.asarray(ROWS))))

    gradient = eqx.filter_grad(loss)(MAPS[name])
    for leaf in jax.tree.leaves(gradient):
        assert np.all(np.isfinite(np.asarray(leaf))) and np.any(np.asarray(leaf) != 0)


def test_first_weights_of_a_layer_are_uniform_within_one_over_the_root_of_its_inputs():
    layers = feature_maps.MLP(200, (100, 50), key=KEY).layers
    for layer, fan_in in zip(layers, (200, 100), strict=True):
        numbers = np.concatenate([np.ravel(layer.weight), layer.bias]) * np.sqrt(fan_in)
        assert np.abs(numbers).max() <= 1
        assert stats.kstest(numbers, "uniform", (-1, 2)).pvalue > 1e-6
        assert len(set(numbers.tolist())) > 0.99 * len(numbers)
        assert layer.weight.shape == (layer.out_features, fan_in)
    assert not np.allclose(layers[0].weight[:50, :100], layers[1].weight * np.sqrt(100 / 200))


@pytest.mark.parametrize("name", ["MLP", "ResidualMLP", "FourierFeatures"])
def test_keys_decide_the_random_maps(name):
    def build(key):
        arguments = {"MLP": (3, (5, 4)), "ResidualMLP": (3, 4, 2), "FourierFeatures": (3, 4)}[name]
        return jax.tree.leaves(getattr(feature_maps, name)(*arguments, key=key))

    first, again, other = build(KEY), build(KEY), build(jax.random.key(1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_features_move_with_the_image():
    """By one pixel when the image moves by the product of the strides, away from the border."""
    conv = feature_maps.ConvNet((16, 12, 2), (3, 4), key=KEY)
    image = np.zeros((16, 12, 2))
    image[6:9, 4:7] = np.random.default_rng(3).normal(size=(3, 3, 2))
    moved = np.roll(image, (2, 2), axis=(0, 1))
    still, shifted = (
        np.asarray(conv(jnp.asarray(own.ravel()))).reshape(8, 6, 4) for own in (image, moved)
    )
    np.testing.assert_allclose(shifted[2:-1, 2:-1], still[1:-2, 1:-2], atol=1e-12)
    assert np.ptp(still[1:-2, 1:-2]) > 0.01


def test_neighbors_of_whitened_images_tell_nothing_of_each_other():
    """Images of a known law: noise whose neighbors are averaged, so that they correlate."""
    noise = np.random.default_rng(5).normal(size=(400, 15, 15, 2))
    mixed = noise @ np.array([[1.0, 0.6], [0.0, 0.8]])
    images = 5.0 + mixed[:, 1:-1, 1:-1] + 0.7 * (mixed[:, :-2, 1:-1] + mixed[:, 1:-1, :-2])
    found = feature_maps.LocalWhitening.fit(images, feature_maps.Identity(338), floor=1e-6)
    white = np.asarray(jax.vmap(found)(jnp.asarray(images.reshape(400, -1))))
    # Away from the border, where all of a window is known.
    inner = white.reshape(images.shape)[:, 2:-2, 2:-2]
    own = inner[:, :-1, :-1].reshape(-1, 2)
    others = (inner[:, 1:, :-1].reshape(-1, 2), inner[:, :-1, 1:].reshape(-1, 2))
    before = np.corrcoef(images[:, :-1, :-1].ravel(), images[:, 1:, :-1].ravel())[0, 1]
    assert before > 0.3
    for other in others:
        assert np.abs(np.corrcoef(own.T, other.T)[:2, 2:]).max() < 0.12
    assert abs(np.corrcoef(own.T)[0, 1]) < 0.03
    np.testing.assert_allclose(own.var(axis=0), 1, atol=0.1)


MISUSES = {
    "window": (
        lambda: feature_maps.LocalWhitening(
            (4, 4), jnp.zeros((4, 1)), jnp.zeros(1), feature_maps.Identity(16)
        ),
        "odd width",
        "(4, 1)",
    ),
    "no image": (lambda: feature_maps.ConvNet((8,), key=KEY), "a height, a width", "(8,)"),
    "no channels": (
        lambda: feature_maps.ConvNet((8, 8), (), key=KEY),
        "layers with",
        "channels=()",
    ),
    "strides": (
        lambda: feature_maps.ConvNet((8, 8), (4,), strides=(1, 2), key=KEY),
        "a positive stride per layer",
        "(1, 2)",
    ),
    "no layers": (lambda: feature_maps.MLP(3, (), key=KEY), "at least one layer", "widths=()"),
    "no width": (lambda: feature_maps.MLP(3, (4, 0), key=KEY), "positive width", "(4, 0)"),
    "no input": (lambda: feature_maps.MLP(0, (4,), key=KEY), "at least one visible", "n_visible=0"),
    "no depth": (
        lambda: feature_maps.ResidualMLP(3, 4, 0, key=KEY),
        "at least one layer",
        "widths=()",
    ),
    "no waves": (
        lambda: feature_maps.FourierFeatures(3, 0, key=KEY),
        "FourierFeatures(n_visible, n_frequencies)",
        "(0,)",
    ),
    "activation": (
        lambda: feature_maps.MLP(3, (4,), activation="swish", key=KEY),
        "'silu'",
        "'swish'",
    ),
    "vector matrix": (
        lambda: feature_maps.Affine(jnp.ones(3)),
        "a matrix of shape (features, visible)",
        "shape (3,)",
    ),
    "short offset": (
        lambda: feature_maps.Affine(jnp.ones((4, 3)), jnp.ones(3)),
        "offset of shape (4,)",
        "shape (3,)",
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_worded(name, unannotated):
    build, *words = MISUSES[name]
    with pytest.raises(InvalidInputError) as caught:
        build()
    for word in words:
        assert word in str(caught.value)
