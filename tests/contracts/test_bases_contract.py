"""Kind of truth: contract. Every public base through the same battery; a new base is one row.

Rectangle rules in two dimensions. Seeds: rows 0, draws keys 1 and 2.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.registry import final_subclasses, is_abstract
from exact import brute
from scipy.special import logsumexp

import harmonium.model as hm
from harmonium.errors import InvalidInputError
from harmonium.model.factor_mixture import FactorBase, FactorMixture

ANALYZERS = FactorMixture.from_loadings(
    np.array([0.4, 0.6]),
    np.array([[0.5, -1.0], [-0.5, 1.0]]),
    np.array([[[0.6], [0.3]], [[-0.4], [0.5]]]),
    np.array([[0.3, 0.5], [0.6, 0.2]]),
)

BASES = {
    "GaussianBase": hm.GaussianBase(2),
    "MixtureBase": hm.MixtureBase(brute.random_mixture(2)),
    "MixtureBase, one": hm.MixtureBase(brute.random_mixture(2, n_components=1)),
    "FactorBase": FactorBase(ANALYZERS),
    "MixtureBase, wide": hm.MixtureBase(hm.with_wide_component(brute.random_mixture(2))),
}
each_base = pytest.mark.parametrize("name", BASES)
TILTS = {"none": np.zeros(2), "some": np.array([1.4, -0.6])}
each_tilt = pytest.mark.parametrize("tilt", TILTS.values(), ids=TILTS.keys())
NODES, LOG_CELL = brute.grid(2, half_width=14.0, n_points=561)
N_DRAWS = 20_000


def log_density(base, tilt):
    """tilt·x - U(x) on the grid, and the log of its integral."""
    log_terms = NODES @ tilt - np.asarray(jax.vmap(base.energy)(jnp.asarray(NODES)))
    return log_terms, logsumexp(log_terms) + LOG_CELL


def as_single(tree):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


def test_every_base_has_a_row():
    found = final_subclasses(hm.AbstractBase, "model")
    assert found == {type(base).__name__ for base in BASES.values()}


def test_the_contract_itself_cannot_be_built():
    assert is_abstract(hm.AbstractBase)
    with pytest.raises(TypeError):
        hm.AbstractBase()


@each_base
def test_sizes_and_properties(name):
    base = BASES[name]
    assert base.n_visible == 2
    assert isinstance(base.has_modes, bool)
    assert base.energy(jnp.ones(2)).shape == ()


@each_tilt
@each_base
def test_the_log_partition_is_the_integral(name, tilt):
    base = BASES[name]
    _, expected = log_density(base, tilt)
    assert float(base.tilted(jnp.asarray(tilt))[0]) == pytest.approx(expected, abs=1e-9)


@each_tilt
@each_base
def test_the_tilted_mixture_is_the_normalized_integrand(name, tilt):
    base = BASES[name]
    log_partition, mixture = base.tilted(jnp.asarray(tilt))
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    expected = rows @ jnp.asarray(tilt) - jax.vmap(base.energy)(rows) - log_partition
    actual = jax.vmap(mixture.log_density)(rows)
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), atol=1e-10)
    assert logsumexp(np.asarray(mixture.log_weights)) == pytest.approx(0.0, abs=1e-12)
    if isinstance(mixture, FactorMixture):
        return
    unit = np.broadcast_to(np.eye(2), mixture.factors.shape)
    np.testing.assert_allclose(np.asarray(mixture.inverses @ mixture.factors), unit, atol=1e-10)


@each_tilt
@each_base
def test_the_conditional_has_the_moments_of_the_integrand(name, tilt):
    """Mean and variance by the rectangle rule; draws at 5 standard errors."""
    base = BASES[name]
    log_terms, log_partition = log_density(base, tilt)
    weights = np.exp(log_terms - log_partition + LOG_CELL)
    mean = weights @ NODES
    covariance = (NODES - mean).T @ (weights[:, None] * (NODES - mean))
    found = base.conditional(jnp.asarray(tilt))
    np.testing.assert_allclose(np.asarray(found.mean), mean, atol=1e-8)
    np.testing.assert_allclose(np.asarray(found.variance), np.diag(covariance), atol=1e-8)
    for seed, distribution in enumerate([found, base.tilted(jnp.asarray(tilt))[1]]):
        draws = np.asarray(distribution.sample(jax.random.key(1 + seed), N_DRAWS))
        assert draws.shape == (N_DRAWS, 2)
        brute.assert_within(draws, mean, label="mean")
        products = np.einsum("ri,rj->rij", draws - mean, draws - mean)
        brute.assert_within(products, covariance, label="covariance")


@each_base
def test_jit_and_vmap_change_nothing(name):
    base = BASES[name]
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    batch = eqx.filter_jit(eqx.filter_vmap(base.energy))(rows)
    log_partitions, mixtures = eqx.filter_jit(eqx.filter_vmap(base.tilted))(rows)
    for i, row in enumerate(rows):
        assert float(batch[i]) == pytest.approx(float(base.energy(row)), abs=1e-12)
        log_partition, mixture = base.tilted(row)
        assert float(log_partitions[i]) == pytest.approx(float(log_partition), abs=1e-12)
        np.testing.assert_allclose(np.asarray(mixtures.means[i]), np.asarray(mixture.means))


@each_base
def test_slopes_exist_everywhere(name):
    base = BASES[name]
    for scale in (0.0, 1.0, 1e3):
        slope = jax.grad(base.energy)(scale * jnp.ones(2))
        assert np.all(np.isfinite(np.asarray(slope)))


@each_base
def test_single_precision_stays_single(name):
    base = as_single(BASES[name])
    x = jnp.asarray([0.3, -0.7], jnp.float32)
    log_partition, mixture = base.tilted(x)
    found = base.conditional(x)
    arrays = (base.energy(x), log_partition, *jax.tree.leaves(mixture), found.mean, found.variance)
    drawn = found.sample(jax.random.key(1), 3)
    assert {array.dtype for array in (*arrays, drawn)} == {jnp.dtype("float32")}
    assert float(base.energy(x)) == pytest.approx(
        float(BASES[name].energy(x.astype(jnp.float64))), abs=1e-5
    )


@each_base
def test_pytree_round_trip(name):
    leaves, structure = jax.tree.flatten(BASES[name])
    assert eqx.tree_equal(jax.tree.unflatten(structure, leaves), BASES[name])


@each_base
def test_a_wrong_tilt_is_named(name, unannotated):
    with pytest.raises(InvalidInputError, match=r"base.tilted\(tilt\): expected tilt of shape"):
        BASES[name].tilted(jnp.zeros(3))


@each_base
def test_it_is_a_base_of_a_model(name):
    model = hm.Harmonium(2, 3, base=BASES[name], key=jax.random.key(0))
    assert eqx.tree_equal(model.base, BASES[name])
    parameters, _ = hm.split_trainable(model)
    assert not jax.tree.leaves(parameters.base)


def test_the_gaussian_base_holds_no_arrays():
    assert not jax.tree.leaves(hm.GaussianBase(3))
