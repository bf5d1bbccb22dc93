"""What images usually look like: a mixture of factor analyzers of their intensities, for anomalies.

It is no density of levels: its noise is that of a tenth of the whole range, so that small changes
of flat places count little. Likelihoods of levels tell odd images worse, since what they count most
is the faint texture of many pixels (docs/benchmarks/images.md).
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from harmonium.data.pixels import Levels
from harmonium.inference.batches import map_rows
from harmonium.model.factor_mixture import FactorMixture
from harmonium.model.factor_mixture_fit import FactorSettings, fit_analyzers, pooled
from harmonium.typing import Batch, PerRow

N_FITS, COMPONENTS, FACTORS = 4, 4, 16
ROWS_PER_COMPONENT = 25
NOISE = 0.1
# Images at a time, each of which goes through every component.
LONGEST = 256


@dataclass(frozen=True, eq=False)
class Watch:
    """The mixture of intensities, scores of held-out images (sorted, nats), and how surprising
    each pixel usually is given the others (visible,).
    """

    mixture: FactorMixture
    n_levels: int
    calibration: Float[np.ndarray, "held"]
    usual: Float[np.ndarray, "visible"]

    @staticmethod
    def fit(kept: Levels, held: Levels, n_levels: int, rng: np.random.Generator) -> "Watch":
        """The mean of several fits; held-out images calibrate it."""
        rows = (kept / (n_levels - 1)).astype(np.float32)
        n_components = max(1, min(COMPONENTS, len(rows) // ROWS_PER_COMPONENT))
        settings = FactorSettings(n_components, min(FACTORS, rows.shape[1]), floor=NOISE**2)
        mixture = pooled([fit_analyzers(rows, settings, rng) for _ in range(N_FITS)]).build()
        blank = Watch(mixture, n_levels, np.zeros(1), np.zeros(rows.shape[1]))
        usual = blank.surprisals(held).mean(axis=0)
        return Watch(mixture, n_levels, np.sort(blank.scores(held)), usual)

    def scores(self, rows: Levels) -> Float[np.ndarray, "rows"]:
        """Log-densities of the intensities, nats: higher is more normal."""
        return map_rows(lambda own: _scores(self.mixture, own), self._units(rows), longest=LONGEST)

    def p_values(self, rows: Levels) -> Float[np.ndarray, "rows"]:
        """Conformal p-values: the share of held-out images that score no higher."""
        below = np.searchsorted(self.calibration, self.scores(rows), side="right")
        return (below + 1) / (len(self.calibration) + 1)

    def reasons(self, rows: Levels) -> Float[np.ndarray, "rows visible"]:
        """By how many nats every pixel is more surprising, given all others, than it usually is."""
        return self.surprisals(rows) - self.usual

    def surprisals(self, rows: Levels) -> Float[np.ndarray, "rows visible"]:
        """-log q(pixel | all others), nats."""
        return map_rows(
            lambda own: _surprisals(self.mixture, own), self._units(rows), longest=LONGEST
        )

    def _units(self, rows: Levels) -> Float[np.ndarray, "rows visible"]:
        return rows / (self.n_levels - 1)


@eqx.filter_jit
def _scores(mixture: FactorMixture, rows: Batch) -> PerRow:
    return jax.vmap(mixture.log_density)(rows)


@eqx.filter_jit
def _surprisals(mixture: FactorMixture, rows: Batch) -> Float[Array, "rows visible"]:
    return jax.vmap(mixture.surprisals)(rows)
