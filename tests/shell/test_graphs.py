"""Kind of truth: the program itself. Graphs of ONNX beside the programs that they are made of."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from harmonium.errors import ExportError, InvalidInputError
from harmonium.export import control, rules, shapes  # noqa: F401  # Their rules join the others.
from harmonium.export.graphs import to_onnx
from harmonium.model import feature_maps

ROWS = np.random.default_rng(0).normal(size=(7, 3))
WEIGHTS = np.random.default_rng(1).normal(size=(4, 3))
PLACES = np.array([2, 0])


def scanned(rows):
    """A loop over stored slices, with a state and what it keeps."""

    def turn(state, weights):
        state = jnp.tanh(state + rows @ weights)
        return state, jnp.sum(state)

    state, kept = jax.lax.scan(turn, jnp.zeros(rows.shape[0]), WEIGHTS)
    return state + jnp.sum(kept)


def halved(rows):
    """A loop that ends when the rows say so."""
    return jax.lax.while_loop(
        lambda state: jnp.max(state) > 0.1, lambda state: state / 2, jnp.sum(rows * rows, axis=1)
    )


def branched(rows):
    total = jnp.sum(rows)
    return jax.lax.cond(total > 0, lambda: rows[:, 0] + total, lambda: rows[:, 1])


def updated(rows):
    place = jnp.argmax(rows[0])
    filled = jax.lax.dynamic_update_index_in_dim(rows, rows[:, 0] * 0 + 5, place, 1)
    return jnp.cumsum(filled, axis=1)[:, 1] + jax.lax.dynamic_index_in_dim(rows, place, 1, False)


def taken(rows):
    order = jnp.where(rows > 0, 2, 0)
    beyond = jnp.take_along_axis(rows, order + 2, axis=1)
    inside = jnp.take_along_axis(rows, order, axis=1)
    return (
        jnp.sum(inside + jnp.where(jnp.isnan(beyond), 7.0, beyond), axis=1) + rows[:, PLACES][:, 1]
    )


def elementary(rows):
    x = jnp.abs(rows) + 0.1
    odd = jnp.isfinite(rows) & ~(rows > 5) | (rows != rows)
    found = jax.nn.gelu(rows, approximate=False) + jnp.arcsinh(rows) + jnp.expm1(rows)
    found += jnp.round(rows) + jax.lax.rsqrt(x) + x**3 + jnp.clip(rows, -0.5, 0.5) + jnp.sinh(rows)
    found += jax.scipy.special.erfc(rows) + jax.nn.softplus(rows) + jnp.cbrt(rows) + jnp.exp2(rows)
    any_large = jnp.any(rows > 1, axis=1) | jnp.all(rows > 0, axis=1)
    return jnp.sum(jnp.where(odd, found, 0.0), axis=1) + any_large.astype(rows.dtype)


def moved(rows):
    square = jnp.einsum("ri,rj->rij", rows, rows)
    turned = jnp.flip(jnp.swapaxes(square, 1, 2), axis=1)
    stacked = jnp.stack([turned, square], axis=1).reshape(rows.shape[0], -1)
    return jnp.max(stacked[:, ::2], axis=1) + jnp.arange(rows.shape[0]) + jnp.prod(rows, axis=1)


def mapped(feature_map):
    return lambda rows: jnp.sum(jax.vmap(feature_map)(rows), axis=1)


KEY = jax.random.key(0)
PROGRAMS = {
    **{own.__name__: own for own in (scanned, halved, branched, updated, taken, elementary, moved)},
    "MLP": mapped(feature_maps.MLP(3, (8, 4), key=KEY)),
    "FourierFeatures": mapped(feature_maps.FourierFeatures(3, 4, key=KEY)),
    "ResidualMLP": mapped(feature_maps.ResidualMLP(3, 8, 2, activation="gelu", key=KEY)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_graph_computes_what_its_program_does(name):
    with jax.enable_x64(True):
        wanted = np.asarray(PROGRAMS[name](jnp.asarray(ROWS)))
        written = to_onnx(PROGRAMS[name], 3)
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    found = session.run(None, {"values": ROWS})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
    # The number of rows is free.
    assert session.run(None, {"values": ROWS[:2]})[0].shape == (2,)


def test_an_operation_without_a_rule_is_named():
    with jax.enable_x64(True), pytest.raises(ExportError, match="'sort'.*stablehlo"):
        to_onnx(lambda rows: jnp.sort(rows, axis=1)[:, 0], 3)


def test_without_onnx_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'harmonium\[export\]'"):
        to_onnx(lambda rows: rows[:, 0], 3)
