"""Kind of truth: exact. Bets and martingales by quadrature; alarms on uniform p-values by
statistics at 5 sigma (seed 0)."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from harmonium.errors import InvalidInputError
from harmonium.inference.alarms import Ever, Restarting
from harmonium.inference.betting import N_BETS, STEPS, bet_factors
from harmonium.inference.evidence import Evidence

EDGES = ndtri([share for share, _ in STEPS])


def uniform_nodes(n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """p-values and weights: a midpoint rule in normal quantiles, with the edges of all steps."""
    borders = np.sort(np.concatenate([np.linspace(-8, 8, n), EDGES, -EDGES]))
    return ndtr((borders[1:] + borders[:-1]) / 2), np.diff(ndtr(borders))


def test_the_mean_factor_of_every_bet_is_1():
    p, weights = uniform_nodes()
    factors = bet_factors(p)
    assert factors.shape == (len(p), N_BETS) and np.all(factors >= 0)
    np.testing.assert_allclose(weights @ factors, 1, atol=1e-4)
    assert np.unique(factors.round(9), axis=1).shape[1] == N_BETS


def test_no_p_value_is_no_bet():
    np.testing.assert_array_equal(bet_factors(np.array([np.nan])), 1)


@pytest.mark.parametrize("rule", [Ever(0.05), Restarting(1e6)])
def test_expected_evidence_after_a_row_is_that_before_or_grows_by_a_row(rule):
    p, weights = uniform_nodes()
    drifting = np.random.default_rng(0).uniform(0.5, 1, size=(30, 1))
    before, _ = Evidence.none(1).advance(drifting, rule, np.ones(1))
    at_every_node = {
        field.name: np.repeat(getattr(before, field.name), len(p), axis=0)
        for field in fields(Evidence)[1:]
    }
    after, levels = replace(before, **at_every_node).advance(p[None], rule, np.ones(len(p)))
    np.testing.assert_array_equal(after.level, levels[-1])
    gain = 1 if rule.restarts else 0
    assert before.level[0] > 3
    assert weights @ after.level == pytest.approx(before.level[0] + gain, rel=1e-4)


def test_capital_of_ever_is_1_in_all():
    rows = np.arange(1.0, 2000)
    rule = Ever(0.1)
    assert np.all(rule.entering(rows) > 0)
    assert rule.waiting(np.zeros(1))[0] == pytest.approx(1)
    np.testing.assert_allclose(1 - np.cumsum(rule.entering(rows)), rule.waiting(rows), atol=1e-12)


N_STREAMS, N_ROWS = 1500, 1000


def null_evidence(rule):
    """Evidence of independent streams, each a channel that is watched alone."""
    p = np.random.default_rng(0).random((N_ROWS, N_STREAMS))
    return Evidence.none(N_STREAMS).advance(p, rule, np.ones(N_STREAMS))[0]


def test_false_alarms_ever_are_as_rare_as_promised_and_not_impossible():
    found = null_evidence(Ever(0.3))
    share = np.mean(found.n_alarms > 0)
    assert 0.02 < share <= 0.3 + 5 * np.sqrt(0.3 * 0.7 / N_STREAMS)
    assert np.all(found.n_alarms <= 1)


def test_false_alarms_of_the_restarting_rule_are_as_rare_as_promised():
    run_length = 200
    found = null_evidence(Restarting(run_length))
    rate = found.n_alarms.sum() / (N_ROWS * N_STREAMS)
    error = found.n_alarms.std() / np.sqrt(N_STREAMS) / N_ROWS
    assert 0.2 / run_length < rate <= 1 / run_length + 5 * error


@pytest.mark.parametrize(
    "drift",
    [
        lambda z: z + 0.5,
        lambda z: z - 1.0,
        lambda z: 1.6 * z,
        lambda z: 0.5 * z,
        lambda z: np.where(np.arange(len(z)) % 6 == 0, 2.5, z),
    ],
    ids=["up", "down", "wider", "narrower", "rare and high"],
)
def test_a_drift_is_found_and_dated(drift):
    z = np.random.default_rng(0).normal(size=900)
    z[400:] = drift(z[400:])
    found, levels = Evidence.none(1).advance(ndtr(z)[:, None], Ever(0.01), np.ones(1))
    assert 400 < found.first_alarm[0] < 800
    assert abs(found.since[0] - 400) < 200
    assert found.peak[0] == pytest.approx(levels.max())


def test_alarms_come_again_and_evidence_begins_anew():
    rule, n = Restarting(1000.0), 400
    p = np.full((n, 1), 0.9)
    found, levels = Evidence.none(1).advance(p, rule, np.ones(1))
    alarms = np.flatnonzero(levels[:, 0] >= rule.threshold)
    assert len(alarms) == found.n_alarms[0] > 2
    assert found.first_alarm[0] == alarms[0] + 1 and found.latest_alarm[0] == alarms[-1] + 1
    assert np.all(levels[alarms[:-1] + 1] < 50)


def test_a_channel_of_a_smaller_share_needs_more_evidence():
    p = np.full((100, 2), 0.9)
    found, levels = Evidence.none(2).advance(p, Ever(0.01), np.array([0.9, 0.1]))
    first = [int(np.argmax(levels[:, i] >= need)) + 1 for i, need in enumerate((100 / 0.9, 1000.0))]
    assert found.first_alarm.tolist() == first and first[0] < first[1]


@pytest.mark.parametrize("make", [lambda: Ever(0.0), lambda: Ever(1.0), lambda: Restarting(1)])
def test_other_rules_are_refused(make):
    with pytest.raises(InvalidInputError, match=r"Monitor\((alpha|run_length)="):
        make()
