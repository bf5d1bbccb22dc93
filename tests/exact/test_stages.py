"""When an energy is trained. Kind of truth: the rule, case by case."""

import pytest

from harmonium.inference.settings import DensitySettings
from harmonium.inference.stages import LEAST_SECONDS, ROWS_PER_PAIR, why_untrained

MANY, FEW = (ROWS_PER_PAIR * 100, 10), (ROWS_PER_PAIR * 100 - 1, 10)


@pytest.mark.parametrize("wanted", [{}, {"effort": "thorough"}, {"objective": "likelihood"}])
def test_many_rows_get_an_energy(wanted):
    assert why_untrained(DensitySettings(**wanted), MANY, 0.0) is None


@pytest.mark.parametrize(
    "wanted",
    [
        {"effort": "thorough"},
        {"objective": "noise-contrastive"},
        {"feature_map": "mlp"},
        {"base": "gaussian"},
    ],
)
def test_few_rows_get_one_where_it_is_asked_for(wanted):
    assert why_untrained(DensitySettings(**wanted), FEW, 0.0) is None


def test_few_rows_get_none_by_default_and_the_reason_has_their_numbers():
    reason = why_untrained(DensitySettings(), FEW, 0.0)
    assert reason is not None and str(FEW[0]) in reason and str(FEW[1]) in reason


def test_a_quick_fit_needs_no_reason():
    assert why_untrained(DensitySettings(effort="quick"), MANY, 0.0) == ""


def test_a_budget_that_is_spent_leaves_no_time():
    settings = DensitySettings(time_budget=LEAST_SECONDS + 10.0)
    assert why_untrained(settings, MANY, 9.0) is None
    assert why_untrained(settings, MANY, 11.0)
