"""Kind of truth: contract. Every public kernel through the same battery; a new kernel is one row.

Seeds: keys 0 to 3.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.registry import final_subclasses, is_abstract
from exact import brute

from harmonium.errors import NotFactorizedError
from harmonium.sampling import MALA, AbstractKernel, BlockGibbs, Langevin
from harmonium.sampling.chains import adapt, init_chains, run_chains

AFFINE = brute.affine_model("bernoulli", n_visible=3)
DEEP = brute.deep_model("spin", n_visible=3)

# kernel, model
KERNELS = {
    "MALA": (MALA(0.1), DEEP),
    "Langevin": (Langevin(0.05), DEEP),
    "BlockGibbs": (BlockGibbs(), AFFINE),
}
each_kernel = pytest.mark.parametrize("name", KERNELS)
POSITION = jnp.asarray([0.3, -0.7, 1.1])


def same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def test_every_kernel_has_a_row():
    assert final_subclasses(AbstractKernel, "sampling") == set(KERNELS)


def test_the_contract_itself_cannot_be_built():
    assert is_abstract(AbstractKernel)
    with pytest.raises(TypeError):
        AbstractKernel()


@each_kernel
def test_init_and_step_give_states_of_one_shape(name):
    kernel, model = KERNELS[name]
    state = kernel.init(jax.random.key(0), model, POSITION)
    np.testing.assert_array_equal(np.asarray(state.position), np.asarray(POSITION))
    expected = brute.free_energies(model, np.asarray(POSITION)[None, :])[0]
    assert float(state.free_energy) == pytest.approx(expected, abs=1e-10)
    moved, info = kernel.step(jax.random.key(1), model, state)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(moved), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        assert np.all(np.isfinite(np.asarray(after)))
    assert info.acceptance.shape == kernel.step_size.shape
    assert np.all((np.asarray(info.acceptance) >= 0) & (np.asarray(info.acceptance) <= 1))


@each_kernel
def test_jit_is_no_jit(name):
    kernel, model = KERNELS[name]
    state = kernel.init(jax.random.key(0), model, POSITION)
    plain = kernel.step(jax.random.key(1), model, state)
    same(eqx.filter_jit(kernel.step)(jax.random.key(1), model, state), plain)
    same(eqx.filter_jit(kernel.init)(jax.random.key(0), model, POSITION), state)


@each_kernel
def test_vmap_is_a_loop(name):
    kernel, model = KERNELS[name]
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    keys = jax.random.split(jax.random.key(2), 4)
    states = init_chains(jax.random.key(3), model, kernel, positions)
    moved, info = jax.vmap(kernel.step, in_axes=(0, None, 0))(keys, model, states)
    for chain in range(4):
        state = kernel.init(keys[chain], model, positions[chain])
        one = kernel.step(keys[chain], model, state)
        same(jax.tree.map(lambda leaf, c=chain: leaf[c], (moved, info)), one)


@each_kernel
def test_the_runner_is_a_loop_over_steps(name):
    kernel, model = KERNELS[name]
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
    states = init_chains(jax.random.key(3), model, kernel, positions)
    result = eqx.filter_jit(run_chains)(jax.random.key(2), model, kernel, states, n_steps=4)
    acceptance = []
    for key in jax.random.split(jax.random.key(2), 4):
        keys = jax.random.split(key, 3)
        states, info = jax.vmap(kernel.step, in_axes=(0, None, 0))(keys, model, states)
        acceptance.append(np.mean(np.asarray(info.acceptance), axis=0))
    same(result.states, states)
    same(result.acceptance, np.mean(acceptance, axis=0))
    # Without adaptation the kernel comes back as it went in.
    same(result.kernel, kernel)


@each_kernel
def test_the_same_key_gives_the_same_step_and_another_key_another(name):
    kernel, model = KERNELS[name]
    state = kernel.init(jax.random.key(0), model, POSITION)
    first, again = (kernel.step(jax.random.key(1), model, state)[0] for _ in range(2))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    ends = {
        tuple(np.asarray(kernel.step(jax.random.key(seed), model, state)[0].position).tolist())
        for seed in range(8)
    }
    assert len(ends) > 4


@each_kernel
def test_pytree_round_trip(name):
    kernel, _ = KERNELS[name]
    leaves, structure = jax.tree.flatten(kernel)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(kernel)
    same(again, kernel)
    assert name in repr(kernel)


@each_kernel
def test_float32_models_stay_float32(name):
    kernel, model = KERNELS[name]
    model, kernel = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
        (model, kernel),
    )
    state = kernel.init(jax.random.key(0), model, POSITION.astype(jnp.float32))
    moved, _ = kernel.step(jax.random.key(1), model, state)
    assert {leaf.dtype for leaf in jax.tree.leaves(moved)} == {jnp.dtype("float32")}


@each_kernel
def test_only_kernels_with_a_target_are_adapted(name):
    kernel, _ = KERNELS[name]
    target = kernel.target_acceptance
    for acceptance in (0.0, 1.0):
        adapted = adapt(kernel, jnp.asarray(acceptance), 0.1)
        ratio = np.asarray(adapted.step_size) / np.asarray(kernel.step_size)
        expected = 1.0 if target is None else np.exp(0.1 * (acceptance - target))
        np.testing.assert_allclose(ratio, expected)
        assert adapted.step_size.dtype == kernel.step_size.dtype
    same(adapt(kernel, jnp.asarray(1.0), 0.0), kernel)


@pytest.mark.parametrize("step_size", [1e200, 1e308])
def test_a_proposal_that_is_not_finite_is_rejected(step_size):
    # F overflows to inf, or the position itself to NaN: the chain stays, and so does its info.
    kernel = MALA(step_size)
    state = kernel.init(jax.random.key(0), DEEP, POSITION)
    moved, info = kernel.step(jax.random.key(1), DEEP, state)
    same(moved, state)
    assert float(info.acceptance) == 0.0


def test_block_gibbs_says_that_it_needs_an_affine_map():
    with pytest.raises(NotFactorizedError, match="does not factorize for the feature map MLP"):
        BlockGibbs().init(jax.random.key(0), DEEP, POSITION)
