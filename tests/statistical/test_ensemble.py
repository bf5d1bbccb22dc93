"""Kind of truth: statistical. Members trained side by side: repeatable, separate, learning,
trimming.

Seeds: rows 0 and 1, models key(0), training keys key(1) and key(2).
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harmonium.errors import DivergedError, InvalidInputError
from harmonium.learning import (
    DenoisingScoreMatching,
    EnsembleSettings,
    NoiseContrastive,
    fit,
    fit_ensemble,
    warm_start,
)
from harmonium.model import Harmonium, feature_maps

# Optax itself relies on standard dtype promotion.
pytestmark = pytest.mark.usefixtures("usual_promotion")

SHORT = EnsembleSettings(n_updates=20, batch_size=16)
LONG = EnsembleSettings(n_updates=500, batch_size=64, learning_rate=5e-3, averaging=0.98)


def members(n, same=False):
    """`n` small deep models, stacked."""
    keys = jax.random.split(jax.random.key(0), n)
    keys = keys[jnp.zeros(n, int)] if same else keys

    def one(key):
        key_map, key_model = jax.random.split(key)
        return Harmonium(2, 8, feature_map=feature_maps.MLP(2, (8,), key=key_map), key=key_model)

    return eqx.filter_vmap(one)(keys)


def stacked(objective, n):
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * n), objective)


def mixture(n_rows=400, seed=0):
    """Two narrow modes, at -1 and 1."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], size=(n_rows, 1)) + 0.25 * rng.normal(size=(n_rows, 2))


def train(rows, models=None, seed=1, objective=None, settings=SHORT):
    rows = jnp.asarray(rows)
    n = rows.shape[0]
    objective = DenoisingScoreMatching.between(0.3) if objective is None else objective
    models = members(n) if models is None else models
    key = jax.random.key(seed)
    return fit_ensemble(models, rows, stacked(objective, n), key=key, settings=settings)


def leaves(fitted):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(fitted.models, eqx.is_array))]


def take(models, member):
    # Arrays are stacked; a feature map also holds its activation.
    return jax.tree.map(lambda leaf: leaf[member] if eqx.is_array(leaf) else leaf, models)


def free_energies(fitted, member, rows):
    return np.asarray(jax.vmap(take(fitted.models, member).free_energy)(jnp.asarray(rows)))


@pytest.mark.parametrize(
    "objective", [DenoisingScoreMatching.between(0.1, 0.8), NoiseContrastive()]
)
@pytest.mark.slow
def test_the_same_key_gives_the_same_members(objective):
    rows = np.stack([mixture()] * 2)
    once, again, other = (train(rows, objective=objective, seed=seed) for seed in (1, 1, 2))
    assert once.losses == again.losses != other.losses
    for one, two in zip(leaves(once), leaves(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(np.any(one != two) for one, two in zip(leaves(once), leaves(other), strict=True))
    assert all(leaf.shape[0] == 2 for leaf in leaves(once))
    assert len(once.losses) == 10 and all(len(chunk) == 2 for chunk in once.losses)


def test_a_member_depends_on_its_own_model_only():
    rows = np.stack([mixture()] * 2)
    both = train(rows)
    alike = train(rows, models=members(2, same=True))
    # The first model is another in `alike` or not; the second certainly is.
    first = jax.tree.map(lambda a: a[:1], eqx.filter(both.models, eqx.is_array))
    start = jax.tree.map(lambda a: a[:1], eqx.filter(members(2), eqx.is_array))
    same_first = all(
        np.array_equal(a[0], b[0])
        for a, b in zip(
            jax.tree.leaves(eqx.filter(members(2), eqx.is_array)),
            jax.tree.leaves(eqx.filter(members(2, same=True), eqx.is_array)),
            strict=True,
        )
    )
    assert same_first
    for a, b in zip(leaves(both), leaves(alike), strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-9, atol=1e-12)
    assert any(
        np.abs(a[1] - b[1]).max() > 1e-3 for a, b in zip(leaves(both), leaves(alike), strict=True)
    )
    moved = zip(jax.tree.leaves(first), jax.tree.leaves(start), strict=True)
    assert any(np.any(np.asarray(a) != np.asarray(b)) for a, b in moved)
    one, two = (free_energies(both, member, mixture()) for member in (0, 1))
    assert np.abs(one - two).max() > 1e-3


def test_every_member_learns_its_own_rows():
    # One cluster right, one left: each member finds its own likelier.
    rng = np.random.default_rng(0)
    clusters = np.array([1.0, -1.0])[:, None, None] + 0.3 * rng.normal(size=(2, 200, 2))
    fitted = train(clusters, settings=LONG)
    for member in (0, 1):
        own, other = (free_energies(fitted, member, clusters[i]) for i in (member, 1 - member))
        assert own.mean() < other.mean() - 1


@pytest.mark.parametrize("objective", [DenoisingScoreMatching.between(0.3), NoiseContrastive()])
def test_the_loss_falls_on_a_mixture(objective):
    rows = np.stack([mixture()] * 2)
    fitted = train(rows, objective=objective, settings=LONG)
    losses = np.array(fitted.losses)
    assert np.all(np.isfinite(losses))
    assert np.all(losses[-1] < 0.9 * losses[0]), losses
    fresh = mixture(seed=1)
    for member in (0, 1):
        # The gap between the modes is no place for a row; at the start, F was lowest there.
        middle = free_energies(fitted, member, np.zeros((1, 2)))
        assert middle[0] > free_energies(fitted, member, fresh).mean() + 0.5


def test_trimming_keeps_outliers_unlikely():
    rng = np.random.default_rng(0)
    normal = 0.4 * rng.normal(size=(360, 2))
    outliers = 3.0 + 0.1 * rng.normal(size=(40, 2))
    rows = np.stack([np.concatenate([normal, outliers])] * 2)
    plain = train(rows, settings=LONG)
    trimmed = train(rows, settings=dataclasses.replace(LONG, trim=0.2))
    for member in (0, 1):
        gaps = [
            free_energies(fitted, member, outliers).mean()
            - free_energies(fitted, member, normal).mean()
            for fitted in (plain, trimmed)
        ]
        assert gaps[1] > gaps[0] + 3, gaps


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_extreme_rows_are_an_error_in_words(bad):
    rows = np.stack([mixture()] * 2)
    rows[1] = bad
    with pytest.raises(DivergedError) as caught:
        train(rows)
    for words in ("fit_ensemble", "member(s) [1]", "not finite", "learning_rate", "extreme values"):
        assert words in str(caught.value)


def test_a_parameter_that_is_not_finite_is_an_error():
    models = members(2)
    bias = models.visible_bias.at[1, 1].set(jnp.nan)
    broken = eqx.tree_at(lambda m: m.visible_bias, models, bias)
    with pytest.raises(DivergedError, match=r"member\(s\) \[1\] is not finite"):
        train(np.stack([mixture()] * 2), models=broken)


def test_a_time_budget_ends_training_early():
    rows, key = jnp.asarray(mixture()[None]), jax.random.key(1)
    objective = stacked(DenoisingScoreMatching.between(0.3), 1)
    budgets = (None, 1e-9)
    whole, cut = (
        fit_ensemble(members(1), rows, objective, key=key, settings=SHORT, time_budget=budget)
        for budget in budgets
    )
    assert len(whole.losses) == 10 and cut.losses == whole.losses[:1]


@pytest.mark.parametrize("n_updates", [1, 7, 25])
@pytest.mark.slow
def test_as_many_updates_as_asked(n_updates):
    seen = []

    class Counting(DenoisingScoreMatching):
        def ascend(self, key, model, batch, carry):
            jax.debug.callback(lambda _: seen.append(1), batch[0, 0])
            return super().ascend(key, model, batch, carry)

    rows = mixture()[None]
    settings = EnsembleSettings(n_updates=n_updates, batch_size=8)
    train(rows, members(1), objective=Counting(jnp.asarray([0.3])), settings=settings)
    jax.effects_barrier()
    assert len(seen) == n_updates


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_updates", 0),
        ("batch_size", 0),
        ("learning_rate", -1.0),
        ("averaging", 1.0),
        ("trim", 1.0),
        ("trim", float("nan")),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(InvalidInputError, match=rf"EnsembleSettings\({name}=.*got {value}"):
        EnsembleSettings(**{name: value})


@pytest.mark.slow
def test_a_warm_start_helps_the_likelihood():
    # Ten updates of the likelihood alone cannot find two modes; after score matching they need not.
    rows, key = mixture(), jax.random.key(1)
    model = take(members(1), 0)
    warmed = warm_start(model, rows, DenoisingScoreMatching.between(0.2), key=key, settings=LONG)
    fits = [fit(start, rows, n_updates=10, key=jax.random.key(2)) for start in (model, warmed)]
    fresh = jnp.asarray(mixture(seed=1))
    cold, warm = (
        float(-jax.vmap(fitted.model.free_energy)(fresh).mean()) - fitted.log_partition.value
        for fitted in fits
    )
    assert warm > cold + 0.3
    with pytest.raises(InvalidInputError, match="data of shape"):
        warm_start(model, rows[:, :1], DenoisingScoreMatching.between(0.2), key=key)
