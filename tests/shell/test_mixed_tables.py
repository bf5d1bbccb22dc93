"""Numbers, whole numbers, categories, truth values, dates and identifiers, with holes: fitted,
scored, drawn, filled.

One small fit without training serves most tests; where sums of probabilities are checked, it gets
made-up hidden units as well, of an affine map, so that log Z is exact. Seeds: frame 0, the default
of the estimator, draws as written.
"""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import as_users_run_it, with_residual

import harmonium as hm
from harmonium.errors import HarmoniumWarning, InvalidInputError
from harmonium.estimators import DensityEstimator, Imputer
from harmonium.inference.conditions import Span

COLORS = ["blue", "green", "red"]
MODELED = ["height", "count", "color", "married", "when"]


def make_frame(n=300, seed=0):
    """Height follows color, and so do marriages; a tenth of all cells is missing."""
    rng = np.random.default_rng(seed)
    color = rng.choice(COLORS, size=n, p=[0.5, 0.3, 0.2])
    shift = pd.Series(color).map({"blue": -1.5, "green": 0.5, "red": 2.0}).to_numpy()
    days = pd.to_timedelta(rng.integers(0, 60, n), unit="D")
    frame = pd.DataFrame(
        {
            "height": shift + 0.5 * rng.normal(size=n),
            "count": pd.array(rng.poisson(3.0, n), dtype="Int64"),
            "color": pd.Categorical(color),
            "married": pd.array(rng.uniform(size=n) < 0.5 + 0.3 * np.sign(shift), dtype="boolean"),
            "when": pd.Timestamp("2020-01-01") + days,
            "id": [f"{rng.integers(10**9)}-{i}" for i in range(n)],
        }
    )
    for name in MODELED:
        frame.loc[rng.uniform(size=n) < 0.1, name] = None
    return frame


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def fitted(frame):
    estimator = DensityEstimator(6, "identity", effort="quick")
    with as_users_run_it(), pytest.warns(HarmoniumWarning, match="left out: 'id' has text"):
        return estimator.fit(frame)


@pytest.fixture(scope="module", params=["base alone", "with hidden units"])
def normalized(request, fitted):
    """The same density, and one whose hidden units respond."""
    if request.param == "base alone":
        return fitted
    other = copy.copy(fitted)
    with as_users_run_it():
        other.density_ = with_residual(fitted.density_, 0.2)
    return other


@pytest.fixture(scope="module")
def imputer(fitted):
    return Imputer(4, random_state=1).adopt(fitted)


@pytest.fixture(scope="module")
def complete(frame):
    """Four rows without missing cells."""
    return frame.dropna().iloc[:4].reset_index(drop=True)


def with_color(rows, color):
    return rows.assign(color=[color] * len(rows))


def test_the_columns_are_what_they_look_like(fitted):
    kinds = ("continuous", "grid", "categorical", "binary", "grid", "ignored")
    assert fitted.density_.columns.kinds == kinds


def test_samples_are_rows_of_such_a_frame(fitted, frame):
    drawn = fitted.sample(400)
    assert list(drawn.columns) == list(frame.columns)
    assert drawn["height"].dtype == np.float64
    assert pd.api.types.is_integer_dtype(drawn["count"].dtype)
    assert pd.api.types.is_bool_dtype(drawn["married"].dtype)
    assert drawn["color"].dtype == frame["color"].dtype
    assert drawn["when"].dtype == frame["when"].dtype
    assert set(drawn["color"]) == set(COLORS)
    assert drawn["id"].isna().all()
    assert not drawn[MODELED].isna().any().any()
    # Shares of the training rows, within five standard errors of both samples together.
    for color in COLORS:
        share = (frame["color"] == color).sum() / frame["color"].notna().sum()
        error = np.sqrt(share * (1 - share) * (1 / 400 + 1 / 270))
        assert abs((drawn["color"] == color).mean() - share) < 5 * error
    means = drawn.groupby("color", observed=True)["height"].mean()
    assert means["blue"] < means["green"] < means["red"]


def log_sum(scores):
    return np.logaddexp.reduce(np.stack(scores), axis=0)


@pytest.mark.parametrize(("column", "values"), [("color", COLORS), ("married", [False, True])])
def test_categories_are_integrated_out_by_adding_them_up(normalized, complete, column, values):
    """p(rest) = sum over k of p(rest, k), but for the rule that k was seen, (n + 1)/(n + 2) of
    it."""
    fitted = normalized
    scores = [fitted.score_samples(complete.assign(**{column: [v] * 4})) for v in values]
    rule = np.log((fitted.density_.columns.n_rows + 1) / (fitted.density_.columns.n_rows + 2))
    without = fitted.score_samples(complete.assign(**{column: [None] * 4}))
    np.testing.assert_allclose(log_sum(scores) - rule, without, atol=0.1)
    # Not all the same, by twice the tolerance, or the sum would say nothing.
    assert np.ptp(np.stack(scores), axis=0).max() > 0.2


def test_the_probabilities_of_the_categories_alone_add_up_to_one(normalized):
    fitted = normalized
    rows = pd.DataFrame({name: [None] * 3 for name in [*MODELED, "id"]})
    rows["color"] = COLORS
    scores = fitted.score_samples(rows)
    rule = np.log((fitted.density_.columns.n_rows + 1) / (fitted.density_.columns.n_rows + 2))
    assert log_sum(scores[:, None])[0] - rule == pytest.approx(0, abs=0.05)


def test_shares_of_categories_are_those_of_the_rows(fitted, frame):
    rows = pd.DataFrame({name: [None] * 3 for name in [*MODELED, "id"]}).assign(color=COLORS)
    shares = frame["color"].value_counts(normalize=True)[COLORS]
    # 243 rows and five standard errors.
    assert np.exp(fitted.score_samples(rows)) == pytest.approx(shares.to_numpy(), abs=0.16)


def test_a_row_of_which_nothing_is_known_has_probability_one(normalized):
    rows = pd.DataFrame({name: [None] * 2 for name in [*MODELED, "id"]})
    np.testing.assert_allclose(normalized.score_samples(rows), 0, atol=0.05)


def test_an_unseen_category_counts_as_missing_and_breaks_a_rule(fitted, complete):
    unseen = fitted.score_samples(with_color(complete, "purple"))
    missing = fitted.score_samples(with_color(complete, None))
    expected = missing - np.log(fitted.density_.columns.n_rows + 2)
    np.testing.assert_allclose(unseen, expected, rtol=1e-6)


def test_free_energies_need_all_cells_but_hidden_means_do_not(fitted, complete):
    holes = with_color(complete, None)
    with pytest.raises(InvalidInputError, match="rows without missing cells; got 4"):
        fitted.free_energy(holes)
    assert np.all(np.isfinite(fitted.free_energy(complete)))
    hidden = fitted.transform(pd.concat([holes, complete]))
    assert hidden.shape == (8, 6)
    assert np.all((hidden >= 0) & (hidden <= 1))


GIVEN = {
    "a value": ({"height": 1.25}, lambda rows: rows["height"] == 1.25),
    "an interval": ({"height": (0.0, 1.0)}, lambda rows: rows["height"].between(0, 1)),
    "an open end": ({"height": (1.0, None)}, lambda rows: rows["height"] >= 1),
    "a whole number": ({"count": 3}, lambda rows: rows["count"] == 3),
    "whole numbers": ({"count": (2, 4)}, lambda rows: rows["count"].isin([2, 3, 4])),
    "between whole numbers": ({"count": (1.5, 3.5)}, lambda rows: rows["count"].isin([2, 3])),
    "a category": ({"color": "red"}, lambda rows: rows["color"] == "red"),
    "a set": ({"color": {"red", "blue"}}, lambda rows: rows["color"].isin(["red", "blue"])),
    "numbers of a set": ({"count": {2, 5}}, lambda rows: rows["count"].isin([2, 5])),
    "excluded ends": (
        {"count": Span(2, 5, True, True)},
        lambda rows: rows["count"].isin([3, 4]),
    ),
    "dates before": (
        {"when": Span(None, "2020-01-15", excludes_high=True)},
        lambda rows: rows["when"] <= pd.Timestamp("2020-01-14"),
    ),
    "a truth value": ({"married": True}, lambda rows: rows["married"]),
    "a date": (
        {"when": pd.Timestamp("2020-01-15")},
        lambda rows: rows["when"] == pd.Timestamp("2020-01-15"),
    ),
    "several": (
        {"color": "green", "height": (None, 0.7)},
        lambda rows: (rows["color"] == "green") & (rows["height"] <= 0.7),
    ),
}


@pytest.mark.parametrize("name", GIVEN)
def test_draws_keep_to_what_is_given(fitted, name):
    given, holds = GIVEN[name]
    drawn = fitted.sample(100, given=given, random_state=2)
    assert len(drawn) == 100
    assert holds(drawn).all()
    assert not drawn[MODELED].isna().any().any()
    assert fitted.draw_diagnostics_.trusted, fitted.draw_diagnostics_.verdict
    open_columns = [name for name in MODELED if name not in given]
    assert (drawn[open_columns].nunique() > 1).all()


def test_a_category_given_is_weighed_by_its_probability(fitted, frame):
    """log_probability is that of the category; red rows are tall."""
    red = fitted.sample(300, given={"color": "red"}, random_state=3)
    share = (frame["color"] == "red").sum() / frame["color"].notna().sum()
    assert np.exp(fitted.draw_diagnostics_.log_probability) == pytest.approx(share, abs=0.12)
    blue = fitted.sample(300, given={"color": "blue"}, random_state=3)
    assert red["height"].mean() > blue["height"].mean() + 1


DAYS = [str(day)[:10] for day in pd.date_range("2020-01-01", periods=40)]
REFUSED = {
    "an unknown column": ({"age": 3.0}, "columns among", "'age'"),
    "an identifier": ({"id": "x"}, "columns that are modeled", "'id', which is ignored"),
    "no level": ({"count": 2.5}, "'count' among [0.0, 1.0,", "2.5"),
    "off the grid": ({"when": pd.Timestamp("2020-01-15 12:00")}, "'when' on its grid", "12:00"),
    "low above high": ({"height": (2.0, 1.0)}, "low < high for 'height'", "(2.0, 1.0)"),
    "no cell between": ({"count": (2.2, 2.8)}, "low < high for 'count'", "(2.2, 2.8)"),
    "three ends": ({"height": (0.0, 1.0, 2.0)}, "an interval (low, high)", "(0.0, 1.0, 2.0)"),
    "an interval of categories": ({"color": Span("blue", "red")}, "categories for 'color'", "red"),
    "no category at all": ({"color": []}, "at least one value for 'color'", "[]"),
    "an unseen one of a set": ({"color": ["red", "pink"]}, "'green', 'red']", "'pink'"),
    "too many": ({"when": set(DAYS[:40]), "count": set(range(7))}, "at most 256", "280"),
    "an unseen category": ({"color": "purple"}, "['blue', 'green', 'red']", "'purple'"),
    "nothing": ({}, "a dictionary", "{}"),
    "a missing value": ({"height": None}, "a value for 'height'", "None"),
    "a text for a number": ({"height": "tall"}, "height", "tall"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_row_can_be_is_refused_by_name(fitted, name):
    given, *words = REFUSED[name]
    with pytest.raises(InvalidInputError) as caught:
        fitted.sample(2, given=given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("balance", "given", "words"),
    [
        ("age", None, "columns among"),
        ("id", None, "'id', which is ignored"),
        ("height", None, "'height', whose numbers have a density"),
        ("color", {"color": "red"}, "'color', which is also given"),
    ],
)
def test_what_cannot_be_balanced_is_refused_by_name(fitted, balance, given, words):
    with pytest.raises(InvalidInputError, match="balance") as caught:
        fitted.sample(4, given=given, balance=balance)
    assert words in str(caught.value)


def test_balanced_draws_come_in_the_container_of_the_fit(fitted):
    drawn = fitted.sample(12, balance="color", random_state=2)
    assert drawn["color"].value_counts().to_dict() == dict.fromkeys(COLORS, 4)


def test_a_constant_cannot_be_given():
    rows = pd.DataFrame({"a": np.random.default_rng(4).normal(size=400), "b": np.full(400, 2.0)})
    with pytest.warns(HarmoniumWarning, match="constant: 'b'"):
        estimator = DensityEstimator(effort="quick", base="gaussian").fit(rows)
    with pytest.raises(InvalidInputError, match="'b', which is constant"):
        estimator.sample(2, given={"b": 2.0})


def test_saving_keeps_scores_and_container(fitted, frame, tmp_path):
    fitted.save(tmp_path / "mixed.safetensors")
    loaded = hm.load(tmp_path / "mixed.safetensors")
    rows = frame.iloc[:20]
    np.testing.assert_array_equal(loaded.score_samples(rows), fitted.score_samples(rows))
    pd.testing.assert_frame_equal(loaded.sample(5), fitted.sample(5))
    given = {"color": "red"}
    pd.testing.assert_frame_equal(loaded.sample(5, given=given), fitted.sample(5, given=given))


# Filling


def assert_known_cells_are_kept(filled, frame):
    for name in MODELED:
        known = frame[name].notna().to_numpy()
        assert (filled[name].to_numpy()[known] == frame[name].to_numpy()[known]).all(), name


def test_filling_keeps_what_is_known(imputer, frame):
    filled = imputer.transform(frame)
    assert list(filled.columns) == list(frame.columns)
    assert not filled[MODELED].isna().any().any()
    assert_known_cells_are_kept(filled, frame)
    assert filled["color"].dtype == frame["color"].dtype
    assert filled["when"].dtype == frame["when"].dtype
    assert pd.api.types.is_integer_dtype(filled["count"].dtype)
    assert pd.api.types.is_bool_dtype(filled["married"].dtype)
    assert imputer.ess_ > 4


def test_colors_are_filled_by_height(imputer, frame):
    """Tall and short rows whose color was hidden: better than the most frequent color."""
    known = frame[frame["color"].notna() & frame["height"].notna()]
    filled = imputer.transform(known.assign(color=[None] * len(known)))
    right = (filled["color"].astype(str) == known["color"].astype(str).to_numpy()).mean()
    assert right > known["color"].value_counts(normalize=True).max() + 0.1


def test_draws_differ_in_the_filled_cells_alone(imputer, frame):
    tables = imputer.draws(frame)
    assert len(tables) == 4
    for table in tables:
        assert not table[MODELED].isna().any().any()
        assert_known_cells_are_kept(table, frame)
        assert set(table["color"]) <= set(COLORS)
    missing = frame["height"].isna().to_numpy()
    first, second = (table["height"].to_numpy() for table in tables[:2])
    assert np.all(first[missing] != second[missing])


def test_polars_come_back_as_polars(imputer, frame):
    table = pl.from_pandas(frame.assign(color=frame["color"].astype("str")))
    filled = imputer.transform(table)
    assert isinstance(filled, pl.DataFrame)
    assert filled.columns == table.columns
    assert filled.select(MODELED).null_count().sum_horizontal()[0] == 0
    known = table["height"].is_not_null()
    assert filled["height"].filter(known).equals(table["height"].filter(known))


def test_without_interaction_draws_have_the_moments_of_the_gaussian():
    """Statistical, NumPy seed 5, draws 6: 256 rows with the same cells missing, 16 draws each, 5
    standard errors."""
    rng = np.random.default_rng(5)
    mixing = np.array([[1.0, 0.5, -0.3], [0.0, 1.2, 0.4], [0.0, 0.0, 0.7]])
    values = (rng.normal(size=(2000, 3)) @ mixing) * [1.0, 10.0, 0.1] + [0.0, 5.0, -1.0]
    estimator = DensityEstimator(
        effort="quick", base="gaussian", marginals="affine", validation_fraction=1e-3
    ).fit(values)
    imputer = Imputer(16, random_state=6).adopt(estimator)
    row = np.array([0.7, np.nan, np.nan])
    completed = imputer.draws(np.tile(row, (256, 1)))
    assert completed.shape == (16, 256, 3)
    np.testing.assert_array_equal(completed[..., 0], row[0])
    mean, covariance = values.mean(axis=0), np.cov(values.T, bias=True)
    gain = covariance[1:, 0] / covariance[0, 0]
    centered = completed[..., 1:] - (mean[1:] + gain * (row[0] - mean[0]))
    rest = covariance[1:, 1:] - np.outer(gain, covariance[0, 1:])
    products = np.einsum("drI,drJ->rIJ", centered, centered).reshape(256, 4) / 16
    # Rows are independent; draws of a row may share ancestors.
    both = np.concatenate([centered.mean(axis=0), products], axis=1)
    expected = np.concatenate([np.zeros(2), rest.ravel()])
    z = (both.mean(axis=0) - expected) / (both.std(axis=0, ddof=1) / 16)
    assert np.all(np.abs(z) < 5), z
    # Filled with the mean, of 256 quasi-random draws.
    filled = imputer.transform(row[None])[0, 1:]
    error = filled - (mean[1:] + gain * (row[0] - mean[0]))
    assert np.all(np.abs(error) < 5 * np.sqrt(np.diagonal(rest) / 256)), error
    # Marginal densities are those of the Gaussian, exactly.
    scores = imputer.estimator_.score_samples(row[None])
    kept = values[np.random.default_rng(0).permutation(2000)[2:], 0]
    truth = -0.5 * ((row[0] - kept.mean()) ** 2 / kept.var() + np.log(2 * np.pi * kept.var()))
    np.testing.assert_allclose(scores, truth, atol=1e-4)
