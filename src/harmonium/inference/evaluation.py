"""How a fitted density scores rows it has not seen, and how far the figure may be trusted."""

import logging
from dataclasses import dataclass

import jax
import numpy as np

from harmonium.cards import card, with_interval
from harmonium.compiling import as_floats
from harmonium.inference.coordinates import bounded
from harmonium.inference.density import Density, gaussian, untrained
from harmonium.inference.training_rows import filled
from harmonium.likelihood import LogPartition
from harmonium.likelihood.result import NORMAL_95
from harmonium.sampling import ChainDiagnostics
from harmonium.sampling.equilibrium import check_equilibrium
from harmonium.sampling.population import default_kernel
from harmonium.sampling.starts import find_modes

_log = logging.getLogger(__name__)

MAX_STARTS = 4096


@dataclass(frozen=True)
class Evaluation:
    """The held-out log-likelihood of rows, in nats per row and data units, with a 95 % interval.

    The interval [`low`, `high`] joins the sampling error of the mean (`sampling_error`, one
    standard error) with the interval of log Z. `gaussian` and `base` are the means of the same rows
    under the Gaussian fit and under the base alone. `diagnostics` tells of chains from these rows;
    None for a density that is its base alone, which needs no chains. `log_density` is that of every
    row, (rows,); `row_low` and `row_high` are its interval, which log Z alone makes.
    """

    log_density: np.ndarray
    row_low: np.ndarray
    row_high: np.ndarray
    log_likelihood: float
    low: float
    high: float
    sampling_error: float
    gaussian: float
    base: float
    log_partition: LogPartition
    diagnostics: ChainDiagnostics | None
    trusted: bool
    verdict: str

    def _repr_html_(self) -> str:
        scored = with_interval(self.log_likelihood, self.low, self.high)
        facts = {
            "rows": self.n_rows,
            "log-likelihood": f"{scored}, nats per row",
            "Gaussian fit": self.gaussian,
            "base": self.base,
        }
        return card("Evaluation", facts, verdict=self.verdict, trusted=self.trusted)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.log_density)


def evaluate_density(density: Density, values: np.ndarray, *, seed: int) -> Evaluation:
    """Score rows (rows, columns) in data units, and compare chains from them with chains from the
    base.
    """
    _log.info("scoring %d rows", len(values))
    log_density = density.log_density(values)
    found = density.log_partition
    below, above = found.high - found.value, found.value - found.low
    mean = float(log_density.mean())
    n_rows = len(log_density)
    # One row tells nothing about the spread of rows.
    error = float(log_density.std(ddof=1)) / n_rows**0.5 if n_rows > 1 else float("nan")
    diagnostics, verdict = None, density.verdict
    if density.has_residual:
        _log.info("comparing chains from these rows and from others")
        diagnostics = _diagnose(density, values, seed)
        verdict = f"{verdict} Now: {diagnostics.describe()}"
    return Evaluation(
        log_density=log_density,
        row_low=log_density - below,
        row_high=log_density + above,
        log_likelihood=mean,
        low=mean - float(np.hypot(NORMAL_95 * error, below)),
        high=mean + float(np.hypot(NORMAL_95 * error, above)),
        sampling_error=error,
        gaussian=float(gaussian(density).log_density(values).mean()),
        base=float(untrained(density).log_density(values).mean()),
        log_partition=found,
        diagnostics=diagnostics,
        trusted=density.trusted,
        verdict=verdict,
    )


def _diagnose(density: Density, values: np.ndarray, seed: int) -> ChainDiagnostics:
    key_tune, key_check = jax.random.split(jax.random.fold_in(jax.random.key(seed), 3))
    model = density.model
    coordinates = density.coordinates
    rng = np.random.default_rng(seed)
    # Chains need a whole row to start from.
    points = filled(coordinates, coordinates.marginals.centers(values[:MAX_STARTS]), rng)
    rows = as_floats(bounded(coordinates.whitening.forward(points)))
    dispersed, kernel = find_modes(key_tune, model, default_kernel(model))
    starts = {"these rows": rows, "dispersed starts": dispersed}
    return check_equilibrium(key_check, model, kernel, starts)
