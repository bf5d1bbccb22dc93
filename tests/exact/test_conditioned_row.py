"""Rows with known coordinates. Kind of truth: block formulas, closed forms, then 5 sigma for
weights.

Models are enumerable and affine, coordinates those of x = M y with a matrix that is not symmetric.
Seeds: models 5, keys as written.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

from harmonium.sampling.conditioned_row import ConditionedRow, open_log_masses, open_rows

NAN = np.nan
MATRIX = np.array([[1.1, 0.3, -0.2], [-0.4, 0.8, 0.1], [0.2, 0.5, 1.3]])
KNOWN = {
    "two open": [0.3, NAN, NAN],
    "the ends open": [NAN, 0.7, NAN],
    "one open": [0.3, NAN, -0.5],
    "all open": [NAN, NAN, NAN],
    "none open": [0.3, -0.2, 1.1],
}
each = pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN.keys())
N_ROWS = 64


def small_model(alphabet="bernoulli"):
    """Three visible and three hidden units near the base, asymmetric."""
    model = brute.affine_model(alphabet, n_visible=3, n_hidden=3, seed=5, scale=0.3)
    return eqx.tree_at(lambda m: m.visible_bias, model, jnp.asarray([0.3, -0.6, 0.2]))


def opened(known, n_rows=1):
    """The same row several times; open cells hold what must not matter."""
    known = np.tile(known, (n_rows, 1))
    rows = jnp.asarray(np.where(np.isnan(known), 7.0, known))
    return open_rows(rows, jnp.asarray(np.isnan(known)), jnp.asarray(MATRIX))


def one(known):
    return jax.tree.map(lambda leaf: leaf[0], opened(known))


def log_masses(key, model, known, n_draws=500, n_rows=N_ROWS):
    rows = opened(known, n_rows)
    return open_log_masses(jax.random.key(key), model, jnp.asarray(MATRIX), rows, n_draws)


@each
def test_the_volume_is_that_of_the_position(known):
    row, gap = one(known), np.isnan(known)
    jacobian = np.asarray(jax.jacobian(row.position)(jnp.zeros(3)))
    np.testing.assert_array_equal(jacobian[~gap], 0.0)
    np.testing.assert_array_equal(jacobian[:, ~gap], 0.0)
    expected = np.linalg.slogdet(jacobian[np.ix_(gap, gap)])[1]
    assert row.log_volume == pytest.approx(expected, abs=1e-10)


@each
def test_known_coordinates_stay(known):
    known, row = np.array(known), one(known)
    for t in (-30.0, 0.4, 30.0):
        position = np.asarray(row.position(jnp.full(3, t)))
        np.testing.assert_array_equal(position[~np.isnan(known)], known[~np.isnan(known)])
    drawn = np.asarray(row.draw_reference(jax.random.key(0)))
    np.testing.assert_array_equal(drawn != 0, np.isnan(known))


def test_the_reference_is_the_conditioned_gaussian():
    """Of N(0, (2 MᵀM)^-1) given the first coordinate, from the block formula; normalized in t."""
    row = one(KNOWN["two open"])
    covariance = np.linalg.inv(2 * MATRIX.T @ MATRIX)
    gain = covariance[1:, :1] / covariance[0, 0]
    np.testing.assert_allclose(row.position(jnp.zeros(3))[1:], gain[:, 0] * 0.3, rtol=1e-10)
    factor = np.asarray(row.factor)[1:, 1:]
    expected = covariance[1:, 1:] - gain @ covariance[:1, 1:]
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-10)
    axis = jnp.linspace(-8, 8, 161)
    nodes = jnp.stack(jnp.meshgrid(jnp.zeros(1), axis, axis), axis=-1).reshape(-1, 3)
    total = np.exp(-np.asarray(jax.vmap(row.reference_energy)(nodes))).sum() * 0.1**2
    assert total == pytest.approx(1.0, abs=1e-6)


@each
def test_on_the_gaussian_every_weight_is_the_mass(known):
    """W = 0 and b = 0: no variance is left, whatever is open."""
    model = eqx.tree_at(
        lambda m: (m.weights, m.visible_bias), small_model(), replace_fn=jnp.zeros_like
    )
    expected = brute.Mixture(model).conditional(np.array(known), MATRIX).log_mass
    found = log_masses(1, model, known, n_draws=1, n_rows=3)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@each
@pytest.mark.parametrize("alphabet", brute.ALPHABETS)
def test_masses_are_unbiased(alphabet, known):
    """Key 2: exp of the estimates has the mass as its mean over rows, within 5 standard errors."""
    model = small_model(alphabet)
    expected = brute.Mixture(model).conditional(np.array(known), MATRIX).log_mass
    ratios = np.exp(np.asarray(log_masses(2, model, known)) - expected)
    if not np.isnan(known).any():
        np.testing.assert_allclose(ratios, 1.0, rtol=1e-10)
        return
    brute.assert_within(ratios, 1.0, label="mass")


@pytest.mark.parametrize("fault", ["volume", "reference", "position"])
def test_faults_are_caught(monkeypatch, fault):
    """What these tests rest on, wrong by a little on purpose; key 3."""
    model, known = small_model(), np.array(KNOWN["two open"])
    expected = brute.Mixture(model).conditional(known, MATRIX).log_mass
    if fault == "volume":
        energy = ConditionedRow.reference_energy
        monkeypatch.setattr(
            ConditionedRow, "reference_energy", lambda self, t: energy(self, t) + 0.05
        )
    elif fault == "reference":
        energy = ConditionedRow.reference_energy
        monkeypatch.setattr(
            ConditionedRow, "reference_energy", lambda self, t: energy(self, 1.1 * t)
        )
    else:
        position = ConditionedRow.position
        monkeypatch.setattr(ConditionedRow, "position", lambda self, t: position(self, 1.1 * t))
    jax.clear_caches()
    ratios = np.exp(np.asarray(log_masses(3, model, known)) - expected)
    jax.clear_caches()
    with pytest.raises(AssertionError, match="mass"):
        brute.assert_within(ratios, 1.0, label="mass")
