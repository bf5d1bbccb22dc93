"""Kind of truth: statistical; models whose modes and autocorrelation times are known.

R-hat is compared with its definition in NumPy, traces with enumeration.

Seeds: starts and AR(1) default_rng(0), base of a new model key(0), moves key(1) and key(2).
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats
from exact import brute
from scipy.stats import norm, rankdata

import harmonium.model as hm
from harmonium.errors import InvalidInputError
from harmonium.sampling import MALA, BlockGibbs, Langevin, diagnose_chains
from harmonium.sampling.diagnostics import (
    ESS_AT_LEAST,
    R_HAT_BELOW,
    autocorrelation_time,
    lagged_correlation,
    project,
    trace_chains,
)

SD = math.sqrt(0.5)
SIGMAS = 5.0


def two_modes(separation, n_visible=2):
    """Equal modes at ±w/4, so many of their standard deviations apart: b = w/2, c = 0, k = 1."""
    direction = np.array([0.6, -0.8]) if n_visible == 2 else np.array([1.0])
    weights = 2 * separation * SD * direction
    model = hm.Harmonium(n_visible, 1, key=jax.random.key(0))
    leaves = (weights[None, :], weights / 2, np.zeros(1))
    return eqx.tree_at(
        lambda m: (m.weights, m.visible_bias, m.hidden_bias),
        model,
        tuple(jnp.asarray(leaf) for leaf in leaves),
    )


def draws_by_mode(model, n_chains=64):
    """Exact draws of each mode alone, by NumPy."""
    rng = np.random.default_rng(0)
    means = brute.Mixture(model).means
    return [mean + SD * rng.normal(size=(n_chains, len(mean))) for mean in means]


def one_start_per_mode(model, n_chains=64):
    left, right = draws_by_mode(model, n_chains)
    return {"left": jnp.asarray(left), "right": jnp.asarray(right)}


def gaussian(n_visible=2):
    """W = 0: the exactly normal base, where E[h|x] does not depend on x."""
    return hm.Harmonium(n_visible, 3, key=jax.random.key(0))


def three_starts(n_chains=64, n_visible=2):
    rows = np.random.default_rng(0).normal(size=(3, n_chains, n_visible))
    return dict(zip(("data", "population", "base"), jnp.asarray(rows), strict=True))


# What the verdict says


def test_starts_of_a_unimodal_model_agree():
    # Twice the autocorrelation time over n_steps, 2 * 2.5 / 200, is what R-hat exceeds 1 by.
    result = diagnose_chains(jax.random.key(1), gaussian(), MALA(0.3), three_starts())
    assert result.agrees
    assert result.r_hat < 1.04 and result.start_r_hat < 1.01
    assert min(result.bulk_ess, result.tail_ess) > ESS_AT_LEAST
    assert max(result.start_gaps.values()) < 0.2
    assert (result.n_chains, result.n_steps, result.kernel) == (192, 200, "MALA")
    text = result.describe()
    assert text.startswith("MALA chains from data, population and base agree after 200 steps (")
    assert result.worst in text and f"effective sample size {result.bulk_ess:.0f}" in text


def test_a_far_start_is_forgotten_in_the_burn_in():
    starts = three_starts() | {"base": jnp.zeros((64, 2)) + 20.0}
    assert diagnose_chains(jax.random.key(1), gaussian(), BlockGibbs(), starts).agrees


def test_chains_that_cannot_travel_between_modes_do_not_agree():
    model = two_modes(8)
    result = diagnose_chains(jax.random.key(1), model, MALA(0.3), one_start_per_mode(model))
    assert not result.agrees
    assert min(result.r_hat, result.start_r_hat) > 1.5
    # Nothing is shared by the starts: the largest gap there can be.
    assert result.start_gaps["left"] == pytest.approx(2.0, abs=0.05)
    text = result.describe()
    assert "from left and right do NOT agree after 200 steps" in text
    assert "Draws depend on where chains start" in text


def test_starts_with_the_right_shares_do_not_hide_that_chains_cannot_travel():
    model = two_modes(8)
    left, right = draws_by_mode(model, 256)
    starts = {
        name: jnp.asarray(np.vstack([left[part], right[part]]))
        for name, part in {"data": slice(0, 128), "population": slice(128, 256)}.items()
    }
    result = diagnose_chains(jax.random.key(1), model, MALA(0.3), starts)
    assert result.start_r_hat < 1.02 and result.r_hat > 1.5
    # So many chains have an effective sample size in any case: only R-hat tells.
    assert result.bulk_ess > ESS_AT_LEAST
    assert not result.agrees
    assert "do NOT travel between separate modes" in result.describe()


def test_gibbs_travels_between_mild_modes():
    model = two_modes(2)
    result = diagnose_chains(jax.random.key(1), model, BlockGibbs(), one_start_per_mode(model))
    assert result.agrees
    assert result.acceptance == 1.0


def test_hidden_means_show_modes_that_energies_do_not():
    # F and |x|² have one distribution in both modes; only a direction tells them apart.
    model = two_modes(8)
    result = diagnose_chains(jax.random.key(1), model, MALA(0.3), one_start_per_mode(model))
    assert "direction 1" in result.worst


def test_one_start_is_judged_by_its_chains_alone():
    result = diagnose_chains(
        jax.random.key(1), gaussian(), BlockGibbs(), {"data": three_starts()["data"]}
    )
    assert math.isnan(result.start_r_hat) and math.isnan(result.start_gaps["data"])
    assert result.agrees
    assert result.describe().startswith("BlockGibbs chains from data agree")


def test_too_few_draws_are_not_agreement():
    starts = {name: rows[:2] for name, rows in three_starts().items()}
    result = diagnose_chains(jax.random.key(1), gaussian(), BlockGibbs(), starts, n_steps=100)
    assert result.r_hat < R_HAT_BELOW + 0.1 and result.bulk_ess < ESS_AT_LEAST
    assert not result.agrees


# What must not disturb it


def test_what_cannot_vary_is_left_out():
    # W = 0: hidden means are constant, and no number may suffer from it.
    result = diagnose_chains(jax.random.key(1), gaussian(), BlockGibbs(), three_starts())
    assert result.agrees
    assert "hidden" not in result.worst


@pytest.mark.filterwarnings("error")
def test_values_that_are_not_finite_are_told():
    model = gaussian()
    model = eqx.tree_at(lambda m: m.weights, model, model.weights.at[0, 0].set(jnp.nan))
    result = diagnose_chains(jax.random.key(1), model, MALA(0.3), three_starts())
    assert not result.agrees
    assert math.isnan(result.r_hat) and result.worst == "free energy"
    assert "the free energy did not stay finite" in result.describe()


@pytest.mark.filterwarnings("error")
def test_one_lost_chain_is_enough():
    starts = three_starts()
    starts["data"] = starts["data"].at[0, 0].set(jnp.inf)
    result = diagnose_chains(jax.random.key(1), gaussian(), MALA(0.3), starts)
    assert not result.agrees
    assert "did not stay finite" in result.describe()


@pytest.mark.filterwarnings("error")
def test_chains_that_never_move():
    apart = diagnose_chains(jax.random.key(1), gaussian(), MALA(0.0), three_starts())
    assert not apart.agrees and apart.r_hat > 100
    assert "R-hat above 100" in apart.describe()
    together = {name: jnp.ones((4, 2)) for name in ("data", "base")}
    result = diagnose_chains(jax.random.key(1), gaussian(), MALA(0.0), together)
    assert not result.agrees and math.isnan(result.r_hat) and result.worst == ""
    assert "did not move at all" in result.describe()


@pytest.mark.parametrize(
    "starts",
    [
        {},
        {"data": jnp.zeros((8, 3))},
        {"data": jnp.zeros(2)},
        {"data": jnp.zeros((1, 2))},
        {"data": jnp.zeros((8, 2)), "base": jnp.zeros((4, 2))},
    ],
    ids=["none", "other columns", "one row", "one chain", "unequal"],
)
def test_wrong_starts_are_refused_in_words(starts, unannotated):
    with pytest.raises(InvalidInputError, match=r"of one shape \(chains, 2\).*got starts of"):
        diagnose_chains(jax.random.key(1), gaussian(), MALA(0.3), starts)


@pytest.mark.parametrize(("n_steps", "thin"), [(15, 2), (200, 0), (200, 26), (0, 1)])
def test_too_few_steps_are_refused_in_words(n_steps, thin):
    with pytest.raises(InvalidInputError, match=rf"8 \* thin; .*n_steps={n_steps}, thin={thin}"):
        diagnose_chains(
            jax.random.key(1), gaussian(), MALA(0.3), three_starts(), n_steps=n_steps, thin=thin
        )


def test_the_fewest_steps_that_are_taken_give_numbers():
    result = diagnose_chains(
        jax.random.key(1), gaussian(), MALA(0.3), three_starts(), n_steps=8, thin=1
    )
    assert math.isfinite(result.r_hat) and math.isfinite(result.tail_ess)


class Counting(eqx.Module):
    """The identity, which counts how often it is traced."""

    calls: list = eqx.field(static=True)

    def __call__(self, x):
        self.calls.append(1)
        return x


def test_a_second_call_of_one_shape_does_not_compile():
    calls = []
    model = hm.Harmonium(2, 3, feature_map=Counting(calls), key=jax.random.key(0))
    diagnose_chains(jax.random.key(1), model, MALA(0.3), three_starts(8), n_steps=16)
    n_calls = len(calls)
    other = eqx.tree_at(lambda m: m.hidden_bias, model, model.hidden_bias + 1)
    diagnose_chains(jax.random.key(2), other, MALA(0.1), three_starts(8), n_steps=16)
    assert len(calls) == n_calls > 0


# What it measures


def test_traces_are_what_their_names_say():
    # With one visible unit a projection is s (x - mean of x), so x can be had back from it.
    model = two_modes(2, n_visible=1)
    positions = jnp.asarray(draws_by_mode(model)[0])
    traces, acceptance, _ = trace_chains(jax.random.key(1), model, MALA(0.3), positions, 10, 20, 2)
    flat = {name: np.asarray(trace).ravel() for name, trace in traces.items()}
    directions = {"visible units, direction 1", "hidden means, direction 1"}
    assert set(flat) == {"free energy", "|x|²"} | directions
    assert {trace.shape for trace in traces.values()} == {(20, 64)}
    assert 0 < float(acceptance) < 1
    projection = flat["visible units, direction 1"]
    curvature, slope, square = np.polyfit(projection, flat["|x|²"], 2)
    assert curvature == pytest.approx(1, abs=1e-9)
    x = projection + slope / 2
    np.testing.assert_allclose(x**2, flat["|x|²"], atol=1e-9)
    assert square == pytest.approx((slope / 2) ** 2, abs=1e-9)
    sign = min((1, -1), key=lambda s: np.abs(energies(model, s * x) - flat["free energy"]).max())
    np.testing.assert_allclose(energies(model, sign * x), flat["free energy"], atol=1e-9)
    hidden = brute.hidden_means(model, sign * x[:, None])[:, 0]
    found = flat["hidden means, direction 1"]
    np.testing.assert_allclose(np.abs(hidden - hidden.mean()), np.abs(found), atol=1e-9)


def energies(model, x):
    return brute.free_energies(model, x[:, None])


def test_directions_are_the_leading_ones():
    # 4 dimensions, of which the last is a multiple of the first and nearly nothing is left for a
    # third.
    rng = np.random.default_rng(0)
    values = 5 + rng.normal(size=(20, 30, 4)) * np.array([1.0, 3.0, 0.1, 0.0])
    values[..., 3] = 2 * values[..., 0]
    traces = project(jnp.asarray(values), "hidden means", 4)
    rows = values.reshape(600, 4)
    _, scales, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = ((rows - rows.mean(axis=0)) @ directions.T).T.reshape(4, 20, 30)
    assert list(traces) == [f"hidden means, direction {i}" for i in (1, 2, 3, 4)]
    for trace, truth in zip(list(traces.values())[:3], expected[:3], strict=True):
        np.testing.assert_allclose(np.abs(np.asarray(trace)), np.abs(truth), atol=1e-9)
    # What is only rounding is exactly nothing.
    assert scales[3] < 1e-10
    assert not np.any(np.asarray(traces["hidden means, direction 4"]))


def split_rank_z(trace):
    """Normal scores of the half-chains of a trace (chains, draws)."""
    half = trace.shape[1] // 2
    halves = np.vstack([trace[:, :half], trace[:, -half:]])

    def scores(values):
        ranks = rankdata(values).reshape(values.shape)
        return np.asarray(norm.ppf((ranks - 0.375) / (values.size + 0.25)))

    return scores(halves), scores(np.abs(halves - np.median(halves)))


def r_hat_by_definition(trace):
    ratios = []
    for z in split_rank_z(trace):
        n_draws = z.shape[1]
        within = z.var(axis=1, ddof=1).mean()
        between = z.mean(axis=1).var(ddof=1)
        ratios.append(((n_draws - 1) / n_draws * within + between) / within)
    return math.sqrt(max(ratios))


def start_r_hat_by_definition(trace, n_starts):
    ratios = []
    for z in split_rank_z(trace):
        n_draws = z.shape[1]
        grouped = z.reshape(2, n_starts, -1, n_draws).swapaxes(0, 1).reshape(n_starts, -1, n_draws)
        within = grouped.var(axis=2, ddof=1).mean(axis=1)
        within += grouped.mean(axis=2).var(axis=1, ddof=1)
        ratios.append(1 + grouped.mean(axis=(1, 2)).var(ddof=1) / within.mean())
    return math.sqrt(max(ratios))


def test_numbers_are_those_of_the_trace():
    model = two_modes(3)
    starts = one_start_per_mode(model, 16)
    result = diagnose_chains(jax.random.key(1), model, MALA(0.2), starts, n_steps=101, thin=3)
    # 16 draws of every third step, and the other 53 steps as burn-in.
    positions = jnp.concatenate(list(starts.values()))
    traces, acceptance, jumps = trace_chains(
        jax.random.key(1), model, MALA(0.2), positions, 53, 16, 3
    )
    named = {name: np.asarray(trace).T for name, trace in traces.items()}
    r_hats = {name: r_hat_by_definition(trace) for name, trace in named.items()}
    assert result.worst == max(r_hats, key=r_hats.get)
    assert result.r_hat == pytest.approx(max(r_hats.values()), rel=1e-10)
    nested = max(start_r_hat_by_definition(trace, 2) for trace in named.values())
    assert result.start_r_hat == pytest.approx(nested, rel=1e-10)
    # ArviZ itself, one trace at a time.
    bulk = min(array_stats.ess(trace, method="bulk") for trace in named.values())
    tail = min(array_stats.ess(trace, method="tail", prob=(0.05, 0.95)) for trace in named.values())
    assert (result.bulk_ess, result.tail_ess) == pytest.approx(
        (float(bulk), float(tail)), rel=1e-10
    )
    assert result.autocorrelation_time == pytest.approx(32 * 16 * 3 / bulk)
    assert result.acceptance == float(acceptance)
    assert math.isnan(result.jump_acceptance) and math.isnan(float(jumps))
    gaps = [abs(t[:16].mean() - t[16:].mean()) / t.std() for t in named.values()]
    assert result.start_gaps == pytest.approx({"left": max(gaps), "right": max(gaps)})


@pytest.mark.parametrize("thin", [1, 3])
def test_autocorrelation_time_of_a_known_chain(thin):
    # Unadjusted Langevin on a Gaussian of Hessian 2 is an AR(1) in x with rho = 1 - 2 eps.
    rho = 0.8
    kernel = Langevin((1 - rho) / 2)
    starts = three_starts(32, n_visible=1)
    result = diagnose_chains(
        jax.random.key(1), gaussian(1), kernel, starts, n_steps=4000, thin=thin
    )
    assert result.worst == "visible units, direction 1"
    kept = rho**thin
    expected = thin * (1 + kept) / (1 - kept)
    # Relative error of a windowed estimate, window of some 5 times (Sokal 1997): sqrt(4 * 5 tau /
    # N).
    error = math.sqrt(20 * expected / (96 * 2000))
    assert result.autocorrelation_time == pytest.approx(expected, rel=SIGMAS * error)


def test_independent_draws_have_no_autocorrelation():
    # Of the base, block Gibbs draws x afresh in every step.
    result = diagnose_chains(jax.random.key(1), gaussian(), BlockGibbs(), three_starts(), thin=1)
    assert result.autocorrelation_time == pytest.approx(1.0, abs=0.1)


# Diagnostics while training


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_lagged_correlation_of_an_autoregression(rho):
    rng = np.random.default_rng(0)
    n_chains = 20000
    before = rng.normal(size=n_chains)
    after = rho * before + math.sqrt(1 - rho**2) * rng.normal(size=n_chains)
    found = jax.jit(lagged_correlation)(jnp.asarray(3 + 2 * before), jnp.asarray(3 + 2 * after))
    error = (1 - rho**2) / math.sqrt(n_chains)
    assert float(found) == pytest.approx(rho, abs=SIGMAS * error)
    assert float(found) == pytest.approx(np.corrcoef(before, after)[0, 1], abs=1e-12)


def test_lagged_correlation_without_variance_is_zero():
    constant, varied = jnp.full(7, 0.1), jnp.arange(7.0)
    for before, after in [(constant, varied), (varied, constant), (constant, constant)]:
        assert float(jax.jit(lagged_correlation)(before, after)) == 0.0
    assert float(lagged_correlation(varied, -varied)) == pytest.approx(-1.0)
    assert np.isnan(float(lagged_correlation(varied.at[0].set(jnp.nan), varied)))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_autocorrelation_time_sums_the_autocorrelations(rho):
    by_sum = 1 + 2 * sum(rho**lag for lag in range(1, 500))
    assert float(autocorrelation_time(jnp.asarray(rho))) == pytest.approx(by_sum)


def test_autocorrelation_time_stays_finite():
    assert float(autocorrelation_time(jnp.asarray(-0.5))) == 1.0
    assert float(autocorrelation_time(jnp.asarray(1.0))) == pytest.approx(1999.0)
