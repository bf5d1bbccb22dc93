"""Kind of truth: closed forms. Functions that exported programs are made of, beside SciPy's."""

import numpy as np
import pytest
from scipy import special as reference

from harmonium.export import special

PLACES = np.concatenate([np.linspace(-36, 36, 1201), 10.0 ** np.linspace(-12, 8, 200)])
# What rounding of the arguments alone explains.
ROUNDINGS = 2e-13


@pytest.mark.parametrize(
    ("name", "places", "truth"),
    [
        ("erfcx", np.abs(PLACES), reference.erfcx),
        ("erfc", PLACES[np.abs(PLACES) < 26], reference.erfc),
        ("erf", PLACES, reference.erf),
        ("log1p", PLACES[PLACES > -1], np.log1p),
        ("expm1", PLACES[PLACES < 700], np.expm1),
        ("asinh", PLACES, np.arcsinh),
        ("log_ndtr", PLACES, reference.log_ndtr),
    ],
)
def test_functions_have_the_digits_of_double_precision(name, places, truth):
    found = np.asarray(getattr(special, name)(places))
    np.testing.assert_allclose(found, truth(places), rtol=3 * ROUNDINGS, atol=1e-300)


def test_quantiles_come_back_from_both_ends_of_the_tail():
    log_tails = -np.log(2) - 10.0 ** np.linspace(-10, 15, 400)
    found = np.asarray(special.ndtri_exp(log_tails))
    np.testing.assert_allclose(found, reference.ndtri_exp(log_tails), rtol=1e-10, atol=5e-15)
    np.testing.assert_allclose(reference.log_ndtr(found), log_tails, rtol=1e-14)


def test_ends_are_what_they_are_in_the_limit():
    ends = np.array([-np.inf, np.inf])
    assert np.array_equal(np.asarray(special.log_ndtr(ends)), [-np.inf, 0.0])
    assert np.array_equal(np.asarray(special.asinh(ends)), ends)
    assert np.asarray(special.ndtri_exp(ends[:1]))[0] == -np.inf
    both = special.from_log_tails(np.array([-np.inf, 0.0]), np.array([0.0, -np.inf]))
    assert np.array_equal(np.asarray(both), ends)
