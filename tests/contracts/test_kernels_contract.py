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

from harmonium.errors import InvalidInputError, NotFactorizedError
from harmonium.model import Path, center_at
from harmonium.sampling import (
    HMC,
    MALA,
    AbstractKernel,
    Alternate,
    BlockGibbs,
    CrankNicolsonMALA,
    GibbsLangevin,
    Independence,
    Langevin,
    ReplicaExchange,
)
from harmonium.sampling.chains import adapt, init_chains, run_chains
from harmonium.sampling.hamiltonian import leapfrog
from harmonium.sampling.kernel import PositionState, refresh_free_energy

AFFINE = brute.affine_model("bernoulli", n_visible=3)
DEEP = brute.deep_model("spin", n_visible=3)
# Close to its base, so that jumps are accepted.
BASED = brute.on_mixture(brute.deep_model("bernoulli", n_visible=3, scale=0.3))
AFFINE_BASED = brute.on_mixture(AFFINE)

LEVELS = jnp.asarray([0.0, 0.3, 0.6, 1.0])
CENTER = center_at(DEEP, jnp.asarray([[0.5, -0.2, 0.9], [1.0, 0.4, 0.3]]))

# kernel, model
KERNELS = {
    "MALA": (MALA(0.1), DEEP),
    "Langevin": (Langevin(0.05), DEEP),
    "BlockGibbs": (BlockGibbs(), AFFINE),
    "HMC": (HMC(0.2, n_leapfrog=4), DEEP),
    "GibbsLangevin": (GibbsLangevin(0.1), DEEP),
    "CrankNicolsonMALA": (CrankNicolsonMALA(0.1), DEEP),
    "ReplicaExchange": (ReplicaExchange(MALA(0.1), LEVELS, center=CENTER), DEEP),
    "Independence": (Independence(), BASED),
    "Alternate": (Alternate(MALA(0.02), n_moves=2), BASED),
    "Alternate, affine": (Alternate(BlockGibbs(), n_moves=1), AFFINE),
    "MALA on a mixture": (MALA(0.02), BASED),
    "BlockGibbs on a mixture": (BlockGibbs(), AFFINE_BASED),
    "ReplicaExchange of jumps": (ReplicaExchange(Alternate(MALA(0.02), n_moves=1), LEVELS), BASED),
    "ReplicaExchange, affine": (ReplicaExchange(BlockGibbs(), LEVELS, n_moves=2), AFFINE),
}
each_kernel = pytest.mark.parametrize("name", KERNELS)
POSITION = jnp.asarray([0.3, -0.7, 1.1])


# Compiled once per kernel; `test_jit_is_no_jit` says that this changes nothing.
@eqx.filter_jit
def first_state(key, model, kernel, position):
    return kernel.init(key, model, position)


@eqx.filter_jit
def retargeted(key, model, kernel, state):
    return kernel.retarget(key, model, state)


@eqx.filter_jit
def one_step(key, model, kernel, state):
    return kernel.step(key, model, state)


all_states = eqx.filter_jit(init_chains)


@eqx.filter_jit
def all_steps(keys, model, kernel, states):
    return jax.vmap(kernel.step, in_axes=(0, None, 0))(keys, model, states)


def same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def dtypes(tree):
    return [leaf.dtype for leaf in jax.tree.leaves(tree)]


def test_every_kernel_has_a_row():
    assert final_subclasses(AbstractKernel, "sampling") == {
        type(kernel).__name__ for kernel, _ in KERNELS.values()
    }


def test_the_contract_itself_cannot_be_built():
    assert is_abstract(AbstractKernel)
    with pytest.raises(TypeError):
        AbstractKernel()


@each_kernel
def test_init_and_step_give_states_of_one_shape(name):
    kernel, model = KERNELS[name]
    state = first_state(jax.random.key(0), model, kernel, POSITION)
    np.testing.assert_array_equal(np.asarray(state.position), np.asarray(POSITION))
    expected = brute.free_energies(model, np.asarray(POSITION)[None, :])[0]
    assert float(state.free_energy) == pytest.approx(expected, abs=1e-10)
    moved, info = one_step(jax.random.key(1), model, kernel, state)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(moved), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        assert np.all(np.isfinite(np.asarray(after)))
    assert info.acceptance.shape == kernel.step_size.shape
    assert np.all((np.asarray(info.acceptance) >= 0) & (np.asarray(info.acceptance) <= 1))


@each_kernel
def test_follow_keeps_positions_and_evaluates_them_anew(name):
    kernel, model = KERNELS[name]
    other = brute.with_parameters(model, np.random.default_rng(7))
    state = first_state(jax.random.key(0), model, kernel, POSITION)
    for seed in range(3):
        state, _ = one_step(jax.random.key(seed), model, kernel, state)
    followed = retargeted(jax.random.key(1), other, kernel, state)
    assert jax.tree.structure(followed) == jax.tree.structure(state)
    assert dtypes(followed) == dtypes(state)
    np.testing.assert_array_equal(np.asarray(followed.position), np.asarray(state.position))
    expected = brute.free_energies(other, np.asarray(state.position)[None, :])[0]
    assert float(followed.free_energy) == pytest.approx(expected, abs=1e-9)
    assert abs(expected - float(state.free_energy)) > 1e-3
    if hasattr(followed, "gradient"):
        expected = -np.asarray(other.score(state.position))
        np.testing.assert_allclose(np.asarray(followed.gradient), expected, rtol=1e-9)
    # Back under the first model nothing is lost: where replicas are and have been too.
    same(retargeted(jax.random.key(1), model, kernel, followed), state)


@each_kernel
def test_settled_states_stand_where_they_stood(name):
    kernel, model = KERNELS[name]
    state = first_state(jax.random.key(0), model, kernel, POSITION)
    state, _ = one_step(jax.random.key(1), model, kernel, state)
    same(refresh_free_energy(model, state), state)
    if isinstance(state, PositionState):
        # F of another place, as after steps that nobody asked for it.
        stale = state._replace(free_energy=state.free_energy + 1)
        same(refresh_free_energy(model, stale), state)


def test_replicas_follow_each_under_its_own_level():
    kernel, model = KERNELS["ReplicaExchange"]
    other = brute.with_parameters(model, np.random.default_rng(7))
    positions = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)))
    for target in (model, other):
        placed = kernel.place(jax.random.key(0), model, positions)
        followed = kernel.retarget(jax.random.key(0), target, placed)
        np.testing.assert_array_equal(np.asarray(followed.replicas.position), np.asarray(positions))
        path = Path(target, kernel.center)
        for level, beta in enumerate(LEVELS):
            expected = brute.free_energies(path.at(beta), np.asarray(positions)[level : level + 1])
            actual = float(followed.replicas.free_energy[level])
            assert actual == pytest.approx(expected[0], abs=1e-9)


@each_kernel
@pytest.mark.slow
def test_jit_is_no_jit(name):
    kernel, model = KERNELS[name]
    state = kernel.init(jax.random.key(0), model, POSITION)
    plain = kernel.step(jax.random.key(1), model, state)
    same(one_step(jax.random.key(1), model, kernel, state), plain)
    same(eqx.filter_jit(kernel.init)(jax.random.key(0), model, POSITION), state)


@each_kernel
def test_vmap_is_a_loop(name):
    kernel, model = KERNELS[name]
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    keys = jax.random.split(jax.random.key(2), 4)
    states = all_states(jax.random.key(3), model, kernel, positions)
    moved, info = all_steps(keys, model, kernel, states)
    for chain in range(4):
        state = first_state(keys[chain], model, kernel, positions[chain])
        one = one_step(keys[chain], model, kernel, state)
        same(jax.tree.map(lambda leaf, c=chain: leaf[c], (moved, info)), one)


@each_kernel
@pytest.mark.slow
def test_the_runner_is_a_loop_over_steps(name):
    kernel, model = KERNELS[name]
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    states = all_states(jax.random.key(3), model, kernel, positions)
    result = eqx.filter_jit(run_chains)(jax.random.key(2), model, kernel, states, n_steps=4)
    acceptance = []
    for key in jax.random.split(jax.random.key(2), 4):
        keys = jax.random.split(key, 4)
        states, info = all_steps(keys, model, kernel, states)
        acceptance.append(np.mean(np.asarray(info.acceptance), axis=0))
    same(result.states, states)
    same(result.acceptance, np.mean(acceptance, axis=0))
    # Without adaptation the kernel comes back as it went in.
    same(result.kernel, kernel)


@each_kernel
def test_the_same_key_gives_the_same_step_and_another_key_another(name):
    kernel, model = KERNELS[name]
    state = first_state(jax.random.key(0), model, kernel, POSITION)
    first, again = (one_step(jax.random.key(1), model, kernel, state)[0] for _ in range(2))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    ends = {
        tuple(one_step(jax.random.key(seed), model, kernel, state)[0].position.tolist())
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
    assert type(kernel).__name__ in repr(kernel)


@each_kernel
@pytest.mark.slow
def test_float32_models_stay_float32(name):
    kernel, model = KERNELS[name]
    model, kernel = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
        (model, kernel),
    )
    state = kernel.init(jax.random.key(0), model, POSITION.astype(jnp.float32))
    moved, _ = one_step(jax.random.key(1), model, kernel, state)
    floats = jax.tree.leaves(eqx.filter(moved, eqx.is_inexact_array))
    assert {leaf.dtype for leaf in floats} == {jnp.dtype("float32")}
    assert dtypes(moved) == dtypes(state)


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
@pytest.mark.parametrize("family", [MALA, HMC, GibbsLangevin])
def test_a_proposal_that_is_not_finite_is_rejected(family, step_size):
    # F overflows to inf, or the position itself to NaN: the chain stays, and so does its info.
    kernel = family(step_size)
    state = first_state(jax.random.key(0), DEEP, kernel, POSITION)
    moved, info = one_step(jax.random.key(1), DEEP, kernel, state)
    same(moved, state)
    assert float(info.acceptance) == 0.0


def test_block_gibbs_says_that_it_needs_an_affine_map():
    with pytest.raises(NotFactorizedError, match="does not factorize for the feature map MLP"):
        BlockGibbs().init(jax.random.key(0), DEEP, POSITION)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: HMC(n_leapfrog=0), "HMC.*at least one leapfrog step; got n_leapfrog=0"),
        (lambda: GibbsLangevin(n_langevin=0), "GibbsLangevin.*at least one Langevin step; got"),
        (
            lambda: Alternate(MALA(), n_moves=0),
            "at least one move between jumps; got MALA, n_moves=0",
        ),
        (lambda: Alternate(ReplicaExchange()), "a kernel of one replica.*got ReplicaExchange"),
    ],
)
def test_a_kernel_that_could_not_move_is_refused(build, words):
    with pytest.raises(InvalidInputError, match=words):
        build()


def test_leapfrog_runs_backwards():
    # With the gradient of the start reused, a stale one would break this.
    start = HMC().init(jax.random.key(0), DEEP, POSITION)
    momentum = jnp.asarray([1.0, 0.4, -0.8])
    end, final = leapfrog(DEEP.free_energy, start, momentum, jnp.asarray(0.3), 5)
    assert np.linalg.norm(np.asarray(end.position - start.position)) > 0.5
    same(leapfrog(DEEP.free_energy, end, -final, jnp.asarray(0.3), 5), (start, -momentum))


def test_leapfrog_keeps_the_energy_to_second_order():
    start = HMC().init(jax.random.key(0), DEEP, POSITION)
    momentum = jnp.asarray([1.0, 0.4, -0.8])

    def error(n_leapfrog):
        step_size = jnp.asarray(1.0 / n_leapfrog)
        end, final = leapfrog(DEEP.free_energy, start, momentum, step_size, n_leapfrog)
        change = end.free_energy - start.free_energy + (final @ final - momentum @ momentum) / 2
        return abs(float(change))

    assert error(32) / error(64) == pytest.approx(4.0, rel=0.05)
