"""Parts of a long file. Kind of truth: every row is in one part of a round, and those that are held
out in none."""

from dataclasses import replace

import numpy as np
import pytest

from harmonium.data import LongTable, number_fields, sample_rows, write_columns

N = 1000
FIELDS = number_fields(("row", "b"))


@pytest.fixture(scope="module", params=["t.csv", "t.parquet"])
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / request.param
    write_columns(path, {"row": np.arange(1.0, N + 1), "b": np.sin(np.arange(N))})
    return path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("harmonium.data.pools.BATCH_ROWS", 64)


def dealt(path, size=90, seed=0):
    table, n_rows, numbers = sample_rows(path, 100, seed=seed, kinds={"row": "integer"})
    np.testing.assert_array_equal(table.values[:, 0], numbers)
    left_out = np.arange(0, 100, 10)
    pools = LongTable(path, n_rows, numbers).deal(FIELDS, left_out=left_out, size=size, seed=seed)
    return pools, set(numbers[left_out].tolist())


def test_a_round_deals_a_row_once_at_most_and_never_those_left_out(path):
    pools, left_out = dealt(path)
    assert pools.n_parts == 11
    pools = replace(pools, size=200)
    parts = [pools.values(number)[:, 0] for number in range(pools.n_parts)]
    # Four parts of about 247 rows, of which 200 are taken: a row is in one part at most.
    for i, part in enumerate(parts):
        assert len(part) == 200
        assert not left_out & set(part)
        for other in parts[:i]:
            assert not set(part) & set(other)
    found = set(np.concatenate(parts))
    assert len(found) == 800 and found <= set(range(1, N + 1))


def test_parts_are_a_function_of_their_number_and_rounds_differ(path):
    pools, _ = dealt(path)
    first = pools.values(0)
    np.testing.assert_array_equal(first, pools.values(0))
    next_round = pools.values(pools.n_parts)
    assert len(set(first[:, 0]) & set(next_round[:, 0])) < 40
    np.testing.assert_allclose(first[:, 1], np.sin(first[:, 0] - 1))
    assert np.any(np.diff(first[:, 0]) < 0)


def test_every_row_is_as_likely_as_any_other(path):
    pools, left_out = dealt(path, size=450)
    counts = np.zeros(N + 1)
    rounds = 40
    for number in range(rounds):
        rows, times = np.unique(pools.values(number)[:, 0].astype(int), return_counts=True)
        counts[rows] += times
    seen = np.delete(counts, [0, *map(int, left_out)])
    expected = rounds * 450 / (N - len(left_out))
    # At most binomial: 5 sigma of a count, with a thousand looks at it.
    assert np.all(np.abs(seen - expected) < 5.5 * np.sqrt(expected))
    assert not counts[list(map(int, left_out))].any()
