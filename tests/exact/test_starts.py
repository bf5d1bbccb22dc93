"""Where chains start. Kind of truth: counting.

Seeds: JAX 0 to 9.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harmonium.learning import negatives
from harmonium.learning.negatives import WeightedPopulation
from harmonium.model import Harmonium
from harmonium.sampling.starts import pick_evenly


@pytest.mark.parametrize("n_rows", [16, 17, 100, 1000])
def test_picked_rows_are_different_and_evenly_spaced(n_rows):
    rows = jnp.arange(n_rows, dtype=float)[:, None]
    firsts = set()
    for seed in range(10):
        (picked,) = pick_evenly(jax.random.key(seed), (rows,), 16)
        places = np.asarray(picked)[:, 0].astype(int)
        gaps = np.diff(places) % n_rows
        assert len(set(places)) == 16
        assert set(gaps) <= {n_rows // 16, n_rows // 16 + 1}
        firsts.add(places[0])
    assert len(firsts) > 1


def test_few_rows_are_all_picked_and_starts_may_differ_in_number():
    few, many = jnp.arange(3.0)[:, None], jnp.arange(40.0)[:, None]
    picked = pick_evenly(jax.random.key(0), (few, many), 16)
    assert [part.shape for part in picked] == [(16, 1), (16, 1)]
    counts = np.unique(np.asarray(picked[0]), return_counts=True)[1]
    assert sorted(counts) == [5, 5, 6]


@pytest.mark.parametrize("uneven", [(384.0, np.nan), (np.nan, 384.0), (384.0, 1.0)])
@pytest.mark.parametrize("far", [False, True])
def test_one_uneven_first_population_is_enough_to_start_both_anew(monkeypatch, uneven, far):
    """At resampled draws of the base; annealed, both again, where too few of those are effective
    for one."""
    jump, resample, anneal = negatives._jump, negatives._resampled, negatives.anneal_population
    resampled, annealed = [], []

    def told_to_be_uneven(*arguments):
        return jump(*arguments)[0], jnp.asarray(uneven)

    def noted_resampling(*arguments):
        resampled.append(arguments)
        return None if far and len(resampled) == 2 else resample(*arguments)

    def noted_annealing(*arguments):
        annealed.append(arguments)
        return anneal(*arguments)

    monkeypatch.setattr(negatives, "_jump", told_to_be_uneven)
    monkeypatch.setattr(negatives, "_resampled", noted_resampling)
    monkeypatch.setattr(negatives, "anneal_population", noted_annealing)
    model = Harmonium(2, 3, key=jax.random.key(1))
    WeightedPopulation().init(jax.random.key(0), model, jnp.zeros((8, 2)))
    assert len(resampled) == 2 and len(annealed) == (2 if far else 0)
