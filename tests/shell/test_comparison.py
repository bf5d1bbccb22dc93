"""Draws beside rows: scores of classifiers, copies, and what the command says of them.

One quick fit of a table of two columns serves all; seeds as written.
"""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from shell.conftest import as_users_run_it

from harmonium.cli.app import run
from harmonium.errors import InvalidInputError
from harmonium.estimators import DensityEstimator, compare_samples
from harmonium.estimators.comparison import holed, likeness, nearer_training


def rows_of(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["a", "b"], n, p=[0.7, 0.3])
    size = rng.normal(size=n) + 3.0 * (kind == "a")
    return pd.DataFrame({"size": np.where(rng.random(n) < 0.2, np.nan, size), "kind": kind})


@pytest.fixture(scope="module")
def fitted():
    with as_users_run_it():
        return DensityEstimator(effort="quick", base="gaussian").fit(rows_of(400, seed=0))


@pytest.fixture(scope="module")
def compared(fitted):
    return compare_samples(fitted, rows_of(300, seed=1), rows_of(400, seed=0))


def test_draws_of_a_good_fit_can_hardly_be_told(compared):
    assert compared.n_rows == 300
    for part in (compared.samples, compared.halves):
        assert min(dataclasses.astuple(part)) > 0.65
    assert compared.nearer_training == pytest.approx(0.5, abs=0.12)


def test_classifiers_tell_other_rows_and_columns_cannot_tell_other_pairs(fitted):
    columns = fitted.density_.columns
    values = fitted._values("test", rows_of(300, seed=1).dropna())
    moved = likeness(values, values + np.array([[9.0, 0.0]]), columns, seed=0)
    assert moved.boosting < 0.03 and moved.logistic < 0.03
    rng = np.random.default_rng(2)
    apart = np.stack([rng.permutation(column) for column in values.T], axis=1)
    found = likeness(values, apart, columns, seed=0)
    assert found.shape == pytest.approx(1.0) and found.boosting < 0.95 and found.trend < 0.8


def test_copies_are_nearer_to_the_rows_that_they_copy(fitted):
    training, others = (fitted._values("test", rows_of(200, seed)) for seed in (3, 4))
    columns = fitted.density_.columns
    others[:, 0] += 1e-3
    assert nearer_training(training, training, others, columns, seed=0) == pytest.approx(1, abs=0.2)
    assert nearer_training(others, training, others, columns, seed=0) == pytest.approx(0, abs=0.2)


def test_draws_miss_the_cells_that_rows_like_them_miss():
    """The second cell where the first is above 0, and half of the others."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(2000, 2))
    values[(values[:, 0] > 0) | (rng.random(2000) < 0.5), 1] = np.nan
    drawn = rng.normal(size=(1000, 2))
    gaps = np.isnan(holed(drawn, values, seed=0))
    assert not gaps[:, 0].any() and gaps[drawn[:, 0] > 0.01, 1].all()
    assert gaps[drawn[:, 0] < 0, 1].mean() == pytest.approx(0.5, abs=0.1)
    nowhere = np.array([[np.nan, 1.0], [2.0, np.nan]])
    assert np.isnan(holed(np.ones((50, 2)), nowhere, seed=0)).sum() == 50


def test_few_rows_are_refused(fitted):
    with pytest.raises(InvalidInputError, match="at least 20 rows to compare with; got 5"):
        compare_samples(fitted, rows_of(5, seed=1))


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        run([str(argument) for argument in arguments])
    return stopped.value.code or 0


def test_the_command_says_the_same(fitted, compared, tmp_path, capsys):
    model, data, train = (tmp_path / n for n in ("model.safetensors", "data.csv", "train.csv"))
    fitted.save(model)
    rows_of(300, seed=1).to_csv(data, index=False)
    rows_of(400, seed=0).to_csv(train, index=False)
    arguments = ("evaluate", model, data, "--samples", "--train", train)
    assert call(*arguments) == 0
    words = capsys.readouterr().out
    assert "0.5 where nothing is copied" in words
    assert f"boosting  {compared.samples.boosting:.3f}  {compared.halves.boosting:.3f}" in words
    assert call(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["samples"] == dataclasses.asdict(compared)
    assert call("evaluate", model, data, "--train", train) == 2
    assert "--train: expected --samples too" in capsys.readouterr().err
