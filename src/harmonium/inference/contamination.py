"""Training rows that had better shape nothing, where the table is said to hold abnormal rows."""

import numpy as np
from jaxtyping import Bool, Float

from harmonium.typing import Points

N_TREES = 300
# Some abnormal rows look more normal than some normal ones: so many times the stated share is left
# out.
CAUTION = 2.0
# Never more than this share of the rows.
MOST = 0.5
# Of the spread over all rows: what varied only in rows left out still has a unit of this size.
LEAST_SPREAD = 0.1


def without_suspects(modeled: Points, share: float, seed: int) -> Bool[np.ndarray, "rows"]:
    """Which rows are kept: all but those that an isolation forest separates first.

    A flexible model learns abnormal rows that resemble each other as one more group of normal ones,
    and then calls them likely (docs/decisions.md). Trees on a few hundred rows, cut at random,
    cannot: Liu, Ting and Zhou, "Isolation forest", ICDM 2008.
    """
    # A third of a second that a command which fits no detector need not wait for.
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=N_TREES, random_state=seed).fit(modeled)
    n_left_out = int(min(CAUTION * share, MOST) * len(modeled))
    order = np.argsort(forest.score_samples(modeled), kind="stable")
    is_kept = np.ones(len(modeled), dtype=bool)
    is_kept[order[:n_left_out]] = False
    return is_kept


def with_least_spread(
    modeled: Points, is_kept: Bool[np.ndarray, "rows"], rng: np.random.Generator
) -> Float[np.ndarray, "kept modeled"]:
    """The kept rows; with a little noise, so that every column varies, where some are left out.

    A column with rare values may be constant where they are left out. Units from such rows would
    make every new row that has one look absurd, and units from all rows would be those of the
    abnormal ones.
    """
    if is_kept.all():
        return modeled
    kept = modeled[is_kept]
    return kept + LEAST_SPREAD * modeled.std(axis=0) * rng.standard_normal(kept.shape)
