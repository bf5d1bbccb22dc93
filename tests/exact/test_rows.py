"""Training rows with missing cells. Kind of truth: sums over h, differences of them, and 5 sigma
for moves.

Rows are x = M y with M not symmetric; models are enumerable and affine. Seeds: models 5 and 93,
NumPy and keys as written.
"""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from exact.test_gradient import differences, weighted_nodes
from scipy.special import logsumexp

from harmonium.learning.rows import CompleteRows, IncompleteRows, bucket, pad_rows

NAN = np.nan
MATRIX = np.array([[1.1, 0.3], [-0.4, 0.8]])
PATTERNS = np.array([[0.3, NAN], [NAN, -0.9], [NAN, NAN], [0.5, 1.0]])
N_COPIES = 2000


def truth(model, pattern):
    """p(missing | observed) of one of the patterns."""
    return brute.Mixture(model).conditional(PATTERNS[pattern], MATRIX)


@pytest.mark.parametrize("pattern", range(3))
def test_the_truth_is_the_integral(pattern):
    """By a rectangle rule over the missing cells."""
    model, row = brute.balanced_model("spin"), PATTERNS[pattern]
    gap = np.isnan(row)
    nodes, log_cell = brute.grid(gap.sum(), half_width=9.0, n_points=181)
    y = np.tile(row, (len(nodes), 1))
    y[:, gap] = nodes
    log_density = -brute.free_energies(model, y @ MATRIX.T) + log_cell
    found = truth(model, pattern)
    assert found.log_mass == pytest.approx(logsumexp(log_density), abs=1e-8)
    weights = np.exp(log_density - logsumexp(log_density))
    np.testing.assert_allclose(found.mean, weights @ nodes, atol=1e-7)
    second = np.einsum("r,ri,rj->ij", weights, nodes, nodes)
    np.testing.assert_allclose(found.second_moments, second, atol=1e-7)


def make_rows(filling):
    """Rows of all patterns in turn, the missing cells filled as given, (copies, patterns, 2)."""
    known = np.broadcast_to(PATTERNS, filling.shape)
    standard = np.where(np.isnan(known), filling, known).reshape(-1, 2)
    return IncompleteRows(
        jnp.asarray(standard),
        jnp.asarray(np.isnan(known).reshape(-1, 2)),
        jnp.asarray(MATRIX),
        jax.random.key(0),
    )


def exact_filling(model, seed):
    """Independent draws of the truth."""
    rng = np.random.default_rng(seed)
    filling = np.tile(PATTERNS, (N_COPIES, 1, 1))
    for pattern, row in enumerate(PATTERNS):
        filling[:, pattern, np.isnan(row)] = truth(model, pattern).sample(rng, N_COPIES)
    return filling


def wrong_filling(seed):
    """What the model says nothing of."""
    return np.random.default_rng(seed).normal(size=(N_COPIES, len(PATTERNS), 2))


@eqx.filter_jit
def advance(key, rows, model, n_draws):
    """As many batches as there are keys, each as large as the table; the last of them, and what is
    carried."""

    def step(carry, key):
        batch, carry = rows.draw(key, model, carry, rows.standard.shape[0])
        return carry, batch

    carry, batches = jax.lax.scan(step, rows.start(), jax.random.split(key, n_draws))
    return batches[-1], carry


def assert_conditional(model, standard):
    """Mean and second moments of the missing cells of every pattern, over copies, to 5 standard
    errors."""
    standard = np.asarray(standard).reshape(N_COPIES, len(PATTERNS), 2)
    for pattern, row in enumerate(PATTERNS):
        gap = np.isnan(row)
        if gap.any():
            found = truth(model, pattern)
            draws = standard[:, pattern][:, gap]
            brute.assert_within(draws, found.mean, label="mean")
            products = np.einsum("ri,rj->rij", draws, draws)
            brute.assert_within(products, found.second_moments, label="second moments")


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
    # Every row of a batch has the observed cells of one of the patterns.
    found = np.zeros(len(batch), int)
    for row in PATTERNS:
        standard = np.asarray(batch) @ np.linalg.inv(MATRIX).T
        found += np.all(np.isclose(standard, row, rtol=1e-9) | np.isnan(row), axis=1)
    assert np.all(found >= 1)
    assert carry.log_step != rows.start().log_step


def observed_log_likelihood(model):
    """Mean over the patterns of log p(observed cells), times |det M|."""
    masses = [truth(model, pattern).log_mass for pattern in range(len(PATTERNS))]
    return np.mean(masses) - brute.Mixture(model).log_partition


def test_batches_give_the_gradient_of_the_observed_likelihood():
    """Seed 7, key 8. The model term is exact, by a grid; the data term has the chance of the moves
    alone."""
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
    """W = 0 and b = 0, as training starts on the Gaussian: every draw has the same weight."""
    model = brute.balanced_model("bernoulli")
    model = eqx.tree_at(lambda m: (m.weights, m.visible_bias), model, replace_fn=jnp.zeros_like)
    filled = np.where(np.isnan(PATTERNS), 7.0, PATTERNS)
    rows = IncompleteRows(
        jnp.asarray(filled),
        jnp.asarray(np.isnan(PATTERNS)),
        jnp.asarray(MATRIX),
        jax.random.key(10),
    )
    expected = [-truth(model, pattern).log_mass for pattern in range(len(PATTERNS))]
    np.testing.assert_allclose(rows.free_energies(model), expected, atol=1e-12)


def test_free_energies_are_a_little_high_otherwise():
    """Key 0, 512 rows of 16 draws each: high by half the variance of their mean, and by chance."""
    model = brute.affine_model("bernoulli", n_visible=2, n_hidden=3, seed=5, scale=0.2)
    model = eqx.tree_at(lambda m: m.visible_bias, model, jnp.asarray([0.2, -0.1]))
    rows = make_rows(wrong_filling(seed=11))
    exact = -np.mean([truth(model, pattern).log_mass for pattern in range(len(PATTERNS))])
    found = np.asarray(rows.free_energies(model))
    assert found.shape == (512,)
    assert exact - 0.01 < found.mean() < exact + 0.04
    assert found.mean() != exact
    # The same draws every time.
    np.testing.assert_array_equal(rows.free_energies(model), found)


def test_nothing_missing_is_nothing_moved():
    model = brute.balanced_model("bernoulli")
    values = np.random.default_rng(12).normal(size=(6, 2))
    rows = IncompleteRows(
        jnp.asarray(values),
        jnp.zeros((6, 2), bool),
        jnp.asarray(MATRIX),
        jax.random.key(13),
    )
    np.testing.assert_allclose(rows.completed, values @ MATRIX.T, rtol=1e-12)
    batch, carry = rows.draw(jax.random.key(14), model, rows.start(), 50)
    np.testing.assert_array_equal(carry.standard, values)
    assert carry.log_step == rows.start().log_step
    distances = np.abs(np.asarray(batch)[:, None] - values @ MATRIX.T).max(axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-12)
    expected = brute.free_energies(model, values @ MATRIX.T)
    np.testing.assert_allclose(rows.free_energies(model), expected, rtol=1e-12)


def test_complete_rows_are_plain_batches():
    model = brute.balanced_model("bernoulli")
    values = np.random.default_rng(15).normal(size=(5000, 2))
    rows = CompleteRows(jnp.asarray(values))
    batch, carry = rows.draw(jax.random.key(16), model, rows.start(), 4000)
    assert carry is None
    np.testing.assert_array_equal(rows.completed, values)
    assert np.isin(np.asarray(batch), values).all()
    brute.assert_within(batch, values.mean(axis=0), label="every row alike")
    expected = brute.free_energies(model, values[:4096])
    np.testing.assert_allclose(rows.free_energies(model), expected, rtol=1e-12)


@pytest.mark.parametrize(("n", "expected"), [(1, 128), (128, 128), (129, 256), (8192, 8192)])
def test_short_tables_are_padded_to_a_power_of_two(n, expected):
    assert bucket(n) == expected


def test_long_tables_are_padded_by_a_quarter_at_most():
    for n in (8193, 10_000, 65_536, 1_000_000, 1_048_577):
        assert n <= bucket(n) <= 1.25 * n
        assert bucket(bucket(n)) == bucket(n)


@pytest.mark.parametrize("n", [1, 7, 128, 150])
def test_rows_that_repeat_change_no_mean_and_are_never_drawn_more_often(n):
    values = np.random.default_rng(n).normal(size=(n, 3))
    padded = pad_rows(values)
    assert len(padded) == bucket(n)
    np.testing.assert_array_equal(padded[:n], values)
    rows, plain = CompleteRows(jnp.asarray(padded), n), CompleteRows(jnp.asarray(values))
    np.testing.assert_allclose(rows.mean(rows.values), values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(rows.mean(rows.values[:, 0]), values[:, 0].mean(), rtol=1e-12)
    # Evaluation sees fewer rows than there are: those are all a table's own.
    np.testing.assert_allclose(rows.mean(rows.values[:5, 0]), padded[: min(5, n), 0].mean())
    key, model = jax.random.key(0), brute.balanced_model("bernoulli")
    found, _ = rows.draw(key, model, None, 1000)
    expected, _ = plain.draw(key, model, None, 1000)
    np.testing.assert_array_equal(found, expected)


def test_padded_incomplete_rows_are_those_without_padding():
    """Draws, completions and scores of the table's own rows, bit by bit."""
    rng = np.random.default_rng(3)
    values, missing = rng.normal(size=(40, 2)), rng.random((40, 2)) < 0.3
    arguments = [(pad_rows(values), pad_rows(missing), 40), (values, missing, None)]
    padded, plain = (
        IncompleteRows(jnp.asarray(y), jnp.asarray(m), jnp.eye(2), jax.random.key(1), n)
        for y, m, n in arguments
    )
    model, key = brute.deep_model("bernoulli"), jax.random.key(2)
    found, carry = padded.draw(key, model, padded.start(), 16)
    expected, own = plain.draw(key, model, plain.start(), 16)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(carry.standard[:40], own.standard, rtol=1e-12)
    assert padded.free_energies(model).shape == (bucket(40),)
    score = -brute.free_energies(model, values[~missing.any(axis=1)])
    whole = np.flatnonzero(~missing.any(axis=1))
    np.testing.assert_allclose(-padded.free_energies(model)[whole], score, rtol=1e-9)
