"""A sweep beside the same fits one by one: `python -m benchmarks.sweeps`.

Noise-contrastive training of one small model in two dimensions, over seeds and learning rates. The
single fits are timed after a first one has compiled their programs, which the sweep compiles within
its time.
"""

import argparse
import time

import jax
import numpy as np
import optax

import harmonium as hm

OBJECTIVE = hm.NoiseContrastive(pool_size=8192, held_size=512)
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
N_ROWS = 2000


def make_rows() -> np.ndarray:
    """A ring in model units."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, N_ROWS), 1 + 0.1 * rng.normal(size=N_ROWS)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def make_run(seed: int, rate: float) -> hm.Run:
    """One fit of the sweep."""
    key_map, key_model, key_fit = jax.random.split(jax.random.key(seed), 3)
    features = hm.feature_maps.MLP(2, (16,), input_scale=3.0, key=key_map)
    model = hm.Harmonium(2, 8, feature_map=features, key=key_model)
    return hm.Run(model, key_fit, OBJECTIVE, {"learning_rate": rate})


def main() -> None:
    """Time both ways and print by how much their results differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    rows = make_rows()
    given = {
        "n_updates": arguments.updates,
        "validation": rows[:200],
        "settings": hm.FitSettings(batch_size=arguments.batch, n_evaluations=10, patience=1000),
    }
    data = rows[200:1000]
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    runs = [make_run(seed, rate) for seed in range(arguments.seeds) for rate in RATES]

    # One object for each rate: another one would be compiled anew.
    alone_by = {rate: optax.inject_hyperparams(optax.adam)(learning_rate=rate) for rate in RATES}

    def fit_alone(run: hm.Run) -> hm.FitResult:
        own = alone_by[run.hyperparameters["learning_rate"]]
        return hm.fit(run.model, data, key=run.key, objective=OBJECTIVE, optimizer=own, **given)

    for run in runs[: len(RATES)]:
        fit_alone(run)
    seconds, results = {}, {}
    ways = {
        "one by one, compiled before": lambda: [fit_alone(run) for run in runs],
        "as a sweep, compiling": lambda: hm.sweep(runs, data, optimizer=optimizer, **given),
        "as a sweep, compiled before": lambda: hm.sweep(runs, data, optimizer=optimizer, **given),
    }
    for name, way in ways.items():
        started = time.monotonic(), time.process_time()
        results[name] = way()
        ended = time.monotonic(), time.process_time()
        seconds[name] = [b - a for a, b in zip(started, ended, strict=True)]
    scores = np.array(
        [
            [one.history[-1]["validation_log_likelihood"] for one in found]
            for found in results.values()
        ],
        float,
    )
    print(f"{len(runs)} runs of {arguments.updates} updates, batches of {arguments.batch} rows")
    for name, (wall, of_cpu) in seconds.items():
        print(f"{name}: {wall:.1f} s, {of_cpu:.1f} s of processors")
    print(f"largest difference of validation log-likelihoods: {np.ptp(scores, axis=0).max():.2g}")


if __name__ == "__main__":
    main()
