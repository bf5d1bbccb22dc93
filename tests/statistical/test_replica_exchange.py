"""Kind of truth: statistical, 5 standard errors against exact draws of every level.

Replicas start at NumPy's exact draws of their own levels: a kernel that leaves the levels invariant
leaves them exact draws. Swaps that are wrong on purpose must fail the same check.

Seeds: starts 0, placing key(0), moves key(1), tuning key(2).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from statistical.truth import Truth

import harmonium.model as hm
from harmonium.errors import InvalidInputError
from harmonium.model import Center, Path
from harmonium.sampling import (
    HMC,
    MALA,
    Alternate,
    BlockGibbs,
    ReplicaExchange,
    sample,
    tune_replica_exchange,
)
from harmonium.sampling.chains import init_chains, run_chains

N_CHAINS = 10000
SIGMAS = 5.0
SD = np.sqrt(0.5)
LEVELS = jnp.asarray([0.0, 0.3, 0.6, 1.0])
MODELS = {
    "affine": brute.balanced_model("bernoulli"),
    "deep": brute.deep_model("bernoulli"),
    "affine on a mixture": brute.on_mixture(brute.balanced_model("bernoulli")),
}


def center_of(model):
    """Away from b/2, so that a forgotten center would show."""
    features = 0.3 * np.random.default_rng(0).normal(size=model.n_features)
    return Center(jnp.asarray([0.5, -0.4]), jnp.asarray(features))


class Ladder:
    """A model with exact draws of every level of the path that its replicas are on."""

    def __init__(self, name, centered):
        self.model = MODELS[name]
        self.center = center_of(self.model) if centered else None
        path = Path(self.model, self.center)
        self.truths = [Truth(path.at(float(beta)), self.model) for beta in LEVELS]
        rng = np.random.default_rng(0)
        draws = [truth.sample(rng, N_CHAINS) for truth in self.truths]
        self.starts = jnp.asarray(np.stack(draws, axis=1))

    def worst_score(self, positions):
        """The largest |z| over all levels of positions (chains, levels, visible)."""
        rows = np.asarray(positions)
        return max(t.worst_score(rows[:, level]) for level, t in enumerate(self.truths))


LADDERS = {
    "affine": Ladder("affine", centered=False),
    "affine, centered": Ladder("affine", centered=True),
    "deep, centered": Ladder("deep", centered=True),
    "affine on a mixture": Ladder("affine on a mixture", centered=False),
}


@eqx.filter_jit
def run(key, model, kernel, starts, n_steps, record=None):
    states = jax.vmap(kernel.place, in_axes=(None, None, 0))(jax.random.key(0), model, starts)
    return run_chains(key, model, kernel, states, n_steps=n_steps, record=record)


def exchange(name, inner, family=ReplicaExchange, **settings):
    return family(inner, LEVELS, center=LADDERS[name].center, **settings)


@pytest.mark.parametrize("name", LADDERS)
def test_the_reference_draws_pass_their_own_check(name):
    ladder = LADDERS[name]
    assert ladder.worst_score(ladder.starts) < SIGMAS
    # Levels differ by so much that one in place of its neighbor is caught.
    assert ladder.worst_score(ladder.starts[:, ::-1]) > 4 * SIGMAS
    shifted = np.roll(np.asarray(ladder.starts), 1, axis=1)
    assert ladder.worst_score(shifted) > 4 * SIGMAS


@pytest.mark.parametrize(
    ("name", "inner", "settings"),
    [
        ("affine", BlockGibbs(), {}),
        ("affine, centered", MALA(0.2), {"n_moves": 2}),
        ("deep, centered", MALA(0.2), {}),
        ("deep, centered", HMC(0.3, n_leapfrog=3), {}),
        ("affine on a mixture", BlockGibbs(), {}),
        ("affine on a mixture", Alternate(MALA(0.05), n_moves=1), {}),
    ],
)
@pytest.mark.slow
def test_replica_exchange_leaves_all_levels_invariant(name, inner, settings):
    ladder = LADDERS[name]
    kernel = exchange(name, inner, **settings)
    result = run(jax.random.key(1), ladder.model, kernel, ladder.starts, 15)
    states = result.states
    assert ladder.worst_score(states.replicas.position) < SIGMAS
    # What a chain shows is its replica at the model, and what it remembers is that of its position.
    np.testing.assert_array_equal(
        np.asarray(states.position), np.asarray(states.replicas.position[:, -1])
    )
    expected = brute.free_energies(ladder.model, np.asarray(states.position))
    np.testing.assert_allclose(np.asarray(states.free_energy), expected, rtol=1e-9, atol=1e-9)
    for level, truth in enumerate(ladder.truths):
        rows = np.asarray(states.replicas.position[:, level])
        np.testing.assert_allclose(
            np.asarray(states.replicas.free_energy[:, level]),
            brute.free_energies(truth.model, rows),
            rtol=1e-9,
            atol=1e-9,
        )


class Swapping(ReplicaExchange):
    """After each step, one more swap of the two uppermost levels, always accepted: wrong on
    purpose."""

    def step(self, key, model, state):
        """Move and swap as usual, then once more without asking."""
        state, info = ReplicaExchange.step(self, key, model, state)
        key = jax.random.fold_in(key, 1)
        return self.place(key, model, state.replicas.position[jnp.asarray([0, 1, 3, 2])]), info


class Asking(ReplicaExchange):
    """The same additional swap, accepted by the rule: nothing but the acceptance is wrong above."""

    def step(self, key, model, state):
        """Move and swap as usual, then once more by min(1, exp(F2(x2) + F3(x3) - F2(x3) -
        F3(x2)))."""
        state, info = ReplicaExchange.step(self, key, model, state)
        order = jnp.asarray([0, 1, 3, 2])
        swapped = self.place(key, model, state.replicas.position[order])
        log_ratio = jnp.sum(state.replicas.free_energy) - jnp.sum(swapped.replicas.free_energy)
        swap = jnp.log(jax.random.uniform(jax.random.fold_in(key, 1), dtype=float)) < log_ratio
        return jax.tree.map(lambda new, old: jnp.where(swap, new, old), swapped, state), info


class Stale(ReplicaExchange):
    """Wrong on purpose: replicas at the two uppermost levels remember each other's free energy."""

    def step(self, key, model, state):
        """Move and swap as usual, then carry along what was computed for another level."""
        state, info = ReplicaExchange.step(self, key, model, state)
        stale = state.replicas.free_energy[jnp.asarray([0, 1, 3, 2])]
        return state._replace(replicas=state.replicas._replace(free_energy=stale)), info


@pytest.mark.parametrize(("family", "caught"), [(Swapping, True), (Stale, True), (Asking, False)])
@pytest.mark.slow
def test_swaps_that_are_wrong_on_purpose_are_caught(family, caught):
    ladder = LADDERS["affine, centered"]
    kernel = exchange("affine, centered", MALA(0.2), family)
    result = run(jax.random.key(1), ladder.model, kernel, ladder.starts, 10)
    top = ladder.truths[-1].worst_score(result.states.position)
    assert top > 2 * SIGMAS if caught else top < SIGMAS


@pytest.mark.slow
def test_infos_tell_what_happened():
    ladder = LADDERS["affine, centered"]
    kernel = exchange("affine, centered", MALA(0.2))
    record = lambda states, info: info  # noqa: E731
    info = run(jax.random.key(1), ladder.model, kernel, ladder.starts, 2, record).trace
    path = Path(ladder.model, ladder.center)
    for step, expected in enumerate([[True, False, True], [False, True, False]]):
        attempted = np.asarray(info.attempted[step])
        np.testing.assert_array_equal(attempted, np.broadcast_to(expected, attempted.shape))
    # Replicas are exact draws of their levels: works obey <exp(-w)> = Z_upper / Z_lower from below,
    # <exp(w)> = Z_lower / Z_upper from above, and swaps the mean of their acceptance.
    log_partitions = [brute.Mixture(path.at(float(beta))).log_partition for beta in LEVELS]
    for pair in range(3):
        step = 0 if pair in (0, 2) else 1
        up, down = info.work_up[step, :, pair], info.work_down[step, :, pair]
        ratio = np.exp(log_partitions[pair + 1] - log_partitions[pair])
        brute.assert_within(np.exp(-np.asarray(up)), ratio, label=f"up {pair}")
        brute.assert_within(np.exp(np.asarray(down)), 1 / ratio, label=f"down {pair}")
        probability = np.minimum(1, np.exp(np.asarray(down) - np.asarray(up)))
        np.testing.assert_allclose(
            np.asarray(info.swap_acceptance[step, :, pair]), probability, rtol=1e-9
        )
    # Nothing comes from the base to the model in two steps, past three pairs.
    assert not np.any(np.asarray(info.round_trip))


def far_modes(shift=0.0):
    """Two modes 8 standard deviations apart along the first axis, h = 0 with mass 0.7, h = 1 with
    0.3."""
    model = hm.Harmonium(2, 1, key=jax.random.key(0))
    weights = jnp.asarray([[16 * SD, 0.0]])
    bias = jnp.asarray([shift, 0.0])
    drive = jnp.sum((bias - weights[0]) ** 2) - jnp.sum(bias**2)
    hidden_bias = jnp.log(jnp.asarray([3 / 7])) - drive / 4
    return eqx.tree_at(
        lambda m: (m.weights, m.visible_bias, m.hidden_bias), model, (weights, bias, hidden_bias)
    )


def share_of_second_mode(model, positions):
    middle = float(model.visible_bias[0]) / 2 - 4 * SD
    return np.mean(np.asarray(positions)[..., 0] < middle, axis=-1)


@eqx.filter_jit
def run_from_one_mode(key, model, kernel, n_steps):
    start = jnp.broadcast_to(model.visible_bias / 2, (200, 2))
    states = init_chains(key, model, kernel, start)
    record = lambda states, info: states.position  # noqa: E731
    return run_chains(key, model, kernel, states, n_steps=n_steps, record=record).trace


@pytest.mark.slow
def test_modes_far_apart_get_their_shares_from_a_start_in_one_of_them():
    model = far_modes()
    assert brute.Mixture(model).probabilities == pytest.approx([0.7, 0.3])
    kernel = tune_replica_exchange(jax.random.key(2), model, BlockGibbs())
    trace = run_from_one_mode(jax.random.key(1), model, kernel, 600)[100:]
    shares = share_of_second_mode(model, np.swapaxes(np.asarray(trace), 0, 1))
    brute.assert_within(shares, [0.3])
    # The same starts under plain MALA stay where they are, but for a rare one.
    trace = run_from_one_mode(jax.random.key(1), model, MALA(0.4), 600)[100:]
    assert share_of_second_mode(model, np.asarray(trace)).mean() < 0.05


@pytest.mark.parametrize("kernel", [ReplicaExchange(MALA()), ReplicaExchange(BlockGibbs()), None])
@pytest.mark.slow
def test_samples_have_the_right_shares(kernel):
    model = far_modes(shift=4.0)
    result = sample(model, 2000, key=jax.random.key(1), kernel=kernel, n_steps=400)
    # Annealed weights have an error of their own: as if a quarter of the chains were drawn.
    error = np.sqrt(0.3 * 0.7 / 500)
    assert share_of_second_mode(model, result.samples) == pytest.approx(0.3, abs=5 * error)
    diagnostics = result.diagnostics
    assert diagnostics.trusted and "may be trusted" in diagnostics.verdict
    assert (diagnostics.round_trips is None) == (kernel is None)
    assert kernel is None or (diagnostics.round_trips or 0.0) > 3


@pytest.mark.slow
def test_tuning_spaces_the_levels():
    model = brute.affine_model("bernoulli", n_visible=6, n_hidden=8, seed=1, scale=1.5)
    kernel = tune_replica_exchange(jax.random.key(2), model)
    levels = np.asarray(kernel.inverse_temperatures)
    assert levels[0] == 0 and levels[-1] == 1 and np.all(np.diff(levels) > 0)
    assert type(kernel.kernel) is BlockGibbs and kernel.center is not None
    starts = jnp.zeros((100, kernel.n_levels, 6))
    record = lambda states, info: info  # noqa: E731
    info = run(jax.random.key(1), model, kernel, starts, 300, record).trace
    info = jax.tree.map(lambda leaf: np.asarray(leaf)[100:], info)
    accepted = np.sum(info.swap_acceptance * info.attempted, axis=(0, 1))
    accepted /= np.sum(info.attempted, axis=(0, 1))
    assert np.all((accepted > 0.2) & (accepted < 0.95))
    assert info.round_trip.sum() / 100 > 1


@pytest.mark.parametrize("arguments", [{"inverse_temperatures": [1.0]}, {"n_moves": 0}])
def test_schedules_that_cannot_work_are_refused(arguments, unannotated):
    with pytest.raises(InvalidInputError, match=r"at least two rising.*Try: jnp.linspace"):
        ReplicaExchange(MALA(), **arguments)


def test_draws_of_a_broken_model_are_refused():
    broken = eqx.tree_at(lambda m: m.hidden_bias, far_modes(), jnp.asarray([jnp.nan]))
    with pytest.raises(InvalidInputError, match=r"finite parameters.*model\.hidden_bias"):
        sample(broken, 5, key=jax.random.key(0))
