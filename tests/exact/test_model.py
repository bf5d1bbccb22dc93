"""Kind of truth: exact. Sums over all 2^k hidden states, finite differences, completed squares.

Theory, sections 1 to 5, in float64 to 1e-10. Seeds: 0 to 4, in the tables below.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy import stats
from scipy.special import logsumexp

import harmonium.model as hm
from harmonium.errors import InvalidInputError, NotFactorizedError
from harmonium.model import feature_maps

TOLERANCE = 1e-10

MODELS = {
    f"{family} {alphabet} k={k}": build(alphabet, n_visible=n, n_hidden=k, seed=k)
    for (family, build, n), alphabet, k in itertools.product(
        [("affine", brute.affine_model, 3), ("deep", brute.deep_model, 2)],
        brute.ALPHABETS,
        [1, 3, 10],
    )
}
for name in ("affine bernoulli k=3", "affine spin k=10", "deep bernoulli k=10", "deep spin k=1"):
    MODELS[f"{name} on a mixture"] = brute.on_mixture(MODELS[name])
MODELS["affine bernoulli k=12"] = brute.affine_model("bernoulli", n_hidden=12, seed=4, scale=0.4)

each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
each_alphabet = pytest.mark.parametrize("alphabet", brute.ALPHABETS)


def rows_for(model, n=6, seed=0):
    return 1.5 * np.random.default_rng(seed).normal(size=(n, model.n_visible)) + 0.3


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=TOLERANCE, atol=TOLERANCE)


@each_model
def test_energy_is_the_written_formula(model):
    hidden = brute.states(model)
    hidden = hidden[np.random.default_rng(1).integers(len(hidden), size=6)]
    rows = rows_for(model)
    expected = [brute.energy(model, x, h) for x, h in zip(rows, hidden, strict=True)]
    close(jax.vmap(model.energy)(jnp.asarray(rows), jnp.asarray(hidden)), expected)


@each_model
def test_free_energy_sums_the_hidden_units_out(model):
    rows = rows_for(model)
    close(jax.vmap(model.free_energy)(jnp.asarray(rows)), brute.free_energies(model, rows))


@each_model
def test_hidden_mean_is_the_posterior_mean(model):
    rows = rows_for(model)
    close(jax.vmap(model.hidden_mean)(jnp.asarray(rows)), brute.hidden_means(model, rows))


@each_model
def test_posterior_factorizes_into_the_hidden_logits(model):
    rows = rows_for(model)
    log_joint = -brute.energies(model, rows)
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    logits = np.asarray(jax.vmap(model.hidden_logits)(jnp.asarray(rows)))
    values = np.array(brute.VALUES[type(model.hidden_units).__name__])
    for row in range(len(rows)):
        # p(h|x) = prod_k exp(h_k a_k) / sum over both values
        unit = np.exp(np.outer(logits[row], values))
        unit /= unit.sum(axis=1, keepdims=True)
        product = [
            np.prod([unit[k, list(values).index(value)] for k, value in enumerate(h)])
            for h in brute.states(model)
        ]
        close(product, posterior[row])


@each_model
def test_score_is_minus_the_slope_of_the_free_energy(model):
    step = 1e-5
    rows = rows_for(model)
    shifts = step * np.eye(model.n_visible)
    slopes = np.stack(
        [
            (brute.free_energies(model, rows + s) - brute.free_energies(model, rows - s))
            / (2 * step)
            for s in shifts
        ],
        axis=1,
    )
    score = jax.vmap(model.score)(jnp.asarray(rows))
    np.testing.assert_allclose(np.asarray(score), -slopes, rtol=1e-7, atol=1e-7)


@each_model
def test_score_is_the_formula_of_section_5(model):
    # grad F = grad U - b + J_f(x)ᵀ Wᵀ E[h|x]
    weights, visible_bias, _ = brute.numbers(model)
    rows = rows_for(model)
    jacobians = np.asarray(jax.vmap(jax.jacfwd(model.feature_map))(jnp.asarray(rows)))
    pull = np.einsum("rmi,km,rk->ri", jacobians, weights, brute.hidden_means(model, rows))
    expected = -(base_slopes(model, rows) - visible_bias + pull)
    close(jax.vmap(model.score)(jnp.asarray(rows)), expected)


def base_slopes(model, rows):
    """grad U of every row: the posterior mean over components of S⁻¹(x - m); 2x of the Gaussian."""
    _, weights, means, covariances = brute.base_parts(model)
    parts = list(zip(weights, means, covariances, strict=True))
    log_joint = [np.log(w) + stats.multivariate_normal(m, s).logpdf(rows) for w, m, s in parts]
    posterior = np.exp(np.stack(log_joint) - logsumexp(np.stack(log_joint), axis=0))
    pulls = np.stack([(rows - m) @ np.linalg.inv(s) for _, m, s in parts])
    return np.einsum("kr,kri->ri", posterior, pulls)


@pytest.mark.parametrize("n_units", [1, 2, 5, 12])
@each_alphabet
def test_sums_and_products_interchange(alphabet, n_units):
    # Theory, section 4: sum over all h of exp(h·a) = product of the sums per unit.
    logits = 2 * np.random.default_rng(2).normal(size=n_units) - 0.5
    units = brute.ALPHABETS[alphabet]
    values = brute.VALUES[type(units).__name__]
    table = np.array(list(itertools.product(values, repeat=n_units)))
    factors = 1 + np.exp(logits) if alphabet == "bernoulli" else 2 * np.cosh(logits)
    close(logsumexp(table @ logits), np.log(np.prod(factors)))
    close(jnp.sum(units.log_normalizer(jnp.asarray(logits))), logsumexp(table @ logits))


@each_alphabet
def test_derivatives_of_the_log_normalizer_are_mean_and_variance(alphabet):
    # At 0 as well, where a stable form may have a kink that automatic differentiation sees.
    units = brute.ALPHABETS[alphabet]
    logits = jnp.asarray([-30.0, -2.0, -1e-9, 0.0, 0.7, 25.0])
    low, high = brute.VALUES[type(units).__name__]
    p_high = 1 / (1 + np.exp(-(high - low) * np.asarray(logits)))
    mean = low + (high - low) * p_high
    first = jax.grad(lambda a: jnp.sum(units.log_normalizer(a)))
    close(first(logits), mean)
    close(units.mean(logits), mean)
    variance = (high - low) ** 2 * p_high * (1 - p_high)
    close(jax.jacfwd(first)(logits), np.diag(variance))


@each_alphabet
def test_sampled_units_have_the_posterior_probabilities(alphabet):
    units = brute.ALPHABETS[alphabet]
    low, high = brute.VALUES[type(units).__name__]
    logits = jnp.asarray([-2.0, -0.3, 0.0, 1.2])
    keys = jax.random.split(jax.random.key(3), 20000)
    draws = np.asarray(jax.vmap(units.sample, in_axes=(0, None))(keys, logits))
    assert set(np.unique(draws)) == {low, high}
    p_high = 1 / (1 + np.exp(-(high - low) * np.asarray(logits)))
    brute.assert_within(draws == high, p_high, label=alphabet)


@pytest.mark.parametrize("has_modes", [False, True], ids=["Gaussian", "mixture"])
@each_alphabet
def test_conditional_visible_completes_the_square(alphabet, has_modes):
    model = brute.affine_model(alphabet, n_visible=2)
    model = brute.on_mixture(model) if has_modes else model
    nodes, _ = brute.grid(2, half_width=9.0, n_points=181)
    log_joint = -brute.energies(model, nodes)
    for column, h in enumerate(brute.states(model)):
        weight = np.exp(log_joint[:, column] - logsumexp(log_joint[:, column]))
        mean = weight @ nodes
        covariance = (nodes - mean).T @ (weight[:, None] * (nodes - mean))
        actual = model.conditional_visible(jnp.asarray(h))
        close(actual.mean, mean)
        close(actual.variance, np.diag(covariance))
        assert has_modes or np.abs(covariance[0, 1]) < TOLERANCE


@each_alphabet
def test_identity_is_the_gaussian_bernoulli_machine(alphabet):
    model = hm.Harmonium(3, 2, hidden_units=brute.ALPHABETS[alphabet], key=jax.random.key(0))
    model = brute.with_parameters(model, np.random.default_rng(0))
    weights, visible_bias, _ = brute.numbers(model)
    for h in brute.states(model):
        actual = model.conditional_visible(jnp.asarray(h))
        close(actual.mean, (visible_bias - weights.T @ h) / 2)
        close(actual.variance, np.full(3, 0.5))


COUPLING_MAPS = {
    "MLP": feature_maps.MLP(2, (3,), key=jax.random.key(0)),
    "ResidualMLP": feature_maps.ResidualMLP(2, 3, 1, key=jax.random.key(0)),
    "FourierFeatures": feature_maps.FourierFeatures(2, 3, key=jax.random.key(0)),
}


@pytest.mark.parametrize("name", COUPLING_MAPS)
def test_other_maps_say_why_they_do_not_factorize(name):
    model = hm.Harmonium(2, 3, feature_map=COUPLING_MAPS[name], key=jax.random.key(0))
    assert not model.is_affine
    with pytest.raises(NotFactorizedError) as caught:
        model.conditional_visible(jnp.zeros(3))
    message = str(caught.value)
    for words in (name, "does not factorize", "couples all coordinates", "affine", "Try:"):
        assert words in message


CALLS = {
    "energy x": (lambda m: m.energy(jnp.zeros(4), jnp.zeros(4)), "model.energy(x, h)", "x"),
    "energy h": (lambda m: m.energy(jnp.zeros(3), jnp.zeros(3)), "model.energy(x, h)", "h"),
    "logits": (lambda m: m.hidden_logits(jnp.zeros(2)), "model.hidden_logits(x)", "x"),
    "mean": (lambda m: m.hidden_mean(jnp.zeros(2)), "model", "x"),
    "free energy": (lambda m: m.free_energy(jnp.zeros(2)), "model", "x"),
    "score": (lambda m: m.score(jnp.zeros(2)), "model.score(x)", "x"),
    "conditional": (
        lambda m: m.conditional_visible(jnp.zeros(3)),
        "model.conditional_visible(h)",
        "h",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_shapes_are_named(name, unannotated):
    call, typed, argument = CALLS[name]
    with pytest.raises(InvalidInputError) as caught:
        call(brute.affine_model("bernoulli"))
    for words in (typed, f"expected {argument} of shape", "got shape"):
        assert words in str(caught.value)


def test_a_batch_is_answered_with_vmap(unannotated):
    model = brute.affine_model("bernoulli")
    with pytest.raises(InvalidInputError, match=r"Try: jax\.vmap\(model\.score\)\(x\) for a batch"):
        model.score(jnp.zeros((7, 3)))


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ((0, 3), {}, "at least one visible and one hidden unit"),
        ((3, 0), {}, "at least one visible and one hidden unit"),
        ((3, 2), {"feature_map": feature_maps.Identity(3).__call__}, None),
        ((3, 2), {"feature_map": feature_maps.Affine(jnp.ones((2, 4)))}, "cannot take one row"),
        ((3, 2), {"feature_map": jnp.sum}, "one vector"),
        ((3, 2), {"base": hm.GaussianBase(2)}, "as many visible units; got n_visible=2"),
    ],
)
def test_construction_is_checked(sizes, options, words, unannotated):
    if words is None:
        assert hm.Harmonium(*sizes, **options, key=jax.random.key(0)).n_features == 3
        return
    with pytest.raises(InvalidInputError, match=words):
        hm.Harmonium(*sizes, **options, key=jax.random.key(0))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
@each_alphabet
def test_huge_logits_stay_exact(alphabet, logit, dtype):
    units = brute.ALPHABETS[alphabet]
    a = jnp.asarray([logit], dtype)
    low, high = brute.VALUES[type(units).__name__]
    # exp(-1e4) is 0 in every format: one value dominates entirely.
    assert float(units.log_normalizer(a)[0]) == max(low * logit, high * logit)
    assert float(units.mean(a)[0]) == (high if logit > 0 else low)
    slope = jax.grad(lambda a: jnp.sum(units.log_normalizer(a)))(a)
    assert float(slope[0]) == (high if logit > 0 else low)
    model = brute.affine_model(alphabet)
    big = eqx.tree_at(lambda m: m.hidden_bias, model, jnp.full(4, logit))
    x = jnp.asarray([0.3, -1.0, 2.0])
    close(big.free_energy(x), brute.free_energies(big, np.asarray(x)[None, :])[0])
    assert np.all(np.isfinite(np.asarray(big.score(x))))


@each_alphabet
def test_without_weights_the_model_is_the_gaussian(alphabet):
    for build in (brute.affine_model, brute.deep_model):
        model = build(alphabet)
        model = eqx.tree_at(lambda m: m.weights, model, jnp.zeros_like(model.weights))
        _, visible_bias, _ = brute.numbers(model)
        rows = rows_for(model)
        # log of N(b/2, I/2) up to a constant: -|x - b/2|²
        log_gaussian = -np.sum((rows - visible_bias / 2) ** 2, axis=1)
        free_energy = np.asarray(jax.vmap(model.free_energy)(jnp.asarray(rows)))
        close(np.diff(-free_energy), np.diff(log_gaussian))
        close(jax.vmap(model.score)(jnp.asarray(rows)), visible_bias - 2 * rows)


def test_a_new_model_has_no_weights_and_unequal_hidden_units():
    model = hm.Harmonium(3, 5, key=jax.random.key(0))
    assert not np.any(np.asarray(model.weights))
    assert len(set(np.asarray(model.hidden_bias).tolist())) == 5
