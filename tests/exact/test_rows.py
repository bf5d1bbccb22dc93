"""Training rows with missing cells. Kind of truth: sums over h, differences of them, and 5 sigma for moves.

Rows are x = M y + noise with M not symmetric and noise of their own; models are enumerable and affine. Seeds: models 5
and 93, NumPy and keys as written.
"""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from exact.test_gradient import differences, weighted_nodes

from harmonium.learning.rows import CompleteRows, IncompleteRows
from harmonium.model.conditionals import exact_conditional
from harmonium.model.feature_maps import Affine

NAN = np.nan
MATRIX = np.array([[1.1, 0.3], [-0.4, 0.8]])
PATTERNS = np.array([[0.3, NAN], [NAN, -0.9], [NAN, NAN], [0.5, 1.0]])
NOISE = np.array([[0.1, -0.3], [0.2, 0.0], [-0.2, 0.4], [0.0, 0.0]])
N_COPIES = 2000


def shifted(model, noise):
    """The model of x whose F is that of `model` at x + noise, but for the constant that comes second.

    (x + n)·(x + n) - b·(x + n) = x·x - (b - 2n)·x + n·n - b·n, and A(x + n) + d has the offset d + A n.
    """
    matrix, offset = model.affine_form()
    noise = jnp.asarray(noise)
    moved = eqx.tree_at(
        lambda m: (m.visible_bias, m.feature_map),
        model,
        (model.visible_bias - 2 * noise, Affine(matrix, offset + matrix @ noise)),
    )
    return moved, float(noise @ noise - model.visible_bias @ noise)


def truth(model, pattern):
    """p(missing | observed) of one of the patterns, and log ∫ exp(-F) over what is missing."""
    moved, constant = shifted(model, NOISE[pattern])
    found = exact_conditional(moved, PATTERNS[pattern], MATRIX)
    return found, found.log_mass - constant


def test_the_shifted_model_is_the_model_of_shifted_rows():
    model = brute.balanced_model("bernoulli")
    moved, constant = shifted(model, NOISE[0])
    rows = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(
        brute.free_energies(moved, rows) + constant,
        brute.free_energies(model, rows + NOISE[0]),
        rtol=1e-12,
    )


def make_rows(filling, n_copies=N_COPIES):
    """Rows of all patterns in turn, the missing cells filled as given, (copies, patterns, 2)."""
    known = np.broadcast_to(PATTERNS, filling.shape)
    standard = np.where(np.isnan(known), filling, known).reshape(-1, 2)
    return IncompleteRows(
        jnp.asarray(standard),
        jnp.asarray(np.isnan(known).reshape(-1, 2)),
        jnp.asarray(np.tile(NOISE, (n_copies, 1))),
        jnp.asarray(MATRIX),
        jax.random.key(0),
    )


def exact_filling(model, seed):
    """Independent draws of the truth."""
    rng = np.random.default_rng(seed)
    draws = [truth(model, pattern)[0].draw(N_COPIES, rng) for pattern in range(len(PATTERNS))]
    return np.stack(draws, axis=1)


def wrong_filling(seed):
    """What the model says nothing of."""
    return np.random.default_rng(seed).normal(size=(N_COPIES, len(PATTERNS), 2))


@eqx.filter_jit
def advance(key, rows, model, n_draws):
    """As many batches as there are keys, each as large as the table; the last of them, and what is carried."""

    def step(carry, key):
        batch, carry = rows.draw(key, model, carry, rows.standard.shape[0])
        return carry, batch

    carry, batches = jax.lax.scan(step, rows.start(), jax.random.split(key, n_draws))
    return batches[-1], carry


def assert_conditional(model, standard):
    """Mean and second moments of the missing cells of every pattern, over copies, to 5 standard errors."""
    standard = np.asarray(standard).reshape(N_COPIES, len(PATTERNS), 2)
    for pattern, row in enumerate(PATTERNS):
        gap = np.isnan(row)
        if gap.any():
            found, _ = truth(model, pattern)
            second = np.einsum("s,si,sj->ij", found.weights, found.means, found.means)
            second = (second + found.roots[0] @ found.roots[0].T)[np.ix_(gap, gap)]
            draws = standard[:, pattern][:, gap]
            brute.assert_within(draws, (found.weights @ found.means)[gap], label="mean")
            products = np.einsum("ri,rj->rij", draws, draws)
            brute.assert_within(products, second, label="second moments")


@pytest.mark.parametrize("alphabet", brute.ALPHABETS)
def test_moves_leave_the_conditional_invariant(alphabet):
    """Seed 1, key 2: from exact draws, and from wrong ones on towards them."""
    model = brute.balanced_model(alphabet)
    rows = make_rows(exact_filling(model, seed=1))
    _, carry = advance(jax.random.key(2), rows, model, 60)
    assert_conditional(model, carry.standard)
    assert not np.array_equal(carry.standard, rows.standard)
    wrong = make_rows(wrong_filling(seed=3))
    with pytest.raises(AssertionError):
        assert_conditional(model, wrong.standard)
    _, carry = advance(jax.random.key(4), wrong, model, 60)
    assert_conditional(model, carry.standard)


def test_observed_cells_never_move():
    model = brute.balanced_model("bernoulli")
    rows = make_rows(wrong_filling(seed=5))
    batch, carry = advance(jax.random.key(6), rows, model, 60)
    seen = ~np.asarray(rows.missing)
    np.testing.assert_array_equal(np.asarray(carry.standard)[seen], np.asarray(rows.standard)[seen])
    # Every row of a batch has the observed cells, and the noise, of one of the patterns.
    found = np.zeros(len(batch), int)
    for row, noise in zip(PATTERNS, NOISE, strict=True):
        standard = (np.asarray(batch) - noise) @ np.linalg.inv(MATRIX).T
        found += np.all(np.isclose(standard, row, rtol=1e-9) | np.isnan(row), axis=1)
    assert np.all(found >= 1)
    assert carry.log_step != rows.start().log_step


def observed_log_likelihood(model):
    """Mean over the patterns of log p(observed cells), times |det M|."""
    masses = [truth(model, pattern)[1] for pattern in range(len(PATTERNS))]
    return np.mean(masses) - brute.Mixture(model).log_partition


def test_batches_give_the_gradient_of_the_observed_likelihood():
    """Seed 7, key 8. The model term is exact, by a grid; the data term has the chance of the moves alone."""
    model = brute.balanced_model("bernoulli")
    expected = differences(model, observed_log_likelihood)
    nodes, log_weights = weighted_nodes(model, 121)

    @jax.jit
    def slopes(batch):
        def slope(x):
            gradient = eqx.filter_grad(lambda m: m.free_energy(x))(model)
            return jax.flatten_util.ravel_pytree(gradient)[0]

        return jax.vmap(slope)(batch)

    of_model = np.asarray(jax.nn.softmax(log_weights) @ slopes(nodes))
    rows = make_rows(exact_filling(model, seed=7))
    batch, _ = advance(jax.random.key(8), rows, model, 60)
    brute.assert_within(of_model - np.asarray(slopes(batch)), expected, label="gradient")
    # The rows as they may be filled at first have another gradient.
    first = make_rows(wrong_filling(seed=9)).completed
    with pytest.raises(AssertionError, match="gradient"):
        brute.assert_within(of_model - np.asarray(slopes(first)), expected, label="gradient")


def test_free_energies_of_the_gaussian_start_are_exact():
    """W = 0 and b = 0, as training starts: every draw has the same weight where there is no noise."""
    model = brute.balanced_model("bernoulli")
    model = eqx.tree_at(lambda m: (m.weights, m.visible_bias), model, replace_fn=jnp.zeros_like)
    filled = np.where(np.isnan(PATTERNS), 7.0, PATTERNS)
    rows = IncompleteRows(
        jnp.asarray(filled),
        jnp.asarray(np.isnan(PATTERNS)),
        jnp.zeros((4, 2)),
        jnp.asarray(MATRIX),
        jax.random.key(10),
    )
    expected = -np.mean([exact_conditional(model, row, MATRIX).log_mass for row in PATTERNS])
    assert rows.mean_free_energy(model) == pytest.approx(expected, abs=1e-12)


def test_free_energies_are_a_little_high_otherwise():
    """Key 0, 512 rows of 16 draws each: high by half the variance of their mean, and by chance."""
    model = brute.affine_model("bernoulli", n_visible=2, n_hidden=3, seed=5, scale=0.2)
    model = eqx.tree_at(lambda m: m.visible_bias, model, jnp.asarray([0.2, -0.1]))
    rows = make_rows(wrong_filling(seed=11))
    exact = -np.mean([truth(model, pattern)[1] for pattern in range(len(PATTERNS))])
    found = float(rows.mean_free_energy(model))
    assert exact - 0.01 < found < exact + 0.04
    assert found != exact
    # The same draws every time.
    assert rows.mean_free_energy(model) == found


def test_nothing_missing_is_nothing_moved():
    model = brute.balanced_model("bernoulli")
    values = np.random.default_rng(12).normal(size=(6, 2))
    rows = IncompleteRows(
        jnp.asarray(values),
        jnp.zeros((6, 2), bool),
        jnp.zeros((6, 2)),
        jnp.asarray(MATRIX),
        jax.random.key(13),
    )
    np.testing.assert_allclose(rows.completed, values @ MATRIX.T, rtol=1e-12)
    batch, carry = rows.draw(jax.random.key(14), model, rows.start(), 50)
    np.testing.assert_array_equal(carry.standard, values)
    assert carry.log_step == rows.start().log_step
    distances = np.abs(np.asarray(batch)[:, None] - values @ MATRIX.T).max(axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-12)
    expected = np.mean(brute.free_energies(model, values @ MATRIX.T))
    assert rows.mean_free_energy(model) == pytest.approx(expected, rel=1e-12)


def test_complete_rows_are_plain_batches():
    model = brute.balanced_model("bernoulli")
    values = np.random.default_rng(15).normal(size=(5000, 2))
    rows = CompleteRows(jnp.asarray(values))
    batch, carry = rows.draw(jax.random.key(16), model, rows.start(), 4000)
    assert carry is None
    np.testing.assert_array_equal(rows.completed, values)
    assert np.isin(np.asarray(batch), values).all()
    brute.assert_within(batch, values.mean(axis=0), label="every row alike")
    expected = np.mean(brute.free_energies(model, values[:4096]))
    assert rows.mean_free_energy(model) == pytest.approx(expected, rel=1e-12)
