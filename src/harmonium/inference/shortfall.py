"""Whether a base lacks anything that an energy could add, before one is trained."""

import logging
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from harmonium.learning.devices import broadcast
from harmonium.learning.rows import AbstractRows
from harmonium.learning.selection import mean_of_copies
from harmonium.model import Harmonium, Path
from harmonium.sampling.importance import draw_weighted
from harmonium.typing import Points, RandomKey

_log = logging.getLogger(__name__)

# Rows, and draws of the base, that trees are grown on; draws that their gain is told by.
MOST_ROWS, N_JUDGED_BY = 4096, 8192
# Trees, of so many leaves; the gain is told after every ten.
N_TREES, TREES_AT_A_TIME, N_LEAVES = 40, 10, 15
RATE = 0.07
# Standard errors of the gain, below which no energy is worth its training.
LEAST_GAIN = 1.0


class Gain(NamedTuple):
    """What trees add to the log-density of held-out rows under the base: nats per row."""

    mean: float
    standard_error: float

    @property
    def is_seen(self) -> bool:
        """Whether there is more of it than chance makes."""
        return self.mean > LEAST_GAIN * self.standard_error


def falls_short(
    key: RandomKey, model: Harmonium, rows: AbstractRows, unseen: AbstractRows, seed: int
) -> bool:
    """Whether boosted trees tell the held-out rows `unseen` from draws of the base of `model`.

    Trees that are grown in a second see what is not there with less effort than a training does.
    True where a single row is held out, which tells nothing.
    """
    n_held_out = int(unseen.n_rows) // int(unseen.n_copies)
    if n_held_out < 2:
        return True
    _log.info("looking for what the base lacks")
    path = Path(
        eqx.tree_at(lambda own: own.visible_bias, model, jnp.zeros_like(model.visible_bias))
    )
    # The program is the one by which a training draws its noise.
    draws = np.asarray(draw_weighted(key, path, MOST_ROWS + N_JUDGED_BY).positions)
    own = np.asarray(rows.completed)[: int(rows.n_rows)]
    chosen = np.random.default_rng(seed).permutation(len(own))[:MOST_ROWS]
    held_out = np.asarray(unseen.completed)[: int(unseen.n_rows)]
    gain = gain_of_trees(own[chosen], held_out, draws, n_held_out, seed)
    # All processes of a run train, or none.
    return bool(broadcast(np.asarray(gain.is_seen)))


def gain_of_trees(
    rows: Points, held_out: Points, draws: Points, n_held_out: int, seed: int
) -> Gain:
    """The gain by as many trees as gain most: grown to tell `rows` from the first of the `draws`.

    A classifier's log-odds t estimate the log-ratio of two densities, and the mean of t over one
    less the log of the mean of exp(t) over the other is at most their Kullback-Leibler divergence
    (Donsker and Varadhan 1983; Gutmann and Hyvärinen 2012). Both means are over rows and draws that
    no tree has seen; the `n_held_out` rows may come several times.
    """
    # A second that only fits need that would train an energy.
    from sklearn.ensemble import HistGradientBoostingClassifier

    noise, judges = draws[:MOST_ROWS], draws[MOST_ROWS:]
    both = np.concatenate([rows, noise])
    is_row = np.repeat([True, False], [len(rows), len(noise)])
    trees = HistGradientBoostingClassifier(
        learning_rate=RATE,
        max_iter=N_TREES,
        max_leaf_nodes=N_LEAVES,
        l2_regularization=1.0,
        random_state=seed,
    ).fit(both, is_row, sample_weight=np.where(is_row, len(noise) / len(rows), 1.0))
    gains = [
        _gain(mean_of_copies(of_rows.ravel(), n_held_out), of_draws.ravel())
        for number, (of_rows, of_draws) in enumerate(
            zip(
                trees.staged_decision_function(held_out),
                trees.staged_decision_function(judges),
                strict=True,
            ),
            start=1,
        )
        if number % TREES_AT_A_TIME == 0
    ]
    return max(gains, key=lambda gain: gain.mean)


def _gain(of_rows: Float[np.ndarray, "rows"], of_draws: Float[np.ndarray, "draws"]) -> Gain:
    log_mean = float(np.logaddexp.reduce(of_draws)) - np.log(len(of_draws))
    return Gain(float(of_rows.mean()) - log_mean, float(of_rows.std(ddof=1)) / len(of_rows) ** 0.5)
