"""Kind of truth: statistical, estimates of log Z against enumeration and quadrature; and verdicts
that refuse.

Seeds: models 11 and 12, keys 0 to 3.
"""

import dataclasses
import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

import harmonium as hm
from harmonium.errors import InvalidInputError
from harmonium.likelihood.modes import compare
from harmonium.likelihood.result import MAX_WIDTH, MIN_ESS, Evidence, interval, judge
from harmonium.model import enumerated_log_partition

METHODS = ("ais", "smc", "reverse_ais", "bar")
WEAK = brute.affine_model("bernoulli", n_visible=4, n_hidden=5, seed=11, scale=0.3)
STRONG = brute.affine_model("spin", n_visible=4, n_hidden=5, seed=12, scale=1.2)
DEEP = brute.deep_model("bernoulli")
BASED = brute.on_mixture(DEEP)
MODELS = {
    "weak": (WEAK, brute.Mixture(WEAK).log_partition),
    "strong": (STRONG, brute.Mixture(STRONG).log_partition),
    "deep": (DEEP, brute.grid_log_partition(DEEP)),
    "deep on a mixture": (BASED, brute.grid_log_partition(BASED)),
}
# Those whose estimates only the slow suite needs.
OTHERS = ["strong", "deep on a mixture"]


@functools.cache
def estimate(name, method):
    """A method on a model, once."""
    return hm.estimate_log_partition(MODELS[name][0], key=jax.random.key(0), method=method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_every_method_agrees_with_the_exact_value(name, method):
    found, exact = estimate(name, method), MODELS[name][1]
    # Rounding of float64 is far below this; a standard error of 0 would be a bug.
    assert 1e-5 < found.standard_error < 0.1
    assert abs(found.value - exact) < 5 * found.standard_error
    assert found.low < found.value < found.high
    assert found.trusted and "may be quoted with their interval" in found.verdict
    assert found.method == method


@pytest.mark.parametrize(
    "name", ["weak", "deep", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_methods_are_different_estimates(name):
    # Values may be one: those below the bound of all hidden states seen, which is exact, are raised
    # to it.
    errors = {estimate(name, method).standard_error for method in ("ais", "reverse_ais", "bar")}
    assert len(errors) == 3


def test_rows_can_be_given_as_starts():
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    found = hm.estimate_log_partition(DEEP, key=jax.random.key(1), method="bar", starts=rows)
    assert "48 ladders from the base and dispersed starts and given rows" in found.verdict
    assert abs(found.value - MODELS["deep"][1]) < 5 * found.standard_error


@pytest.mark.slow
def test_a_kernel_can_be_given():
    found = hm.estimate_log_partition(
        WEAK, key=jax.random.key(2), method="ais", kernel=hm.CrankNicolsonMALA(), n_chains=64
    )
    assert abs(found.value - MODELS["weak"][1]) < 5 * found.standard_error


def test_the_base_itself_is_exact():
    model = hm.Harmonium(
        3, 4, feature_map=hm.feature_maps.MLP(3, (5,), key=jax.random.key(0)), key=jax.random.key(1)
    )
    found = hm.estimate_log_partition(model, key=jax.random.key(0))
    expected = 1.5 * math.log(math.pi) + float(jnp.sum(jnp.log1p(jnp.exp(model.hidden_bias))))
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.method == "exact" and found.high == found.low


def filled(n_hidden, weights, visible_bias, hidden_bias):
    model = hm.Harmonium(2, n_hidden, key=jax.random.key(0))
    return eqx.tree_at(
        lambda m: (m.weights, m.visible_bias, m.hidden_bias),
        model,
        (weights, visible_bias, hidden_bias),
    )


def independent(n_hidden):
    """All but two of the hidden units have w = 0: those only add softplus(c) to log Z."""
    weights = jnp.zeros((n_hidden, 2)).at[:2].set(jnp.asarray([[1.0, -2.0], [0.5, 1.5]]))
    visible_bias, bias = jnp.asarray([0.3, -0.4]), jnp.linspace(-2, 2, n_hidden)
    small = filled(2, weights[:2], visible_bias, bias[:2])
    exact = brute.Mixture(small).log_partition + float(np.sum(np.logaddexp(0, bias[2:])))
    return filled(n_hidden, weights, visible_bias, bias), exact


@pytest.mark.parametrize("n_hidden", [15, pytest.param(24, marks=pytest.mark.slow)])
def test_enumeration_streams_over_many_hidden_states(n_hidden):
    model, exact = independent(n_hidden)
    assert enumerated_log_partition(model) == pytest.approx(exact, abs=1e-9)


EVIDENCE = Evidence("bar", 10.0, 9.9, 10.1, 0.05, 300.0, "facts")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"high": 10.0 + 1.1 * MAX_WIDTH}, "interval is 1.2 nats wide"),
        ({"ess": MIN_ESS - 1}, "only 49 effective draws"),
        ({"ess": math.nan}, "effective draws"),
        ({"value": math.nan}, "not finite"),
        ({"high": math.nan}, "interval is nan nats wide"),
        ({"concerns": ("replicas hardly travel",)}, "replicas hardly travel"),
    ],
)
def test_weak_evidence_is_refused(change, words):
    assert judge(EVIDENCE).trusted
    refused = judge(dataclasses.replace(EVIDENCE, **change))
    assert not refused.trusted
    assert words in refused.verdict
    assert "NOT reliable" in refused.verdict and "do not quote log-densities" in refused.verdict


def test_intervals_are_wider_where_errors_are_uncertain():
    low, high = interval(1.0, 0.1, 1e9)
    assert (low, high) == pytest.approx((1 - 0.196, 1 + 0.196), abs=1e-4)
    assert interval(1.0, 0.1, 5)[1] - 1.0 == pytest.approx(0.196 * (1 + 8**-0.5), abs=1e-4)


def split_modes(model, n):
    """Exact draws of an affine model with two modes, by the mode they are in."""
    rows = brute.Mixture(model).sample(np.random.default_rng(0), n)
    middle = float(model.visible_bias[0] / 2 - model.weights[0, 0] / 4)
    return rows[rows[:, 0] > middle], rows[rows[:, 0] < middle]


def two_modes():
    model = hm.Harmonium(2, 1, key=jax.random.key(0))
    weights = jnp.asarray([[12.0, 0.0]])
    return eqx.tree_at(
        lambda m: (m.weights, m.hidden_bias), model, (weights, -jnp.sum(weights**2, axis=1) / 4)
    )


def test_a_bound_tells_of_an_affine_mode_that_was_missed():
    model = two_modes()
    exact = brute.Mixture(model).log_partition
    one, other = split_modes(model, 400)
    seen = compare(jax.random.key(0), model, jnp.asarray(one), jnp.asarray(one))
    assert seen.lower_bound == pytest.approx(exact - math.log(2), abs=1e-6)
    both = compare(jax.random.key(0), model, jnp.asarray(other), jnp.asarray(one))
    assert both.lower_bound == pytest.approx(exact, abs=1e-6)


class Opaque(eqx.Module):
    """The identity, but not known to be affine."""

    def __call__(self, x):
        """X itself."""
        return x


def test_chains_elsewhere_tell_of_a_mode_that_was_missed():
    affine = two_modes()
    model = eqx.tree_at(lambda m: m.feature_map, affine, Opaque())
    one, other = split_modes(affine, 800)
    half = len(one) // 2
    alike = compare(jax.random.key(0), model, jnp.asarray(one[:half]), jnp.asarray(one[half:]))
    exact = brute.Mixture(affine).log_partition
    # The mass of the one mode that was met, but for five standard errors.
    assert alike.n_elsewhere == 0
    assert exact - math.log(2) - 0.3 < alike.lower_bound < exact - math.log(2) + 0.02
    missed = compare(jax.random.key(0), model, jnp.asarray(other), jnp.asarray(one))
    # Half of them lie below the median of F.
    assert missed.n_elsewhere > 0.3 * len(other)
    assert exact - 0.4 < missed.lower_bound < exact + 0.02


@pytest.mark.slow
def test_far_modes_of_equal_mass_are_found_and_a_plain_path_would_not():
    model = eqx.tree_at(lambda m: m.feature_map, two_modes(), Opaque())
    exact = brute.Mixture(two_modes()).log_partition
    found = hm.estimate_log_partition(model, key=jax.random.key(3), method="bar")
    assert found.trusted, found.verdict
    assert abs(found.value - exact) < max(5 * found.standard_error, 1e-6)


def test_parameters_that_are_not_finite_are_named():
    broken = eqx.tree_at(lambda m: m.weights, WEAK, WEAK.weights.at[0, 0].set(jnp.nan))
    with pytest.raises(
        InvalidInputError, match=r"finite parameters; got NaN or inf in model\.weights"
    ):
        hm.estimate_log_partition(broken, key=jax.random.key(0))
