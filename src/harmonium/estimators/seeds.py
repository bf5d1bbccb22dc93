"""What every estimator does with its parameters, its seed and the names of its columns."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from harmonium.data import default_names
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.settings import MAX_SEED


def as_seed(random_state: int | np.random.RandomState | None) -> int:
    """An integer stands for itself, so that the command line's seed and this one agree."""
    if isinstance(random_state, int | np.integer):
        if 0 <= random_state <= MAX_SEED:
            return int(random_state)
        raise InvalidInputError(
            describe(
                "random_state",
                expected=f"a whole number from 0 to {MAX_SEED}",
                got=str(random_state),
            )
        )
    return int(check_random_state(random_state).randint(2**31 - 1))


def given_settings(estimator: Any) -> dict[str, Any]:
    """The parameters of an estimator that its settings have too, with the seed as a number."""
    parameters = estimator.get_params(deep=False)
    for name in ("kinds", "verbose"):
        parameters.pop(name, None)
    return parameters | {"seed": as_seed(parameters.pop("random_state"))}


def name_features(estimator: Any, names: tuple[str, ...]) -> None:
    """Set `n_features_in_`, and `feature_names_in_` where the table had names of its own."""
    estimator.n_features_in_ = len(names)
    if names != default_names(len(names)):
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
