"""Natural patches: a Gaussian-Bernoulli machine on whitened ones of 14 x 14 pixels, as in PyDeep.

A stand-in for the example on images of van Hateren, which are not at hand: patches of the two
photographs of scikit-learn, as the logarithm of the mean of the three channels. Those of the left
four fifths of both train, those of the rest are held out; no patch reaches across. The mean of
every patch is taken out, and what remains is whitened by the training patches (ZCA, the 195
directions that are left).

Nats per whitened patch, held out, beside the Gaussian of the same whitening and independent
Student t directions of that whitening (maximum likelihood); 95 % intervals of the mean. "bracket"
is the 95 % interval of log Z, "other draws" log Z by the mean weight of 65 536 further, independent
draws of the base.

`python -m benchmarks.patches [--hidden 196] [--updates 2000]`
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp
from scipy.stats import t as student
from sklearn.datasets import load_sample_images

import harmonium as hm
from benchmarks.report import Row, publish
from harmonium.model import Path, base_log_partition
from harmonium.sampling.importance import draw_weighted

SIDE, N_TRAIN, N_TEST = 14, 20_000, 4000
TRAINED_SHARE = 0.8
N_DRAWS = 65_536


def patches(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out patches, (patches, 196), of logarithms of gray levels."""
    pictures = [
        np.log1p(np.asarray(own, float).mean(axis=2)) for own in load_sample_images().images
    ]
    border = int(TRAINED_SHARE * pictures[0].shape[1])

    def cut(sides: list[np.ndarray], n: int) -> np.ndarray:
        found = []
        for side in sides:
            top = rng.integers(0, side.shape[0] - SIDE + 1, n // 2)
            left = rng.integers(0, side.shape[1] - SIDE + 1, n // 2)
            views = np.lib.stride_tricks.sliding_window_view(side, (SIDE, SIDE))
            found.append(views[top, left].reshape(-1, SIDE**2))
        return np.concatenate(found)

    halves = [(own[:, :border], own[:, border:]) for own in pictures]
    return cut([own for own, _ in halves], N_TRAIN), cut([own for _, own in halves], N_TEST)


def whitened(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in the directions of the training patches, with variance 1/2 as the base has it."""
    train, test = (own - own.mean(axis=1, keepdims=True) for own in (train, test))
    center = train.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(train.T))
    # The direction of the mean is gone.
    matrix = directions[:, 1:] / np.sqrt(2 * spread[1:])
    return (train - center) @ matrix, (test - center) @ matrix


def interval(nats: np.ndarray) -> float:
    """Half of a 95 % interval of the mean."""
    return float(1.96 * nats.std(ddof=1) / len(nats) ** 0.5)


def measure(n_hidden: int, n_updates: int) -> tuple[list[Row], dict[str, object]]:
    """The rows of the table, and what is known of log Z."""
    rng = np.random.default_rng(0)
    train, test = whitened(*patches(rng))
    train = rng.permutation(train)
    n_visible = train.shape[1]
    gaussian = -(test**2).sum(axis=1) - 0.5 * n_visible * np.log(np.pi)
    fits = [student.fit(column, floc=0) for column in train[:5000].T]
    heavy = sum(student.logpdf(own, *fit) for own, fit in zip(test.T, fits, strict=True))
    model = hm.Harmonium(n_visible, n_hidden, key=jax.random.key(0))
    started = time.monotonic()
    found = hm.fit(
        model,
        train.astype(np.float32),
        key=jax.random.key(1),
        objective=hm.NoiseContrastive(),
        n_updates=n_updates,
    )
    seconds = time.monotonic() - started
    log_z = found.log_partition
    score = jax.jit(jax.vmap(found.model.free_energy))
    ours = -np.asarray(score(jnp.asarray(test, jnp.float32)), np.float64) - log_z.value
    log_weights = draw_weighted(jax.random.key(99), Path(found.model), N_DRAWS).log_weights
    weights = np.asarray(log_weights, np.float64)
    other = float(base_log_partition(found.model)) + logsumexp(weights) - np.log(len(weights))
    rows: list[Row] = [
        {"density": name, "nats": float(own.mean()), "+-": interval(own)}
        | {"lead of ours": float((ours - own).mean()), "lead +-": interval(ours - own)}
        for name, own in (
            ("Gaussian", gaussian),
            ("independent Student t", np.asarray(heavy)),
            (f"Gaussian-Bernoulli, {n_hidden} hidden", ours),
        )
    ]
    facts = {
        "bracket": [log_z.low, log_z.value, log_z.high],
        "width": log_z.high - log_z.low,
        "other draws": float(other),
        "seconds": seconds,
        "verdict": found.verdict,
    }
    return rows, facts


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--hidden", type=int, default=196)
    parser.add_argument("--updates", type=int, default=2000)
    asked = parser.parse_args()
    rows, facts = measure(asked.hidden, asked.updates)
    print(facts)
    publish("patches", "Held-out natural patches of 14 x 14, nats per whitened patch", rows, facts)


if __name__ == "__main__":
    main()
