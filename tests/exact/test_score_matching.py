"""Kind of truth: exact, and 5 standard errors. Denoising score matching against its definition.

The kernel is written out as a Gaussian mixture and differentiated; densities of noised rows are
sums over the rows (Vincent 2011). Seeds: rows 0, objective keys 0 to 4.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from exact.test_gradient import differences, flatten
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from harmonium.errors import InvalidInputError
from harmonium.learning import DenoisingScoreMatching, fit
from harmonium.model import Harmonium

each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)
ROWS = np.random.default_rng(0).normal(size=(6, 2)) + np.array([0.4, -0.6])
FACTOR = np.array([0.5, 2.0])
OBJECTIVES = {
    "one level": DenoisingScoreMatching.between(0.3),
    "levels": DenoisingScoreMatching.between(0.1, 1.5),
    "one level, per column": DenoisingScoreMatching(jnp.asarray([0.3]), jnp.asarray(FACTOR)),
    "levels, per column": DenoisingScoreMatching(jnp.asarray([0.2, 0.9]), jnp.asarray(FACTOR)),
}
each_objective = pytest.mark.parametrize("name", OBJECTIVES)


def log_kernel(moved, levels, factor):
    """Log of the equal mixture of N(0, diag(level · factor)²) at one displacement (visible,)."""
    return logsumexp(
        jnp.stack([jnp.sum(norm.logpdf(moved, scale=level * factor)) for level in levels])
    ) - np.log(len(levels))


def naive_score(model, x):
    """Central differences of F, itself a sum over h."""
    steps = 1e-5 * np.eye(len(x))
    ahead, behind = (brute.free_energies(model, x + s * steps) for s in (1, -1))
    return -(ahead - behind) / 2e-5


def naive_loss(key, model, rows, levels, factor):
    """The loss row by row, with the noise that the same keys give."""
    total = 0.0
    for key_row, x in zip(jax.random.split(key, len(rows)), rows, strict=True):
        key_level, key_noise = jax.random.split(key_row)
        sd = float(levels[int(jax.random.randint(key_level, (), 0, len(levels)))])
        moved = sd * factor * np.asarray(jax.random.normal(key_noise, x.shape))
        target = np.asarray(jax.grad(log_kernel)(jnp.asarray(moved), levels, jnp.asarray(factor)))
        score = naive_score(model, x + moved)
        length = np.sum((factor * score) ** 2) / len(x)
        weight = sd**2 if len(levels) == 1 else 1 / (length + 1 / max(levels) ** 2)
        total += weight * np.sum((factor * (score - target)) ** 2)
    return total / len(rows)


@each_objective
@each_alphabet
@pytest.mark.slow
def test_the_loss_is_its_definition(name, alphabet):
    objective = OBJECTIVES[name]
    factor = np.ones(2) if objective.per_column is None else FACTOR
    model = brute.affine_model(alphabet, n_visible=2, n_hidden=3)
    key = jax.random.key(0)
    loss = objective.loss(key, model, jnp.asarray(ROWS))
    expected = naive_loss(key, model, ROWS, np.asarray(objective.levels), factor)
    np.testing.assert_allclose(float(loss), expected, rtol=1e-6)


def test_one_level_is_vincents_formula():
    # Score of N(x, sd² I) at x + sd e is -e / sd: the loss is mean |sd · score + e|².
    model = brute.deep_model("spin")
    key, sd = jax.random.key(1), 0.3
    pairs = jax.vmap(jax.random.split)(jax.random.split(key, len(ROWS)))
    e = jax.vmap(lambda k: jax.random.normal(k, (2,)))(pairs[:, 1])
    score = jax.vmap(model.score)(jnp.asarray(ROWS) + sd * e)
    expected = jnp.mean(jnp.sum((sd * score + e) ** 2, axis=1))
    loss = DenoisingScoreMatching.between(sd).loss(key, model, jnp.asarray(ROWS))
    np.testing.assert_allclose(float(loss), float(expected), rtol=1e-12)


@pytest.mark.parametrize("n_visible", [1, 2, 7])
@pytest.mark.parametrize("name", ["one level", "levels"])
def test_precision_is_the_slope_of_the_kernel(name, n_visible):
    objective = OBJECTIVES[name]
    for size in (0.05, 0.4, 3.0):
        noise = size * jax.random.normal(jax.random.key(2), (n_visible,))
        slope = jax.grad(log_kernel)(noise, objective.levels, jnp.ones(n_visible))
        np.testing.assert_allclose(-objective._precision(noise) * noise, slope, rtol=1e-9)


def weighed_loss(objective, key, model, rows, *, weigher):
    """The loss of `model` where another model decides how much a noised row weighs."""
    levels = objective.levels
    factor = jnp.ones(rows.shape[1]) if objective.per_column is None else objective.per_column

    def one(key, x):
        key_level, key_noise = jax.random.split(key)
        sd = levels[jax.random.randint(key_level, (), 0, levels.shape[0])]
        moved = sd * factor * jax.random.normal(key_noise, x.shape)
        residual = factor * (model.score(x + moved) - jax.grad(log_kernel)(moved, levels, factor))
        return objective._weight(factor * weigher.score(x + moved)) * (residual @ residual)

    return jnp.mean(jax.vmap(one)(jax.random.split(key, len(rows)), rows))


@pytest.mark.parametrize("name", ["one level, per column", "levels, per column"])
@each_alphabet
@pytest.mark.slow
def test_the_ascent_is_minus_the_slope_of_the_loss(name, alphabet):
    objective, key = OBJECTIVES[name], jax.random.key(3)
    model = brute.deep_model(alphabet, n_hidden=2, widths=(3,))
    rows = jnp.asarray(ROWS)
    carry = objective.init(key, model, rows)
    ascent = objective.ascend(key, model, rows, carry)
    loss = jax.jit(lambda m: weighed_loss(objective, key, m, rows, weigher=model))
    expected = differences(model, lambda m: -float(loss(m)))
    np.testing.assert_allclose(flatten(ascent.gradient), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(float(ascent.metrics["loss"]), float(loss(model)), rtol=1e-12)
    assert ascent.trust_region_chains is None


def per_row_losses(objective, model, rows, key, n):
    """`n` independent losses of rows picked in turn, which is exact for the share of each row."""
    batch = jnp.tile(rows, (n // rows.shape[0], 1))
    keys = jax.random.split(key, batch.shape[0])
    losses = jax.jit(jax.vmap(lambda k, x: objective.loss(k, model, x[None])))(keys, batch)
    # One value per sweep over the rows: independent and identically distributed.
    return np.asarray(losses).reshape(-1, rows.shape[0]).mean(axis=1)


@pytest.mark.parametrize("factor", [1.0, 0.4])
def test_losses_differ_as_fisher_divergences_to_the_noised_rows(factor):
    # Vincent (2011): E|score - score of the kernel|² = E|score - score of the noised rows|² +
    # const.
    sd, rows = 0.6, jnp.asarray([[-1.1], [0.2], [0.9]])
    objective = DenoisingScoreMatching(jnp.asarray([sd]), jnp.asarray([factor]))
    nodes = jnp.linspace(-7, 7, 2001)
    cell = float(nodes[1] - nodes[0])

    def log_noised(y):
        return logsumexp(norm.logpdf(y, rows[:, 0], sd * factor)) - jnp.log(3.0)

    density = jnp.exp(jax.vmap(log_noised)(nodes))
    truth = jax.vmap(jax.grad(log_noised))(nodes)
    np.testing.assert_allclose(float(jnp.sum(density)) * cell, 1.0, rtol=1e-6)

    def fisher(model):
        score = jax.vmap(model.score)(nodes[:, None])[:, 0]
        return float((sd * factor) ** 2 * cell * jnp.sum(density * (score - truth) ** 2))

    one = brute.deep_model("spin", n_visible=1, n_hidden=2, widths=(3,))
    other = brute.affine_model("bernoulli", n_visible=1, n_hidden=2)
    key = jax.random.key(4)
    contrast = per_row_losses(objective, one, rows, key, 60_000) - per_row_losses(
        objective, other, rows, key, 60_000
    )
    assert abs(fisher(one) - fisher(other)) > 0.02
    brute.assert_within(contrast, fisher(one) - fisher(other))


ATOMS = jnp.asarray([-0.6, 0.1, 0.9])


class Noised(eqx.Module):
    """A feature with which one hidden unit, W = 1 and c = 0, is the density of the noised atoms.

    exp(-F) = exp(-x²)(1 + exp(-f(x))) is `SCALE` times that density.
    """

    levels: tuple[float, ...] = eqx.field(static=True)

    def __call__(self, x):
        terms = [norm.logpdf(x[0], ATOMS, level) for level in self.levels]
        log_density = logsumexp(jnp.stack(terms)) - np.log(3 * len(self.levels))
        return -jnp.log(jnp.expm1(log_density + x @ x + 6.0))[None]


def exactly_noised(levels):
    model = Harmonium(1, 1, feature_map=Noised(levels), key=jax.random.key(0))
    return eqx.tree_at(
        lambda m: (m.weights, m.hidden_bias), model, (jnp.ones((1, 1)), jnp.zeros(1))
    )


@pytest.mark.parametrize("levels", [(0.9,), (0.3, 1.2)])
@pytest.mark.slow
def test_the_noised_density_is_stationary(levels):
    # What the class says is learned: the density of the rows convolved with the kernel.
    model, objective = exactly_noised(levels), DenoisingScoreMatching(jnp.asarray(levels))
    nodes = jnp.linspace(-3, 3, 5)[:, None]
    expected = jax.vmap(
        jax.grad(
            lambda x: logsumexp(jnp.stack([norm.logpdf(x[0], ATOMS, level) for level in levels]))
        )
    )(nodes)
    np.testing.assert_allclose(jax.vmap(model.score)(nodes), expected, rtol=1e-7, atol=1e-9)

    def slopes(key):
        gradient = objective.ascend(key, model, ATOMS[:, None], None).gradient
        return jnp.concatenate(
            [gradient.weights[0], gradient.visible_bias, gradient.hidden_bias], axis=0
        )

    values = jax.jit(jax.vmap(slopes))(jax.random.split(jax.random.key(0), 100_000))
    assert np.asarray(values).std(axis=0).min() > 1e-3
    brute.assert_within(values, np.zeros(3))


def test_a_gaussian_is_stationary_where_theory_says():
    # W = 0 and rows noised to N(m, 1/2): b = 2m is the minimizer, and b = 2m + 1 is not.
    sd, mean = 0.5, jnp.asarray([0.3, -0.2])
    rows = mean[None] + jnp.sqrt(0.5 - sd**2) * jax.random.normal(jax.random.key(0), (40_000, 2))
    objective = DenoisingScoreMatching.between(sd)
    model = Harmonium(2, 1, key=jax.random.key(1))

    def slopes(bias):
        at = eqx.tree_at(lambda m: m.visible_bias, model, bias)
        keys = jax.random.split(jax.random.key(2), len(rows))
        one = jax.vmap(lambda k, x: objective.ascend(k, at, x[None], None).gradient.visible_bias)
        return np.asarray(jax.jit(one)(keys, rows))

    brute.assert_within(slopes(2 * mean), np.zeros(2))
    # The slope of sd²|b - 2y - t|² is linear in b.
    brute.assert_within(slopes(2 * mean + 1.0), np.full(2, -2 * sd**2))


def test_levels_are_geometric():
    levels = np.asarray(DenoisingScoreMatching.between(0.1, 1.6).levels)
    np.testing.assert_allclose(levels, 0.1 * 16 ** (np.arange(8) / 7), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(DenoisingScoreMatching.between(0.4).levels), [0.4])


NAN = float("nan")
BAD_SCALES = [(0.0,), (-1.0,), (0.5, 0.1), (0.1, float("inf")), (NAN,), (0.1, NAN)]


@pytest.mark.parametrize("scales", BAD_SCALES)
def test_bad_scales_are_refused(scales):
    with pytest.raises(InvalidInputError, match="0 < lowest <= highest") as caught:
        DenoisingScoreMatching.between(*scales)
    assert f"got {scales[0]} and {scales[-1]}" in str(caught.value)


def test_log_partition_is_unknown_and_there_are_no_chains():
    objective, model = OBJECTIVES["levels"], brute.affine_model("spin", n_visible=2)
    value, ess = objective.log_partition(model, None)
    assert np.isnan(value) and float(ess) == 0
    assert objective.chains(model, None).negatives is None


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.slow
def test_fit_runs():
    rows = np.random.default_rng(0).normal(size=(120, 2))
    start = Harmonium(2, 3, key=jax.random.key(0))
    objective = DenoisingScoreMatching.between(0.1, 0.7)
    result = fit(start, rows, objective=objective, n_updates=40, key=jax.random.key(1))
    assert np.isfinite(result.log_partition.value) and result.verdict
    losses = [record["loss"] for record in result.history if "loss" in record]
    assert len(losses) == 40 and np.all(np.isfinite(losses))
    assert not any(record["event"] for record in result.history)
