"""Whatever goes wrong in a fit is detected, named and recorded. Kind of truth: failures that are
provoked.

What `docs/decisions.md` calls faults and concerns, one by one, from training that really goes
wrong; their words and thresholds are tested in `statistical/test_fit_repairs.py`. Seeds: keys and
NumPy as written.
"""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import harmonium as hm
from harmonium.errors import DivergedError, HarmoniumWarning, InvalidInputError
from harmonium.inference.views import Surprise
from harmonium.learning import FitSettings, MaximumLikelihood, WeightedPopulation, fit
from harmonium.model import Harmonium
from harmonium.sampling import MALA, AbstractKernel
from harmonium.sampling.kernel import Info

# Two groups, and a model of few hidden units that learns them in a few updates; log Z is
# enumerated.
SIGNS = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 1))
ROWS = jnp.asarray(0.65 * SIGNS + 0.25 * np.random.default_rng(1).normal(size=(400, 2)))
MODEL = eqx.tree_at(
    lambda m: m.weights,
    Harmonium(2, 3, key=jax.random.key(0)),
    0.3 * jax.random.normal(jax.random.key(1), (3, 2)),
)
SETTINGS = FitSettings(batch_size=64, n_evaluations=6)


@pytest.fixture(autouse=True)
def as_users_have_it(usual_promotion):
    """Optax's Adam needs the usual promotion of types."""


def train(model=MODEL, rows=ROWS, **changes):
    given = {
        "key": jax.random.key(0),
        "objective": MaximumLikelihood(WeightedPopulation(MALA(), n_chains=64)),
        "optimizer": optax.adam(0.03),
        "n_updates": 60,
        "settings": SETTINGS,
    }
    return fit(model, rows, **(given | changes))


def failing_after(n_updates):
    """An optimizer whose updates are not finite from some update on."""

    def update(gradient, count, params=None):
        factor = jnp.where(count < n_updates, 1.0, jnp.nan)
        return jax.tree.map(lambda leaf: factor * leaf, gradient), count + 1

    failing = optax.GradientTransformation(lambda params: jnp.zeros(()), update)
    return optax.chain(optax.adam(0.03), failing)


def events(result):
    return [record["event"] for record in result.history if record["event"]]


def test_non_finite_parameters_return_to_the_last_good_state():
    result = train(optimizer=failing_after(35))
    told = events(result)
    assert told and all(
        "non-finite" in event and "returned to the best state" in event for event in told
    )
    assert 0 < result.kept_update <= 30 and f"{len(told)} repair(s)" in result.verdict
    leaves = jax.tree.leaves(eqx.filter(result.model, eqx.is_inexact_array))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in leaves)


def test_a_training_that_a_time_budget_cut_says_so():
    cut = train(time_budget=1e-3)
    assert "time budget ended training after 0 of" in cut.verdict
    assert "time budget" not in train().verdict


def test_nothing_finite_from_the_start_is_an_error():
    with pytest.raises(DivergedError, match="non-finite.*Try: a smaller learning rate"):
        train(optimizer=failing_after(0))


def test_rows_that_are_not_in_model_units_are_named_as_such():
    rows = ROWS * jnp.asarray([[1.0, 50.0]]) + jnp.asarray([[0.0, 500.0]])
    with pytest.raises(DivergedError, match=r"not in model units.*column 1 has mean 5\d\d "):
        train(rows=rows, optimizer=failing_after(0))


def test_a_model_that_outruns_its_chains_is_stopped():
    # No trust region, no clipping, and steps so large that no chain can follow.
    settings = FitSettings(batch_size=64, n_evaluations=6, trust_radius=1e9)
    with pytest.raises(DivergedError, match="outran its chains|non-finite"):
        train(optimizer=optax.sgd(1e4), settings=settings)


class Stuck(AbstractKernel):
    """Chains that reject every proposal."""

    step_size: Any = eqx.field(default_factory=lambda: jnp.asarray(0.1))
    target_acceptance: ClassVar[float | None] = None
    is_exact: ClassVar[bool] = True

    def init(self, key, model, position):
        return MALA().init(key, model, position)

    def retarget(self, key, model, state):
        return MALA().retarget(key, model, state)

    def step(self, key, model, state):
        return state, Info(jnp.zeros(()))


def test_chains_that_do_not_move_are_told():
    stuck = MaximumLikelihood(WeightedPopulation(Stuck(), n_chains=64))
    result = train(objective=stuck)
    assert result.kept_update > 0
    assert "hardly moved" in result.verdict


def test_hidden_units_that_never_react_are_told():
    bias = MODEL.hidden_bias.at[1:].set(-80.0)
    result = train(eqx.tree_at(lambda m: m.hidden_bias, MODEL, bias), n_updates=240)
    assert result.kept_update > 0
    assert "67% of the hidden units hardly react" in result.verdict


def test_a_column_without_variance_is_told_and_kept_as_a_rule(usual_promotion):
    table = np.stack([np.random.default_rng(1).normal(size=40), np.full(40, 7.0)], axis=1)
    estimator = hm.DensityEstimator(2, "identity", n_updates=2)
    with pytest.warns(HarmoniumWarning, match="constant: 'x2'"):
        estimator.fit(table)
    kept, broken = estimator.score_samples([[0.0, 7.0], [0.0, 8.0]])
    assert kept - broken == pytest.approx(np.log(37.0))


@pytest.mark.parametrize("n_rows", [1, 2])
def test_too_few_rows_are_refused(n_rows):
    with pytest.raises(InvalidInputError, match="expected.*got"):
        hm.DensityEstimator(2, "identity", n_updates=2).fit(np.arange(2.0 * n_rows).reshape(-1, 2))


def test_collapsed_scores_are_told(usual_promotion):
    rows = np.random.default_rng(2).normal(size=(60, 2))
    detector = hm.AnomalyDetector().fit(rows).detector_
    # All votes are beyond a tail so flat that rounding takes what they add.
    surprise = detector.surprise
    flat = Surprise(np.full_like(surprise.quantiles, -1e30), np.full_like(surprise.scale, 1e60))
    collapsed = dataclasses.replace(detector, surprise=flat).calibrated_on(rows)
    assert not collapsed.trusted and "COLLAPSED" in collapsed.verdict
