"""Marginals and whitening of real tables: every cell comes back, and nothing is infinite."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from harmonium.data import Columns, Marginals, Table, Whitening, spread
from harmonium.errors import HarmoniumWarning

ADBENCH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "adbench"
FILES = sorted(ADBENCH.glob("*.npz"))
if not FILES:
    pytest.skip(f"no development data in {ADBENCH}", allow_module_level=True)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_development_set(file):
    """Fitted to half of the rows."""
    rng = np.random.default_rng(10)
    with np.load(file) as content:
        values = rng.permutation(content["X"].astype(np.float64))[:2000]
    table = Table(values[::2], tuple(f"x{i + 1}" for i in range(values.shape[1])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HarmoniumWarning)
        columns = Columns.fit(table)
    marginals = Marginals.fit(columns, table.values)
    bounds = marginals.bounds(table.values)
    u = spread(bounds, rng.uniform(size=bounds.low.shape))
    cells = table.values[:, columns.modeled_index]
    np.testing.assert_allclose(marginals.restore(u), cells, rtol=1e-6, atol=1e-9)
    whitening = Whitening.fit(u)
    z = whitening.forward(u)
    np.testing.assert_allclose(whitening.inverse(z), u, atol=1e-8)
    assert np.isfinite(whitening.log_det)
    # Half of them have not been seen.
    unseen = marginals.is_unseen(values)
    bounds = marginals.bounds(values)
    np.testing.assert_array_equal(bounds.is_open, unseen)
    assert np.all(np.isfinite(bounds.low) | (bounds.low != bounds.high))
    assert np.all(np.isfinite(marginals.log_measure(values)))
    assert np.all(np.isfinite(marginals.log_density(values)))
    assert np.all(np.isfinite(columns.log_rule(values) + marginals.log_rule(values)))
