"""Do the intervals of log Z cover the truth, and do the verdicts say so where they do not?

`python -m benchmarks.log_partition [--methods bar ais ...] [--only affine deep mixture] [--models
N]`

Affine: Gaussian-Bernoulli models (n, k <= 16) against enumeration; the first half weak, the second
from clearly to strongly multimodal, every other one of those with hidden biases that give its modes
equal mass. Deep: 2-D models with MLPs and Fourier features against quadrature. Mixture: affine
models over a mixture of Gaussians, against enumeration of both.
"""

import argparse
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Row, publish
from harmonium import Harmonium, estimate_log_partition, exact_log_partition, feature_maps
from harmonium.likelihood.estimate import Method
from harmonium.model.bases import MixtureBase
from harmonium.model.mixture import Mixture

SHAPES = ((4, 8), (8, 4), (8, 16), (16, 8), (12, 12), (16, 16))
METHODS: tuple[Method, ...] = ("importance", "bar", "ais", "smc", "reverse_ais")
WEAK = (0.05, 0.5)
STRONG = (0.5, 2.0)
N_DEEP = 20
# Columns, hidden units and components.
MIXTURE_SHAPES = ((2, 4, 2), (4, 8, 3), (8, 6, 4), (12, 8, 6))
N_MIXTURES = 20
# Standard deviation of the means of components, whose own are near 1.
SPREAD = 3.0
FAR_OFF = 0.5

Case = tuple[str, Harmonium]


def filled(model: Harmonium, rng: np.random.Generator, scale: float) -> Harmonium:
    """The model with normal weights of this scale and normal biases."""
    draw = (rng.normal(size=leaf.shape) for leaf in (model.visible_bias, model.hidden_bias))
    weights = scale * rng.normal(size=model.weights.shape)
    arrays = tuple(jnp.asarray(values, float) for values in (weights, *draw))
    return eqx.tree_at(lambda m: (m.weights, m.visible_bias, m.hidden_bias), model, arrays)


def balanced(model: Harmonium) -> Harmonium:
    """Hidden biases that give x = b/2 and the mode of any one unit that is on the same mass."""
    weights = model.weights
    bias = weights @ model.visible_bias / 2 - jnp.sum(weights * weights, axis=1) / 4
    return eqx.tree_at(lambda m: m.hidden_bias, model, bias)


def affine_models(n_models: int) -> Iterator[Case]:
    """Gaussian-Bernoulli models from weak to strongly multimodal."""
    for seed in range(n_models):
        rng = np.random.default_rng(seed)
        weak = seed < n_models // 2
        scale = float(np.exp(rng.uniform(*np.log(WEAK if weak else STRONG))))
        model = Harmonium(*SHAPES[seed % len(SHAPES)], key=jax.random.key(seed))
        model = filled(model, rng, scale)
        if weak:
            yield "affine, weak", model
        elif seed % 4 < 2:
            yield "affine, strong", model
        else:
            yield "affine, strong, balanced", balanced(model)


def deep_models(n_models: int) -> Iterator[Case]:
    """2-D models with a nonlinear feature map of either kind."""
    for seed in range(n_models):
        rng = np.random.default_rng(1000 + seed)
        key = jax.random.key(seed)
        if seed % 2:
            feature_map = feature_maps.MLP(2, (32, 32), input_scale=3.0, key=key)
        else:
            feature_map = feature_maps.FourierFeatures(2, 32, frequency_scale=1.5, key=key)
        scale = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0))))
        yield "deep, 2-D", filled(Harmonium(2, 16, feature_map=feature_map, key=key), rng, scale)


def random_mixture(rng: np.random.Generator, n_visible: int, n_components: int) -> Mixture:
    """Components that mostly part, with correlations and unequal weights."""
    factors = rng.normal(size=(n_components, n_visible, 2 * n_visible))
    covariances = factors @ np.swapaxes(factors, 1, 2) / (2 * n_visible)
    return Mixture.from_moments(
        rng.dirichlet(np.full(n_components, 2.0)),
        SPREAD * rng.normal(size=(n_components, n_visible)),
        covariances + 0.05 * np.eye(n_visible),
    )


def mixture_models(n_models: int) -> Iterator[Case]:
    """Affine models over a mixture base; of the second half W moves much mass."""
    for seed in range(n_models):
        rng = np.random.default_rng(2000 + seed)
        n_visible, n_hidden, n_components = MIXTURE_SHAPES[seed % len(MIXTURE_SHAPES)]
        mixture = random_mixture(rng, n_visible, n_components)
        # The checker takes Equinox's abstract variable for a field.
        base = MixtureBase(mixture)  # pyright: ignore[reportCallIssue]
        model = Harmonium(n_visible, n_hidden, base=base, key=jax.random.key(seed))
        weak = seed < n_models // 2
        scale = float(np.exp(rng.uniform(*np.log(WEAK if weak else STRONG))))
        yield f"mixture, {'weak' if weak else 'strong'}", filled(model, rng, scale)


def measure(case: str, model: Harmonium, method: Method, seed: int) -> Row:
    """One estimate beside the exact value."""
    truth = exact_log_partition(model)
    found = estimate_log_partition(model, key=jax.random.key(seed), method=method)
    return {
        "case": case,
        "method": method,
        "seed": seed,
        "n": model.n_visible,
        "k": model.n_hidden,
        "exact": truth,
        "error": found.value - truth,
        "standard error": found.standard_error,
        "width": found.high - found.low,
        "ess": found.ess,
        "covered": found.low <= truth <= found.high,
        "trusted": found.trusted,
    }


def summary(case: str, method: str, rows: list[Row]) -> Row:
    """Counts and medians of one case and method."""
    errors = np.abs([row["error"] for row in rows])
    silent = [row for row in rows if row["trusted"] and not row["covered"]]
    return {
        "case": case,
        "method": method,
        "models": len(rows),
        "covered": sum(row["covered"] for row in rows),
        "median |error|": float(np.median(errors)),
        "largest |error|": float(errors.max()),
        "median width": float(np.median([row["width"] for row in rows])),
        "refused": sum(not row["trusted"] for row in rows),
        "trusted, not covered": len(silent),
        "trusted, worst miss": max((_miss(row) for row in silent), default=0.0),
        f"trusted, off by > {FAR_OFF}": sum(
            row["trusted"] and abs(row["error"]) > FAR_OFF for row in rows
        ),
    }


def _miss(row: Row) -> float:
    """How far the truth lies outside of the interval, taken as symmetric, in nats."""
    return abs(row["error"]) - row["width"] / 2


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--only", nargs="*", default=["affine", "deep", "mixture"])
    parser.add_argument("--models", type=int, default=100)
    arguments = parser.parse_args()
    sources: dict[str, Callable[[], Iterator[Case]]] = {
        "affine": lambda: affine_models(arguments.models),
        "deep": lambda: deep_models(N_DEEP),
        "mixture": lambda: mixture_models(N_MIXTURES),
    }
    rows = []
    for source in arguments.only:
        for seed, (case, model) in enumerate(sources[source]()):
            for method in arguments.methods:
                rows.append(measure(case, model, method, seed))
                print(rows[-1], flush=True)
    tables = [
        summary(case, method, [r for r in rows if r["case"] == case and r["method"] == method])
        for case in dict.fromkeys(row["case"] for row in rows)
        for method in arguments.methods
    ]
    publish("log_partition", "Intervals of log Z against exact values, nats", tables)


if __name__ == "__main__":
    main()
