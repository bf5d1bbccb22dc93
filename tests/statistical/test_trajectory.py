"""log Z along a training, beside enumeration. Kind of truth: statistical, at 5 standard errors.

The error of a standard error from so few populations is in the budget. Seeds: keys 0 to 3.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute

from harmonium.errors import InvalidInputError
from harmonium.likelihood import follow_log_partition
from harmonium.model import Harmonium, exact_log_partition

END = brute.affine_model("bernoulli", n_visible=2)


def states(scales):
    """A course of models: all parameters grow from those of a model that is its base."""
    start = eqx.tree_at(lambda m: m.weights, END, jnp.zeros_like(END.weights))
    return [
        jax.tree.map(
            lambda a, b, s=s: a + s * (b - a) if eqx.is_inexact_array(a) else a, start, END
        )
        for s in scales
    ]


def test_every_state_has_its_log_partition_within_its_error():
    models = states([0.0, 0.3, 0.7, 1.0, 1.2])
    found = follow_log_partition(models, key=jax.random.key(0), n_populations=16, n_chains=64)
    exact = [float(exact_log_partition(model)) for model in models]
    # The first is the base itself: known, without any error.
    assert found[0].value == pytest.approx(exact[0], abs=1e-9)
    assert found[0].standard_error < 1e-9
    for one, expected in zip(found[1:], exact[1:], strict=True):
        assert 0 < one.standard_error < 0.1
        assert abs(one.value - expected) < 5 * one.standard_error
        assert one.method == "trajectory" and one.low < one.value < one.high
    # The course moves by more than the errors, so that a constant would fail.
    assert max(exact) - min(exact) > 10 * max(one.standard_error for one in found)


def test_a_long_way_between_two_states_is_made_of_short_hops():
    far = states([2.5])[0]
    (found,) = follow_log_partition([far], key=jax.random.key(1), n_populations=16, n_chains=64)
    expected = float(exact_log_partition(far))
    assert abs(found.value - expected) < 5 * found.standard_error
    assert found.trusted


def test_what_is_no_course_is_refused():
    other = Harmonium(2, 7, key=jax.random.key(2))
    for models, words in (([], "at least one model"), ([END, other], "model 1 with another")):
        with pytest.raises(InvalidInputError, match=words):
            follow_log_partition(models, key=jax.random.key(3))
    with pytest.raises(InvalidInputError, match="two populations"):
        follow_log_partition([END], key=jax.random.key(3), n_populations=1)


def test_the_same_key_gives_the_same_course():
    models = states([0.5])
    given = {"key": jax.random.key(3), "n_populations": 2, "n_chains": 8}
    first, again = (follow_log_partition(models, **given)[0].value for _ in range(2))
    assert np.isfinite(first) and first == again
