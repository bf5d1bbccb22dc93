"""How much variance summing the hidden units out saves: both gradient estimators, exact negatives.

Models with an affine feature map and few hidden units can be sampled exactly, so the noise of
Markov chains plays no part. The variance of a group of parameters is the trace of the covariance of
its gradient over keys: with all rows fixed (only the hidden draws change), with fresh negatives at
every key, and with both fresh negatives and a fresh batch of data. `ratio` is sampled over
marginal.

`python -m benchmarks.gradient_variance [--keys 2000]`
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from benchmarks.report import Row, publish
from harmonium.learning import log_likelihood_gradient
from harmonium.learning.gradient import HiddenEstimator
from harmonium.model import Bernoulli, Harmonium, Spin, exact_samples
from harmonium.model.feature_maps import Affine, Identity
from harmonium.typing import Batch, RandomKey

N_VISIBLE = 6
N_FEATURES = 8
N_DATA = 10_000
N_ROWS = 32
N_BLOCKS = 20
KEYS_AT_ONCE = 50
ESTIMATORS: tuple[HiddenEstimator, ...] = ("marginal", "sampled")
GROUPS = ("θ", "W", "b", "c")

# Feature map, hidden units, number of hidden units.
CASES = (
    ("identity", "bernoulli", 4),
    ("identity", "bernoulli", 10),
    ("identity", "spin", 6),
    ("affine", "bernoulli", 7),
    ("affine", "spin", 7),
)

Groups = dict[str, Float[Array, "entries"]]
Variances = dict[str, np.ndarray]


class Setting(NamedTuple):
    """A model, the data it is trained on, and one fixed batch of data and of negatives."""

    model: Harmonium
    data: Batch
    batch: Batch
    negatives: Batch


class Rows(NamedTuple):
    """What a gradient is taken of."""

    data: Batch
    negatives: Batch


def build_model(key: RandomKey, feature_map: str, hidden_units: str, n_hidden: int) -> Harmonium:
    """A model with random parameters: W f(x) has a variance of about 1/2 per unit under the
    base.
    """
    key_map, key_model, key_weights, key_visible, key_hidden = jax.random.split(key, 5)
    chosen: Identity | Affine = Identity(N_VISIBLE)
    if feature_map == "affine":
        matrix = jax.random.normal(key_map, (N_FEATURES, N_VISIBLE)) / np.sqrt(N_VISIBLE)
        chosen = Affine(matrix, jnp.full(N_FEATURES, 0.1))
    units = Spin() if hidden_units == "spin" else Bernoulli()
    model = Harmonium(N_VISIBLE, n_hidden, feature_map=chosen, hidden_units=units, key=key_model)
    shape = model.weights.shape
    return eqx.tree_at(
        lambda m: (m.weights, m.visible_bias, m.hidden_bias),
        model,
        (
            jax.random.normal(key_weights, shape) / np.sqrt(shape[1]),
            0.5 * jax.random.normal(key_visible, (N_VISIBLE,)),
            0.5 * jax.random.normal(key_hidden, (n_hidden,)),
        ),
    )


def build_setting(key: RandomKey, case: tuple[str, str, int]) -> Setting:
    """A model, and data from another model of the same structure."""
    key_model, key_truth, key_data, key_negatives = jax.random.split(key, 4)
    model = build_model(key_model, *case)
    data = exact_samples(key_data, build_model(key_truth, *case), N_DATA)
    return Setting(model, data, data[:N_ROWS], exact_samples(key_negatives, model, N_ROWS))


def fixed_rows(key: RandomKey, setting: Setting) -> Rows:
    """The same rows for every key: only the hidden draws change."""
    return Rows(setting.batch, setting.negatives)


def fresh_negatives(key: RandomKey, setting: Setting) -> Rows:
    """The same data for every key, new negatives."""
    return Rows(setting.batch, exact_samples(key, setting.model, N_ROWS))


def fresh_rows(key: RandomKey, setting: Setting) -> Rows:
    """A new batch of data and new negatives, as in training."""
    key_batch, key_negatives = jax.random.split(key)
    rows = jax.random.randint(key_batch, (N_ROWS,), 0, N_DATA)
    return Rows(setting.data[rows], exact_samples(key_negatives, setting.model, N_ROWS))


@eqx.filter_jit
def gradients(
    keys: Any, setting: Setting, draw_rows: Callable[[RandomKey, Setting], Rows]
) -> dict[str, Groups]:
    """Both estimators on the same rows for every key, by group of parameters, (keys, entries)
    each.
    """

    def one(key: RandomKey) -> dict[str, Groups]:
        key_rows, key_hidden = jax.random.split(key)
        rows = draw_rows(key_rows, setting)
        return {
            hidden: by_group(
                log_likelihood_gradient(
                    setting.model, rows.data, rows.negatives, hidden, key=key_hidden
                )
            )
            for hidden in ESTIMATORS
        }

    return jax.lax.map(one, keys, batch_size=KEYS_AT_ONCE)


def by_group(gradient: Harmonium) -> Groups:
    """The entries of a gradient: θ (the parameters of the feature map, if any), W, b and c."""
    groups = {
        "θ": jax.tree.leaves(gradient.feature_map),
        "W": [gradient.weights],
        "b": [gradient.visible_bias],
        "c": [gradient.hidden_bias],
    }
    return {
        name: jnp.concatenate([leaf.ravel() for leaf in leaves])
        for name, leaves in groups.items()
        if leaves
    }


def deviations(
    keys: Any, setting: Setting, draw_rows: Callable[[RandomKey, Setting], Rows]
) -> dict[str, Variances]:
    """Squared distance of each key's gradient from the mean: its mean over keys is the variance."""
    drawn = gradients(keys, setting, draw_rows)
    return {
        hidden: {name: _squared_deviations(values) for name, values in groups.items()}
        for hidden, groups in drawn.items()
    }


def _squared_deviations(values: Float[Array, "keys entries"]) -> np.ndarray:
    precise = np.asarray(values, np.float64)
    centered = precise - precise.mean(axis=0)
    return np.sum(centered**2, axis=1) * len(precise) / (len(precise) - 1)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> str:
    """The ratio of two variances, with its standard error from blocks of keys."""
    value = numerator.mean() / denominator.mean()
    blocks = np.array_split((numerator - value * denominator) / denominator.mean(), N_BLOCKS)
    error = np.std([block.mean() for block in blocks], ddof=1) / np.sqrt(N_BLOCKS)
    return f"{value:.2f} ± {error:.2f}"


def measure(key: RandomKey, case: tuple[str, str, int], n_keys: int) -> list[Row]:
    """One row per group of parameters of one model."""
    key_setting, key_draws = jax.random.split(key)
    setting = build_setting(key_setting, case)
    keys = jax.random.split(key_draws, n_keys)
    fixed = deviations(keys, setting, fixed_rows)
    negatives = deviations(keys, setting, fresh_negatives)
    both = deviations(keys, setting, fresh_rows)
    feature_map, hidden_units, n_hidden = case
    return [
        {
            "model": f"{feature_map}, {hidden_units}, k = {n_hidden}",
            "group": group,
            "marginal (fixed)": f"{fixed['marginal'][group].mean():.4f}",
            "sampled (fixed)": f"{fixed['sampled'][group].mean():.4f}",
            "marginal (negatives)": f"{negatives['marginal'][group].mean():.4f}",
            "sampled (negatives)": f"{negatives['sampled'][group].mean():.4f}",
            "ratio (negatives)": ratio(negatives["sampled"][group], negatives["marginal"][group]),
            "ratio (both)": ratio(both["sampled"][group], both["marginal"][group]),
        }
        for group in GROUPS
        if group in fixed["marginal"]
    ]


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=2000)
    arguments = parser.parse_args()
    keys = jax.random.split(jax.random.key(0), len(CASES))
    rows = [
        row
        for key, case in zip(keys, CASES, strict=True)
        for row in measure(key, case, arguments.keys)
    ]
    publish(
        "gradient_variance",
        f"Total variance of the gradient: {N_VISIBLE} visible units, {N_ROWS} rows of data and of "
        f"negatives, {arguments.keys} keys; fixed rows, fresh negatives, or both fresh",
        rows,
    )


if __name__ == "__main__":
    main()
