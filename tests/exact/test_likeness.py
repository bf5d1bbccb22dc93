"""How alike two tables are. Kind of truth: figures by hand, of tables of a few rows."""

import numpy as np
import pytest

from harmonium.inference.likeness import shape_likeness, trend_likeness

NAN = np.nan
NUMBER, CATEGORY = np.array([False]), np.array([True])


def column(*cells):
    return np.array(cells, float)[:, None]


@pytest.mark.parametrize(
    ("real", "drawn", "is_category", "likeness"),
    [
        (column(1, 2, 3, 4), column(4, 3, 2, 1), NUMBER, 1.0),
        (column(1, 2, 3, 4), column(5, 6), NUMBER, 0.0),
        # Up to 2.5 lie three quarters, and a half.
        (column(1, 2, 2.5, 9), column(0, 1, 7, 8), NUMBER, 0.75),
        (column(1, 2, NAN, NAN), column(1, 2), NUMBER, 1.0),
        # Shares (1/2, 1/2, 0) and (1/4, 1/4, 1/2).
        (column(0, 0, 1, 1), column(0, 1, 2, 2), CATEGORY, 0.5),
    ],
)
def test_columns_by_themselves(real, drawn, is_category, likeness):
    assert shape_likeness(real, drawn, is_category) == pytest.approx(likeness)


def test_two_columns_of_numbers_by_half_the_difference_of_their_correlations():
    real = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [NAN, -9.0]])
    both = np.array([False, False])
    assert trend_likeness(real, real * [1, -1], both) == pytest.approx(0.0)
    none = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert trend_likeness(real, none, both) == pytest.approx(0.5)
    constant = np.array([[1.0, 0.0], [1.0, 2.0]])
    assert np.isnan(trend_likeness(real, constant, both))


def test_pairs_with_categories_by_their_shares():
    """Numbers of one bin of ten are one; the same columns, combined the other way round."""
    real = np.array([[0.0, 0.0], [0.0, 0.5], [1.0, 9.8], [1.0, 10.0]])
    same, turned = real[[3, 1, 1, 3]], real[:, :] * 1.0
    turned[:, 0] = 1 - turned[:, 0]
    mixed = np.array([True, False])
    assert trend_likeness(real, same, mixed) == pytest.approx(1.0)
    assert trend_likeness(real, turned, mixed) == pytest.approx(0.0)
    assert trend_likeness(real, np.concatenate([same, turned]), mixed) == pytest.approx(0.5)


def test_means_are_over_what_can_be_told():
    real = np.array([[0.0, 1.0, NAN], [1.0, 2.0, NAN]])
    is_category = np.array([True, False, False])
    assert shape_likeness(real, real, is_category) == pytest.approx(1.0)
    assert trend_likeness(real, real, is_category) == pytest.approx(1.0)


def test_correlations_of_columns_with_holes_are_those_of_their_common_rows():
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(2, 60, 5)) @ rng.normal(size=(5, 5)) + 1e4
    for rows in (real, drawn):
        rows[rng.random(rows.shape) < 0.2] = np.nan
    # A column that varies only where the others are missing.
    for rows in (real, drawn):
        rows[:, 4] = np.where(np.isnan(rows[:, 0]), rows[:, 4], 7.0)

    def correlation(rows):
        known = rows[~np.isnan(rows).any(axis=1)]
        return np.nan if np.any(np.ptp(known, axis=0) == 0) else np.corrcoef(known.T)[0, 1]

    pairs = [[i, j] for i in range(5) for j in range(i + 1, 5)]
    apart = [abs(correlation(real[:, p]) - correlation(drawn[:, p])) / 2 for p in pairs]
    assert np.isnan(apart[3])
    found = trend_likeness(real, drawn, np.zeros(5, bool))
    assert found == pytest.approx(1 - np.nanmean(apart), abs=1e-9)
