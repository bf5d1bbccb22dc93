"""Kind of truth: statistical, log Z and draws by importance from a base, against enumeration and
grids; refusals.

Seeds: models 0 to 19 and those named beside each test, keys 0 to 3.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import brute
from scipy.special import logsumexp

import harmonium as hm
from harmonium.likelihood import importance
from harmonium.likelihood.estimate import MAX_AUTO_QUADRATURE_COMPONENTS
from harmonium.model import Mixture, MixtureBase, Path, center_at, with_wide_component
from harmonium.sampling import HMC, Alternate, BlockGibbs, sample
from harmonium.sampling.equilibrium import check_equilibrium
from harmonium.sampling.importance import CHUNK, draw_weighted, pareto_k, weigh
from harmonium.sampling.sample import _rounded_up
from harmonium.sampling.starts import find_modes

# Nats: what an interval may be off, of a standard error of a few thousandths.
SLACK = 0.02


class Hidden(eqx.Module):
    """Affine, but not known to be: no hidden states are summed, and no bound comes to the
    rescue."""

    matrix: jax.Array
    offset: jax.Array

    def __call__(self, x):
        """A x + d."""
        return self.matrix @ x + self.offset


def hidden_affine(model):
    """The model without the knowledge that its map is affine."""
    return eqx.tree_at(lambda m: m.feature_map, model, Hidden(*model.affine_form()))


def based(seed, scale, n_visible=5, n_hidden=6):
    """A random affine model on a mixture of three components and a wide one, with its weights
    scaled."""
    model = brute.affine_model("bernoulli", n_visible, n_hidden, seed=seed, scale=1.0)
    model = eqx.tree_at(lambda m: m.weights, model, scale * model.weights)
    return brute.on_mixture(model, with_wide_component(brute.random_mixture(n_visible, seed=seed)))


@pytest.mark.slow
def test_intervals_hold_the_exact_value_of_twenty_models():
    n_trusted, widths = 0, []
    for seed, scale in enumerate(np.linspace(0.03, 0.15, 20)):
        exact_model = based(seed, scale)
        model, exact = hidden_affine(exact_model), brute.Mixture(exact_model).log_partition
        key = jax.random.key(seed)
        found = hm.estimate_log_partition(model, key=key, method="importance")
        if found.trusted:
            n_trusted += 1
            widths.append(found.high - found.low)
            assert found.pareto_k is not None and found.pareto_k < 0.7 and found.ess >= 400
            assert abs(found.value - exact) < 4 * found.standard_error
        else:
            # Where it is trusted, "auto" is the same estimate (the next test).
            found = hm.estimate_log_partition(model, key=key)
            assert found.method == "bar"
        right = found.low - SLACK <= exact <= found.high + SLACK
        assert right or not found.trusted, f"model {seed}: {found.value - exact:+.3f}"
    # Otherwise nothing was shown, of either.
    assert 14 <= n_trusted < 20
    assert max(widths) < 0.2


def test_auto_takes_what_the_base_says_where_it_is_near():
    model = based(3, 0.1)
    exact = brute.Mixture(model).log_partition
    rows = brute.Mixture(model).sample(np.random.default_rng(0), 300)
    found = hm.estimate_log_partition(
        hidden_affine(model), key=jax.random.key(0), starts=jnp.asarray(rows)
    )
    assert found.method == "importance" and found.trusted, found.verdict
    assert found.low - SLACK <= exact <= found.high + SLACK
    assert "Pareto k" in found.verdict and "jumps" in found.verdict
    again = hm.estimate_log_partition(
        hidden_affine(model),
        key=jax.random.key(0),
        method="importance",
        starts=jnp.asarray(rows),
    )
    assert again == found
    # A map known to be affine is enumerated, and a model without interaction is its base.
    assert hm.estimate_log_partition(model, key=jax.random.key(0)).method == "exact"
    alone = eqx.tree_at(lambda m: m.weights, hidden_affine(model), jnp.zeros_like(model.weights))
    assert hm.estimate_log_partition(alone, key=jax.random.key(0)).method == "exact"


def test_in_the_plane_many_components_are_not_integrated_one_by_one():
    """Grids of their own would take minutes, and weights are as good."""
    model = brute.affine_model("bernoulli", 2, 10, seed=11, scale=1.0)
    model = eqx.tree_at(lambda m: m.weights, model, 0.05 * model.weights)
    mixture = with_wide_component(brute.random_mixture(2, n_components=4, seed=11))
    model = brute.on_mixture(model, mixture)
    assert model.base.tilted(model.visible_bias)[1].n_components > MAX_AUTO_QUADRATURE_COMPONENTS
    found = hm.estimate_log_partition(hidden_affine(model), key=jax.random.key(0))
    exact = hm.exact_log_partition(model)
    assert found.method == "importance" and found.trusted
    assert found.low - SLACK <= exact <= found.high + SLACK


def test_more_is_drawn_where_too_few_draws_are_effective(monkeypatch):
    path, key = Path(based(3, 0.1)), jax.random.key(1)
    first = draw_weighted(key, path, importance.N_DRAWS)
    monkeypatch.setattr(importance, "FEWEST_EFFECTIVE", first.ess() + 1)
    more = importance._effective_draws(key, path)
    assert more.n_draws == 4 * first.n_draws and more.ess() > first.ess()
    np.testing.assert_array_equal(more.positions[: first.n_draws], first.positions)
    monkeypatch.setattr(importance, "MOST_DRAWS", first.n_draws)
    assert importance._effective_draws(key, path).n_draws == first.n_draws


def test_a_model_far_from_its_base_is_not_trusted():
    model = hidden_affine(based(3, 1.0))
    found = hm.estimate_log_partition(model, key=jax.random.key(0), method="importance")
    assert found.method == "importance" and not found.trusted
    assert found.ess < 400 and "far from its base" in found.verdict


@pytest.mark.slow
def test_auto_goes_on_to_bridges_where_the_base_is_far():
    model = based(3, 1.0)
    exact = brute.Mixture(model).log_partition
    found = hm.estimate_log_partition(hidden_affine(model), key=jax.random.key(0))
    assert found.method == "bar" and found.pareto_k is None
    right = found.low - SLACK <= exact <= found.high + SLACK
    assert right or not found.trusted, f"{found.value - exact:+.3f}; {found.verdict}"


@pytest.mark.parametrize("method", ["ais", "smc", "reverse_ais", "bar"])
@pytest.mark.slow
def test_every_other_method_works_on_a_mixture_too(method):
    model = based(3, 0.2)
    exact = brute.Mixture(model).log_partition
    found = hm.estimate_log_partition(hidden_affine(model), key=jax.random.key(2), method=method)
    assert found.trusted, found.verdict
    assert 1e-5 < found.standard_error < 0.1
    assert abs(found.value - exact) < 5 * found.standard_error


def with_mode_beyond(share, distance=8.0):
    """A base of one Gaussian, N(0, I/4), and a hidden unit that adds a mode with this share, so
    many of its standard deviations away.

    Tilted by t the base has mean t/4 and mass exp(|t|²/8).
    """
    sd = 0.5
    mixture = Mixture.from_moments(np.ones(1), np.zeros((1, 3)), sd**2 * np.eye(3)[None])
    model = hm.Harmonium(3, 1, base=MixtureBase(mixture), key=jax.random.key(0))
    tilt = distance * sd / sd**2
    weights = jnp.asarray([[-tilt, 0.0, 0.0]])
    bias = math.log(share / (1 - share)) - sd**2 * tilt**2 / 2
    return eqx.tree_at(lambda m: (m.weights, m.hidden_bias), model, (weights, jnp.asarray([bias])))


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_mode_that_the_base_does_not_have_is_found_or_trust_is_refused(share, is_known):
    model = with_mode_beyond(share)
    exact = brute.Mixture(model).log_partition
    assert exact == pytest.approx(-math.log(1 - share), abs=1e-9)
    model = model if is_known else hidden_affine(model)
    found = hm.estimate_log_partition(model, key=jax.random.key(1), method="importance")
    right = found.low - SLACK <= exact <= found.high + SLACK
    assert right or not found.trusted, f"{found.value - exact:+.3f}; {found.verdict}"
    assert is_known or "of 256 chains from dispersed starts ended in modes" in found.verdict


class Bump(eqx.Module):
    """A feature that is nothing but near one place."""

    place: jax.Array

    def __call__(self, x):
        """A Gaussian of width 0.3."""
        return jnp.exp(-jnp.sum((x - self.place) ** 2) / (2 * 0.3**2))[None]


def test_given_rows_in_a_mode_of_their_own_are_a_concern():
    # Draws of the base and slopes there know nothing of it: only rows do.
    place = np.array([4.0, 0, 0])
    model = eqx.tree_at(lambda m: m.feature_map, with_mode_beyond(0.3), Bump(jnp.asarray(place)))
    model = eqx.tree_at(
        lambda m: (m.weights, m.hidden_bias),
        model,
        (jnp.asarray([[-60.0]]), jnp.asarray([-5.0])),
    )
    blind = hm.estimate_log_partition(model, key=jax.random.key(1), method="importance")
    assert blind.trusted and blind.ess > 65_000 and blind.pareto_k == -1
    rows = place + np.random.default_rng(0).normal(size=(100, 3)) / 20
    found = hm.estimate_log_partition(
        model, key=jax.random.key(1), method="importance", starts=jnp.asarray(rows)
    )
    assert not found.trusted
    assert "of the draws of the model lie where the base hardly draws" in found.verdict


def far_pair(scale, seed=0):
    """Two modes 8 standard deviations apart with shares 0.3 and 0.7 in the base, and a random
    residual."""
    sd, apart = 0.4, np.array([4 * 0.4, 0.0])
    mixture = Mixture.from_moments(
        np.array([0.3, 0.7]), np.stack([-apart, apart]), sd**2 * np.stack([np.eye(2)] * 2)
    )
    model = brute.deep_model("bernoulli", n_hidden=6, seed=seed, scale=scale)
    model = brute.on_mixture(model, with_wide_component(mixture))
    return eqx.tree_at(lambda m: m.visible_bias, model, 0.1 * model.visible_bias)


def left_share(model):
    """The mass at x_0 < 0, by the rectangle rule."""
    nodes, _ = brute.grid(2, half_width=6.0, n_points=401)
    log_density = -brute.free_energies(model, nodes)
    weights = np.exp(log_density - logsumexp(log_density))
    return weights[nodes[:, 0] < 0].sum()


@pytest.mark.parametrize("seed", [0, 1])
def test_samples_have_the_shares_of_modes_far_apart(seed):
    model = far_pair(0.5, seed)
    share, n = left_share(model), 6000
    assert 0.05 < share < 0.95
    drawn = sample(model, n, key=jax.random.key(seed))
    error = math.sqrt(share * (1 - share) / n)
    rows = np.asarray(drawn.samples)
    assert np.mean(rows[:, 0] < 0) == pytest.approx(share, abs=3 * error)
    diagnostics = drawn.diagnostics
    assert diagnostics.trusted and diagnostics.way == "importance"
    assert diagnostics.n_proposals >= 16 * n and diagnostics.ess > n


def test_the_residual_moves_the_shares():
    # Otherwise draws of the base alone would pass.
    assert max(abs(left_share(far_pair(0.5, seed)) - 0.3) for seed in (0, 1)) > 0.03


@pytest.mark.parametrize(("scale", "kernel"), [(0.1, "none"), (0.2, "BlockGibbs")])
def test_draws_are_moved_where_some_are_taken_twice(scale, kernel):
    model = based(3, scale)
    drawn = sample(model, 3000, key=jax.random.key(0))
    found = drawn.diagnostics
    assert found.kernel == kernel and found.way == "importance" and found.trusted
    assert found.jump_acceptance is None
    assert found.is_independent == (found.n_ancestors == found.n_chains) == (kernel == "none")
    assert len(np.unique(drawn.samples, axis=0)) == 3000
    brute.assert_within(drawn.samples, brute.Mixture(model).mean, label="mean")


def test_draws_of_a_deep_model_are_moved_by_chains_that_jump():
    drawn = sample(hidden_affine(based(3, 0.2)), 3000, key=jax.random.key(0))
    found = drawn.diagnostics
    assert found.kernel == "Alternate(HMC)" and found.way == "importance" and found.trusted
    assert 0.1 < (found.jump_acceptance or 0.0) <= 1 and found.acceptance > 0.5
    brute.assert_within(drawn.samples, brute.Mixture(based(3, 0.2)).mean, label="mean")


def test_independent_draws_have_the_mean_of_the_model_in_any_part():
    # Systematic resampling keeps the order of what it takes: the front has to be like the rest.
    model = based(3, 0.1)
    mean = brute.Mixture(model).mean
    rows = np.asarray(sample(model, 4096, key=jax.random.key(1)).samples)
    for part in (rows[:512], rows[-512:]):
        brute.assert_within(part, mean, label="mean of a part")


def test_samples_of_a_model_far_from_its_base_are_annealed():
    drawn = sample(based(3, 1.0), 300, key=jax.random.key(0), n_steps=40)
    assert drawn.diagnostics.way == "annealing"
    assert len(drawn.samples) == 300
    # As many chains as a sample of 500 has, so that nothing is compiled for that one.
    assert drawn.diagnostics.n_proposals == drawn.diagnostics.n_chains == 512


@pytest.mark.parametrize(
    ("asked", "run"), [(1, 256), (256, 256), (257, 512), (4096, 4096), (4097, 8192), (9000, 12288)]
)
def test_chains_come_in_few_numbers(asked, run):
    assert _rounded_up(asked) == run


def test_a_kernel_that_is_given_moves_annealed_chains():
    drawn = sample(based(3, 0.1), 10, key=jax.random.key(0), kernel=BlockGibbs(), n_steps=8)
    assert drawn.diagnostics.way == "annealing" and drawn.diagnostics.kernel == "BlockGibbs"


# Weighted draws by themselves


def paths():
    mixed = based(1, 0.1, n_visible=2, n_hidden=3)
    plain = brute.balanced_model("spin")
    rows = jnp.asarray([[0.4, -0.6], [0.2, 0.1]])
    return {"mixture": Path(mixed), "centered": Path(plain, center_at(plain, rows))}


@pytest.mark.parametrize("name", ["mixture", "centered"])
def test_weighted_draws_are_those_of_the_model(name):
    path = paths()[name]
    exact = brute.Mixture(path.model)
    draws = draw_weighted(jax.random.key(0), path, 20_000)
    rows = np.asarray(draws.positions)
    assert draws.n_draws == len(rows) == -(-20_000 // CHUNK) * CHUNK
    expected = brute.free_energies(path.base, rows) - brute.free_energies(path.model, rows)
    np.testing.assert_allclose(np.asarray(draws.log_weights), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(weigh(path, rows[:5000]), expected[:5000], rtol=1e-9, atol=1e-9)
    base = brute.Mixture(path.base)
    brute.assert_within(rows, base.mean, label="base")
    # Z = E_base[Z_base w].
    ratios = np.exp(np.asarray(draws.log_weights) + base.log_partition - exact.log_partition)
    brute.assert_within(ratios[:, None], 1.0, label="weights")
    assert draws.ess() == pytest.approx(ratios.sum() ** 2 / (ratios**2).sum(), rel=1e-6)
    chosen, index = draws.resampled(jax.random.key(1), 3000)
    np.testing.assert_array_equal(np.asarray(chosen), rows[np.asarray(index)])
    # The error of the weighted mean, and that of picking 3000.
    shares = ratios / ratios.sum()
    variance = (shares**2 + shares / 3000) @ (rows - exact.mean) ** 2
    deviation = np.abs(np.asarray(chosen).mean(axis=0) - exact.mean)
    assert np.all(deviation < 5 * np.sqrt(variance))


@pytest.mark.parametrize("shape", [0.1, 0.4, 0.8, 1.2])
def test_the_shape_of_a_pareto_tail_is_found(shape):
    # w = 1/U^k is exactly Pareto: excesses over any threshold have shape k.
    log_weights = shape * np.random.default_rng(0).exponential(size=40_000)
    n_tail = 3 * math.sqrt(40_000)
    error = (1 + shape) / math.sqrt(n_tail)
    # Ten draws of the prior at 1/2 pull a little.
    pull = 10 / n_tail * abs(shape - 0.5)
    assert pareto_k(log_weights) == pytest.approx(shape, abs=4 * error + pull)
    assert pareto_k(log_weights + 500) == pytest.approx(pareto_k(log_weights), abs=1e-9)


def test_bounded_weights_have_no_heavy_tail():
    uniform = np.log(np.random.default_rng(0).uniform(size=40_000))
    assert pareto_k(uniform) < -0.5
    assert pareto_k(np.zeros(1000)) == -1.0
    assert pareto_k(np.minimum(np.random.default_rng(0).normal(size=4000), 0.5)) == -1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_have_no_shape(bad):
    assert pareto_k(np.append(np.zeros(1000), bad)) == math.inf


# Whether chains travel


def test_chains_travel_between_modes_of_the_base():
    model = far_pair(0.5)
    _, kernel = find_modes(jax.random.key(2), model, HMC())
    one = np.array([-1.6, 0.0]) + 0.4 * np.random.default_rng(0).normal(size=(64, 2))
    found = check_equilibrium(jax.random.key(3), model, kernel, {"one mode": jnp.asarray(one)})
    assert found.agrees, found.describe()
    assert found.kernel == "Alternate(HMC)" and found.jump_acceptance > 0.1
    assert f"{found.jump_acceptance:.0%} of their jumps accepted" in found.describe()


def test_the_step_size_is_found_over_the_burn_in():
    # A kernel that jumps already makes one move between jumps here.
    model = far_pair(0.5)
    kernel = Alternate(HMC(5.0), n_moves=3)
    one = jnp.asarray(np.random.default_rng(0).normal(size=(64, 2)))
    found = check_equilibrium(jax.random.key(3), model, kernel, {"rows": one})
    assert found.kernel == "Alternate(HMC)" and found.n_steps == 600
    assert found.acceptance == pytest.approx(0.8, abs=0.1)
    assert found.agrees, found.describe()
