"""A fitted density of images, and what people ask it."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from harmonium.data.pixels import Levels, Pixels, Units, bits_per_dimension
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.batches import free_energies, hidden_means, map_rows
from harmonium.inference.image_conditional import draw_hidden
from harmonium.inference.image_watch import Watch
from harmonium.learning.base_choice import Candidate
from harmonium.likelihood import LogPartition
from harmonium.model import Harmonium, Path
from harmonium.model.factor_mixture import FactorBase, FactorMixture
from harmonium.sampling import SampleDiagnostics, sample
from harmonium.sampling.importance import weigh
from harmonium.sampling.population import effective_sample_size
from harmonium.typing import Batch, PerRow, Scores

# Places in the intervals of its levels at which an image is scored.
N_PLACES = 8
# Rows that compiled code takes at once: they go through every component of the base.
LONGEST = 256
# Draws of the hidden pixels of an image, of which some are kept by their weights.
N_PROPOSALS = 1024
# Of these, those that have to be effective.
FEWEST_EFFECTIVE = 20.0


class Inpainted(NamedTuple):
    """Images (draws, rows, visible) of levels with the hidden pixels drawn, and the effective
    numbers of the proposals (rows,) that they were taken from.
    """

    draws: Float[np.ndarray, "draws rows visible"]
    ess: Scores

    @property
    def trusted(self) -> bool:
        """Whether enough proposals were effective for every image."""
        return bool(np.all(self.ess >= FEWEST_EFFECTIVE))


@dataclass(frozen=True, eq=False)
class ImageDensity:
    """A density of images of levels, (rows, visible), line by line, channels innermost.

    `candidates` are the bases tried. `watch` knows what images usually look like.
    """

    shape: tuple[int, int, int]
    pixels: Pixels
    model: Harmonium
    log_partition: LogPartition
    verdict: str
    candidates: tuple[Candidate, ...]
    watch: Watch

    @property
    def trusted(self) -> bool:
        """Whether log-probabilities may be quoted."""
        return self.log_partition.trusted

    @property
    def has_energy(self) -> bool:
        """Whether the model is more than its base."""
        return bool(np.any(np.asarray(self.model.weights)))

    @property
    def base(self) -> FactorMixture:
        """The mixture that the model stands on."""
        assert isinstance(self.model.base, FactorBase)
        return self.model.base.mixture

    @cached_property
    def places(self) -> Float[np.ndarray, "places visible"]:
        """Where images are dequantized to be scored, the same for all: a score depends on no other
        row.
        """
        n_visible = self.pixels.n_visible
        # A random shift for every pixel of equally spaced places: each pixel is covered evenly.
        rng = np.random.default_rng(0)
        spaced = np.stack([rng.permutation(N_PLACES) for _ in range(n_visible)], axis=1)
        return (spaced + rng.random((N_PLACES, n_visible))) / N_PLACES

    def log_probability(self, rows: Levels) -> Scores:
        """Log-probabilities of images from below, nats: means over `N_PLACES` dequantizations.

        By Jensen's inequality no less can be true, up to the error of log Z.
        """
        return self._mean_over_places(rows, self._log_density) - self.log_partition.value

    def log_base(self, rows: Levels) -> Scores:
        """The same under the base alone."""
        return self._mean_over_places(rows, lambda units: _map(self._log_q, units))

    def bits_per_dimension(self, rows: Levels) -> Scores:
        """-log2 P of every image over its numbers, from above."""
        return bits_per_dimension(self.log_probability(rows), self.pixels.n_visible)

    def hidden_mean(self, rows: Levels) -> Float[np.ndarray, "rows hidden"]:
        """E[h|x] of images, averaged over their dequantizations."""
        return self._mean_over_places(
            rows, lambda units: _map(lambda own: hidden_means(self.model, own), units), plain=True
        )

    def sample(self, n: int, *, seed: int, n_steps: int = 300) -> tuple[Levels, SampleDiagnostics]:
        """Draw n images; exact draws of a base alone, chains otherwise, with their diagnostics."""
        key = jax.random.fold_in(jax.random.key(seed), 2)
        drawn = sample(self.model, n, key=key, n_steps=n_steps)
        units = np.asarray(drawn.samples, np.float64)
        return self.pixels.levels(units), drawn.diagnostics

    def inpaint(
        self, rows: Levels, hidden: Bool[np.ndarray, "visible"], n_draws: int, *, seed: int
    ) -> Inpainted:
        """Draw the hidden pixels of images given the levels of the others.

        Proposals are the ends of Gibbs chains of the base; weights for the energy choose among
        them.
        """
        if not hidden.any():
            raise InvalidInputError(
                describe("inpaint(images, mask)", expected="hidden pixels", got="none")
            )
        rng = np.random.default_rng(seed)
        found = [self._inpaint_one(row, hidden, n_draws, rng) for row in rows]
        draws = np.stack([levels for levels, _ in found], axis=1)
        return Inpainted(draws, np.array([ess for _, ess in found]))

    def _inpaint_one(
        self, row: np.ndarray, hidden: np.ndarray, n_draws: int, rng: np.random.Generator
    ) -> tuple[Levels, float]:
        n_proposals = max(N_PROPOSALS, 4 * n_draws)
        low, high = self.pixels.intervals(row)
        proposals = draw_hidden(self.base, low, high, hidden, n_proposals, rng)
        if self.has_energy:
            log_weights = weigh(Path(self.model), proposals.astype(np.float32))
        else:
            log_weights = np.zeros(n_proposals)
        weights = np.exp(log_weights - log_weights.max())
        chosen = rng.choice(n_proposals, n_draws, p=weights / weights.sum())
        levels = np.tile(row, (n_draws, 1))
        levels[:, hidden] = self.pixels.levels(proposals[chosen])[:, hidden]
        return levels, float(effective_sample_size(jnp.asarray(log_weights)))

    def _mean_over_places(self, rows: Levels, score, *, plain: bool = False) -> np.ndarray:
        found = []
        for place in self.places:
            units = self.pixels.dequantize(rows, place)
            own = score(units)
            found.append(own if plain else own + self.pixels.log_measure(rows, units))
        return np.mean(found, axis=0)

    def _log_density(self, units: Units) -> Scores:
        return -_map(lambda own: free_energies(self.model, own), units)

    def _log_q(self, rows: Batch) -> PerRow:
        return _log_q(self.base, rows)


def _map(function, units: Units) -> np.ndarray:
    return map_rows(function, units, longest=LONGEST)


@eqx.filter_jit
def _log_q(mixture: FactorMixture, rows: Batch) -> PerRow:
    return jax.vmap(mixture.log_density)(rows)
