"""The two-dimensional case of PyDeep: a mixture of two independent Laplacians, exact log Z.

`python -m benchmarks.pydeep [--updates 3000]`

The published rows are drawn again, number for number: seed 42 of NumPy's legacy generator, 100 000
rows, zero-phase whitening of all of them, the first half to train and the second to test. Every
setting is chosen on 10 % of the training half; test rows are used once, for the table.
Log-likelihoods are in nats per row of whitened data.

Our energy fixes the variance of every Gaussian component at 1/2 of a model unit, where PyDeep
learns a variance. So rows enter as s·x, log p(x) = log p_model(s x) + 2 log s, and s is chosen with
the rest.
"""

import argparse
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.report import Row, publish
from harmonium import DensityEstimator, FitSettings, Harmonium, exact_log_partition, fit
from harmonium.learning import ExactSamples, MaximumLikelihood
from harmonium.model import feature_maps

N_ROWS = 100_000
SEED = 42
VALIDATION_SHARE = 0.1
N_HIDDEN = 4
SCALES = (0.85, 0.9, 0.95, 1.0)
STARTS = (0, 1, 2, 3, 4, 5)
PUBLISHED = -2.73621
DEEP_TARGET = -2.71
# The same object for every fit, so that only the first one compiles.
OPTIMIZER = optax.adam(3e-2)
DEEP_MAPS = ("auto", "mlp")


class Data(NamedTuple):
    """Whitened rows, and the true and the Gaussian log-density of the test rows."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    gaussian: np.ndarray


class Candidate(NamedTuple):
    """A fitted model with its settings and the log-likelihood of validation and test rows."""

    settings: str
    log_partition: str
    validation: float
    test: np.ndarray


def draw_data() -> Data:
    """Two sources of Laplace(1, 1), mixed by a matrix uniform in [-1/2, 1/2], whitened."""
    generator = np.random.RandomState(SEED)
    sources = np.stack([generator.laplace(1.0, 1.0, N_ROWS) for _ in range(2)], axis=1)
    mixing = generator.uniform(size=(2, 2)) - 0.5
    mixed = sources @ mixing.T
    whitening = zero_phase_whitening(mixed)
    rows = (mixed - mixed.mean(axis=0)) @ whitening
    # Laplace(1, 1) has density exp(-|s - 1|) / 2.
    _, log_volume = np.linalg.slogdet(whitening @ mixing)
    log_truth = -np.abs(sources - 1).sum(axis=1) - 2 * np.log(2) - log_volume
    log_gaussian = -np.sum(rows**2, axis=1) / 2 - np.log(2 * np.pi)
    half = N_ROWS // 2
    first = round(half * (1 - VALIDATION_SHARE))
    return Data(rows[:first], rows[first:half], rows[half:], log_truth[half:], log_gaussian[half:])


def zero_phase_whitening(rows: np.ndarray) -> np.ndarray:
    """The inverse square root of the covariance."""
    variances, axes = np.linalg.eigh(np.cov(rows.T, bias=True))
    return (axes / np.sqrt(variances)) @ axes.T


def start_model(seed: int) -> Harmonium:
    """A Gaussian-Bernoulli model whose components with one unit on have a tenth of the weight of
    none.

    W = 0 would be a saddle: data without skew cannot tell in which direction to leave it.
    """
    key_model, key_weights = jax.random.split(jax.random.key(seed))
    model = Harmonium(2, N_HIDDEN, feature_map=feature_maps.Identity(2), key=key_model)
    weights = jax.random.normal(key_weights, model.weights.shape)
    hidden_bias = jnp.log(0.1) - jnp.sum(weights**2, axis=1) / 4
    return eqx.tree_at(lambda m: (m.weights, m.hidden_bias), model, (weights, hidden_bias))


def fit_gaussian_bernoulli(data: Data, scale: float, seed: int, n_updates: int) -> Candidate:
    """Maximum likelihood with exact negatives at one scale from one start."""
    result = fit(
        start_model(seed),
        scale * data.training,
        key=jax.random.key(100 + seed),
        objective=MaximumLikelihood(ExactSamples(n_chains=2048)),
        optimizer=OPTIMIZER,
        n_updates=n_updates,
        validation=scale * data.validation,
        settings=FitSettings(batch_size=2048, trust_radius=0.5),
    )
    log_partition = exact_log_partition(result.model)

    def log_density(rows: np.ndarray) -> np.ndarray:
        free_energy = jax.vmap(result.model.free_energy)(jnp.asarray(scale * rows, float))
        return -np.asarray(free_energy, np.float64) - log_partition + 2 * np.log(scale)

    validation = float(log_density(data.validation).mean())
    print(f"  s = {scale}, start {seed}: validation {validation:.5f}", flush=True)
    settings = f"s = {scale}, start {seed}"
    return Candidate(settings, "enumeration", validation, log_density(data.test))


def fit_deep(data: Data, feature_map: str) -> Candidate:
    """The estimator with its defaults but for the map; it holds rows out of the training half
    itself.
    """
    rows = np.concatenate([data.training, data.validation])
    estimator = DensityEstimator(feature_map=feature_map, validation_fraction=VALIDATION_SHARE).fit(
        rows
    )
    validation = float(estimator.held_out_.log_likelihood)
    print(f"  {feature_map}: held-out rows {validation:.5f}", flush=True)
    method = estimator.log_partition_.method
    settings = f"feature_map={feature_map!r}"
    return Candidate(settings, method, validation, estimator.score_samples(data.test))


def best(candidates: list[Candidate]) -> Candidate:
    """The one with the best validation log-likelihood."""
    return max(candidates, key=lambda candidate: candidate.validation)


def row(name: str, candidate: Candidate, data: Data, target: float) -> Row:
    """One line of the table; the gap closed is counted from the Gaussian to the truth."""
    truth, gaussian = data.truth.mean(), data.gaussian.mean()
    value = float(candidate.test.mean())
    below = data.truth - candidate.test
    return {
        "case": name,
        "settings": candidate.settings,
        "log Z by": candidate.log_partition,
        "validation": f"{candidate.validation:.5f}",
        "test": f"{value:.5f}",
        "± s.e.": f"{candidate.test.std() / np.sqrt(len(data.test)):.5f}",
        "below truth": f"{below.mean():.5f}",
        "± s.e. of it": f"{below.std() / np.sqrt(len(data.test)):.5f}",
        "gap closed": f"{(value - gaussian) / (truth - gaussian):.1%}",
        "target": f"{target:.5f}",
        "reached": "yes" if value >= target else "no",
    }


def bounds(data: Data) -> list[Row]:
    """What a Gaussian and the true density reach on these very rows."""
    return [
        {"case": name, "test": f"{values.mean():.5f}", "target": f"{expected:.5f} in the long run"}
        for name, values, expected in (
            ("Gaussian", data.gaussian, -1 - np.log(2 * np.pi)),
            ("truth", data.truth, -2 - np.log(2)),
        )
    ]


def main() -> None:
    """Fit both kinds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=3000)
    arguments = parser.parse_args()
    data = draw_data()
    shallow = [
        fit_gaussian_bernoulli(data, scale, seed, arguments.updates)
        for scale in SCALES
        for seed in STARTS
    ]
    deep = [fit_deep(data, name) for name in DEEP_MAPS]
    rows = bounds(data)
    rows.append(row(f"Gaussian-Bernoulli, {N_HIDDEN} hidden", best(shallow), data, PUBLISHED))
    rows += [row("deep f, estimator", candidate, data, DEEP_TARGET) for candidate in deep]
    publish("pydeep", "PyDeep's two-dimensional case, nats per whitened row, exact log Z", rows)


if __name__ == "__main__":
    main()
