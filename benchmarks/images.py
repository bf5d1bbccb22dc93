"""Densities of images: bits per dimension of held-out images, beside simpler densities.

Every line is -log2 of the probability of an image of levels over its numbers, from above: uniform
dequantization, the mean over eight draws. `pixels` are in units of levels with uniform noise, as in
the literature; `levels` in the coordinates of harmonium, in which every pixel alone is normal.
Intervals are 95 % over held-out images. log Z of our model has two estimates: importance weights
with a bridge to chains (that of the fit), and the mean of the importance weights of further,
independent draws of the base; `gap` is their difference in nats.

    gaussian            shrunk covariance (Ledoit and Wolf), pixels
    mixture             of Gaussians with full covariances, floor 0.1, size by validation, pixels
    PCA + mixture       a mixture in the leading directions, one variance in the others, pixels
    gaussian-bernoulli  f the identity, 128 hidden units, on whitened pixels
    independent         each pixel its own levels, exactly
    gaussian, levels    shrunk covariance, levels
    mixture, levels     mixture of factor analyzers: our base
    convolutional       our model

digits: 1437 of scikit-learn's digits for the fit, 360 held out. fashion: 10 000 images of
Fashion-MNIST for the fit and 2000 of its test images held out (Debian package
dataset-fashion-mnist). Fits are kept in `.cache/images` and taken up by the next call, so that a
call can be ended at any time.

`python -m benchmarks.images [--data digits|fashion] [--part table|detection|inpainting]`
"""

import argparse
import gzip
import json
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, NearestNeighbors

import harmonium as hm
from benchmarks.report import Row, publish
from harmonium.data.images import as_images
from harmonium.inference.fit_images import fit_images
from harmonium.inference.image_density import ImageDensity
from harmonium.inference.image_settings import ImageSettings
from harmonium.inference.image_watch import Watch
from harmonium.learning.negatives import training_kernel
from harmonium.model import Path as Way
from harmonium.model import base_log_partition
from harmonium.sampling.equilibrium import check_equilibrium
from harmonium.sampling.importance import draw_weighted

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "images"
FASHION = Path("/usr/share/datasets/fashion-mnist")
N_DRAWS = 8
LOG_2PI = np.log(2 * np.pi)
SETTINGS = {
    "digits": ImageSettings(n_updates=500),
    "fashion": ImageSettings(n_updates=400, channels=(8, 16), n_hidden=32, n_components=16),
}


def read(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images of the fit and held-out ones, with the classes of both."""
    rng = np.random.default_rng(0)
    if name == "digits":
        flat, targets = load_digits(return_X_y=True)
        order = rng.permutation(len(flat))
        images = np.asarray(flat).reshape(-1, 8, 8)[order].astype(np.int64)
        classes = np.asarray(targets)[order]
        return images[:1437], images[1437:], classes[:1437], classes[1437:]
    parts = [(*_idx("train"), 10_000), (*_idx("t10k"), 2000)]
    chosen = [rng.permutation(len(images))[:n] for images, _, n in parts]
    (train, train_classes, _), (test, test_classes, _) = parts
    return train[chosen[0]], test[chosen[1]], train_classes[chosen[0]], test_classes[chosen[1]]


def _idx(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and classes of an archive of the package."""
    files = {file.name: file for file in FASHION.rglob("*.gz")}
    pixels = gzip.decompress(files[f"{part}-images-idx3-ubyte.gz"].read_bytes())
    classes = gzip.decompress(files[f"{part}-labels-idx1-ubyte.gz"].read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    return images, np.frombuffer(classes, np.uint8, offset=8)


class Flat:
    """Rows in units of levels with uniform noise, scored by any log-density of such rows."""

    def __init__(self, train: np.ndarray, test: np.ndarray):
        rng = np.random.default_rng(1)
        self.train, self.test = (part.reshape(len(part), -1) for part in (train, test))
        self.rows = self.train + rng.random(self.train.shape)
        self.unseen = [self.test + rng.random(self.test.shape) for _ in range(N_DRAWS)]

    def bits(self, log_density) -> np.ndarray:
        """Bits per dimension of the held-out images."""
        found = np.mean([log_density(rows) for rows in self.unseen], axis=0)
        return -found / (self.train.shape[1] * np.log(2))


def gaussian(flat: Flat):
    """Shrunk covariance."""
    fit = LedoitWolf().fit(flat.rows)
    return _normal(fit.location_, fit.covariance_)


def _normal(mean: np.ndarray, covariance: np.ndarray):
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    constant = np.log(np.diag(inverse)).sum() - 0.5 * len(mean) * LOG_2PI
    return lambda rows: constant - 0.5 * (((rows - mean) @ inverse.T) ** 2).sum(axis=1)


def mixture(flat: Flat, sizes: tuple[int, ...]):
    """Full covariances, the size by a tenth of the rows."""
    return best_mixture(flat.rows, sizes).score_samples


def best_mixture(rows: np.ndarray, sizes: tuple[int, ...]) -> GaussianMixture:
    """The size that scores a tenth of the rows best, on all rows."""
    n_held = len(rows) // 10
    fits = [
        GaussianMixture(size, reg_covar=0.1, random_state=0).fit(rows[n_held:]) for size in sizes
    ]
    size = sizes[int(np.argmax([fit.score(rows[:n_held]) for fit in fits]))]
    return GaussianMixture(size, reg_covar=0.1, random_state=0).fit(rows)


def pca_mixture(flat: Flat, n_directions: int, sizes: tuple[int, ...]):
    """A mixture in the leading directions, and a Gaussian of one variance in all others."""
    pca = PCA(n_directions, random_state=0).fit(flat.rows)
    inside = best_mixture(pca.transform(flat.rows), sizes)
    n_left = flat.rows.shape[1] - n_directions

    def left(rows: np.ndarray) -> np.ndarray:
        apart = rows - pca.mean_
        return (apart**2).sum(axis=1) - (pca.transform(rows) ** 2).sum(axis=1)

    variance = left(flat.rows).mean() / n_left

    def log_density(rows: np.ndarray) -> np.ndarray:
        outside = -0.5 * (left(rows) / variance + n_left * (np.log(variance) + LOG_2PI))
        return inside.score_samples(pca.transform(rows)) + outside

    return log_density


def gaussian_bernoulli(flat: Flat, n_updates: int):
    """f the identity, maximum likelihood by weighted chains, on whitened rows."""
    fit = LedoitWolf().fit(flat.rows)
    # The base has variance 1/2.
    root = np.linalg.inv(np.linalg.cholesky(2 * fit.covariance_))
    rows = (flat.rows - fit.location_) @ root.T
    model = hm.Harmonium(rows.shape[1], 128, key=jax.random.key(0))
    found = hm.fit(model, rows.astype(np.float32), key=jax.random.key(1), n_updates=n_updates)
    print("gaussian-bernoulli:", found.verdict, flush=True)
    score = eqx.filter_jit(lambda model, rows: jax.vmap(model.free_energy)(rows))
    log_det = np.log(np.diag(root)).sum()

    def log_density(rows: np.ndarray) -> np.ndarray:
        units = ((rows - fit.location_) @ root.T).astype(np.float32)
        return (
            log_det
            - np.asarray(score(found.model, jnp.asarray(units)), np.float64)
            - found.log_partition.value
        )

    return log_density


def own_model(name: str, train: np.ndarray) -> ImageDensity:
    """Our model, from the cache if it is there."""
    file = CACHE / f"{name}.safetensors"
    settings = SETTINGS[name]
    from harmonium.artifact import StoredImages, load_artifact, save_artifact

    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        fitted = fit_images(as_images(train, call="benchmark"), settings)
        save_artifact(file, StoredImages(fitted.density, settings))
        print(f"{name}: {time.monotonic() - started:.0f} s; {fitted.held_out}", flush=True)
    stored = load_artifact(file)
    assert isinstance(stored, StoredImages)
    return stored.density


def equilibrium(density: ImageDensity, rows: np.ndarray) -> str:
    """Whether chains of the model from held-out images and from the base agree, in words."""
    units = density.pixels.dequantize(rows, np.random.default_rng(5).random(rows.shape))
    starts = {"the data": jnp.asarray(units, jnp.float32)}
    kernel = training_kernel(density.model)
    return check_equilibrium(jax.random.key(7), density.model, kernel, starts).describe()


def second_log_partition(density: ImageDensity, n: int = 65_536) -> tuple[float, float]:
    """log Z by the mean weight of fresh draws of the base, and its standard error."""
    way = Way(density.model)
    log_weights = np.asarray(draw_weighted(jax.random.key(99), way, n).log_weights, np.float64)
    value = (
        float(base_log_partition(density.model)) + logsumexp(log_weights) - np.log(len(log_weights))
    )
    weights = np.exp(log_weights - log_weights.max())
    return value, float(weights.std() / weights.mean() / len(weights) ** 0.5)


def table(name: str) -> None:
    """Bits per dimension of all densities."""
    train, test, _, _ = read(name)
    flat, found = Flat(train, test), {}
    small = name == "digits"
    known = CACHE / f"{name}_peers.npz"
    if known.exists():
        with np.load(known) as kept:
            found = {line: kept[line] for line in kept}
    peers = {
        "gaussian": lambda: gaussian(flat),
        "mixture": lambda: mixture(flat, (4, 8, 16, 32) if small else (4, 10)),
        "PCA + mixture": lambda: pca_mixture(flat, 30 if small else 50, (4, 8, 16, 32)),
        "gaussian-bernoulli": lambda: gaussian_bernoulli(flat, 300),
    }
    CACHE.mkdir(parents=True, exist_ok=True)
    for line, fit in peers.items():
        if line not in found:
            started = time.monotonic()
            found[line] = flat.bits(fit())
            print(
                f"{line}: {found[line].mean():.4f}, {time.monotonic() - started:.0f} s", flush=True
            )
            np.savez(known, **found)
    density = own_model(name, train)
    pixels = density.pixels
    rows = flat.test
    scale = pixels.n_visible * np.log(2)
    found["independent"] = -pixels.log_independent(rows) / scale
    rng = np.random.default_rng(2)
    units = pixels.dequantize(flat.train, rng.random(flat.train.shape))
    fit = LedoitWolf().fit(units)
    normal = _normal(fit.location_, fit.covariance_)
    scores = []
    for place in density.places:
        own = pixels.dequantize(rows, place)
        scores.append(normal(own) + pixels.log_measure(rows, own))
    found["gaussian, levels"] = -np.mean(scores, axis=0) / scale
    found["mixture, levels"] = -density.log_base(rows) / scale
    found["convolutional"] = density.bits_per_dimension(rows)
    ours = found["convolutional"]
    lines: list[Row] = []
    for line, bits in found.items():
        lead = bits - ours
        lines.append(
            {
                "density": line,
                "bits": float(bits.mean()),
                "+-": float(1.96 * bits.std(ddof=1) / len(bits) ** 0.5),
                "lead of ours": float(lead.mean()),
                "lead +-": float(1.96 * lead.std(ddof=1) / len(bits) ** 0.5),
            }
        )
    other, error = second_log_partition(density)
    log_z = density.log_partition
    facts = {
        "log Z": [log_z.low, log_z.value, log_z.high],
        "log Z by other draws": [other, error],
        "verdict": density.verdict,
        "chains": equilibrium(density, rows),
    }
    print(density.verdict, facts["chains"])
    print(
        f"log Z {log_z.value:.3f} [{log_z.low:.3f}, {log_z.high:.3f}]; by other draws "
        f"{other:.3f} ± {error:.3f}; gap {other - log_z.value:+.3f} nats"
    )
    publish(f"images_{name}", f"Held-out images of {name}, bits per dimension", lines, facts)


def detection(name: str) -> None:
    """One-class detection: each class in turn is normal; AUROC of its test images against all
    others.
    """
    train, test, classes, test_classes = read(name)
    CACHE.mkdir(parents=True, exist_ok=True)
    known = CACHE / f"{name}_detection.json"
    lines: list[Row] = json.loads(known.read_text()) if known.exists() else []
    for normal in range(len(lines), 10):
        own = train[classes == normal]
        is_odd = test_classes != normal
        flat, rows = own.reshape(len(own), -1), test.reshape(len(test), -1)
        # What `ImageDensity.anomaly_scores` rests on, fitted to nine in ten of the images.
        n_held = len(flat) // 10
        n_levels = int(train.max()) + 1
        watch = Watch.fit(flat[n_held:], flat[:n_held], n_levels, np.random.default_rng(0))
        scores = {"harmonium": -watch.scores(rows)} | feature_scores(own, test)
        lines.append(
            {"normal class": str(normal)}
            | {line: float(roc_auc_score(is_odd, score)) for line, score in scores.items()}
        )
        print(lines[-1], flush=True)
        known.write_text(json.dumps(lines))
    mean = {
        line: float(np.mean([own[line] for own in lines]))
        for line in lines[0]
        if line != "normal class"
    }
    publish(
        f"images_detection_{name}",
        f"One-class detection, {name}: AUROC",
        [*lines, {"normal class": "mean", **mean}],
    )


def feature_scores(own: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Simple detectors on leading principal components, standardized; higher is odder."""
    flat, rows = own.reshape(len(own), -1), test.reshape(len(test), -1)
    pca = PCA(min(30, len(flat) // 3), whiten=True, random_state=0).fit(flat)
    inside, unseen = pca.transform(flat), pca.transform(rows)
    near = NearestNeighbors(n_neighbors=5).fit(inside).kneighbors(unseen)[0].mean(axis=1)
    kernel = KernelDensity(bandwidth=1.0).fit(inside)
    fit = GaussianMixture(4, reg_covar=1e-2, random_state=0).fit(inside)
    return {
        "kernel density": -kernel.score_samples(unseen),
        "neighbors": near,
        "mixture": -fit.score_samples(unseen),
    }


def inpainting(name: str) -> None:
    """The lower half of held-out images hidden: squared error of the mean of 32 draws, and energy
    distance of the draws from the truth, both in levels per hidden pixel.
    """
    train, test, _, _ = read(name)
    test = test[:120]
    density = own_model(name, train)
    height, width = density.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[height // 2 :] = True
    hidden = mask.ravel()
    rows, flat = test.reshape(len(test), -1), train.reshape(len(train), -1)
    n_draws = 32
    draws = {"convolutional": density.inpaint(rows, hidden, n_draws, seed=0).draws}
    order = NearestNeighbors(n_neighbors=n_draws).fit(flat[:, ~hidden]).kneighbors(rows[:, ~hidden])
    draws["neighbors"] = flat[order[1].T]
    fit = best_mixture(
        flat + np.random.default_rng(3).random(flat.shape), (8, 16) if name == "digits" else (10,)
    )
    draws["mixture"] = _conditional_draws(fit, rows, hidden, n_draws, density.pixels.n_levels)
    lines: list[Row] = []
    for line, own in draws.items():
        truth = rows[:, hidden]
        drawn = own[:, :, hidden]
        squared = ((drawn.mean(axis=0) - truth) ** 2).mean(axis=1)
        near = np.linalg.norm(drawn - truth, axis=2).mean(axis=0)
        half = n_draws // 2
        among = np.linalg.norm(drawn[:half] - drawn[half:], axis=2).mean(axis=0)
        energy = (near - 0.5 * among) / hidden.sum() ** 0.5
        lines.append(
            {
                "by": line,
                "squared error": float(squared.mean()),
                "se +-": float(1.96 * squared.std() / len(rows) ** 0.5),
                "energy score": float(energy.mean()),
                "es +-": float(1.96 * energy.std() / len(rows) ** 0.5),
            }
        )
    publish(f"images_inpainting_{name}", f"Lower half hidden, {name}", lines)


def _conditional_draws(
    fit: GaussianMixture, rows: np.ndarray, hidden: np.ndarray, n_draws: int, n_levels: int
) -> np.ndarray:
    """Draws of the hidden pixels by the exact conditional of a mixture, as levels."""
    whole = hm.Mixture.from_moments(
        np.asarray(fit.weights_) / np.sum(np.asarray(fit.weights_)),
        np.asarray(fit.means_),
        np.asarray(fit.covariances_),
    )
    rng, found = np.random.default_rng(4), np.tile(rows, (n_draws, 1, 1))
    for number, row in enumerate(rows):
        _, given = whole.conditional(np.where(hidden, np.nan, row + rng.random(row.shape)))
        drawn = np.asarray(given.sample(jax.random.key(number), n_draws))
        found[:, number, hidden] = np.clip(np.floor(drawn), 0, n_levels - 1)
    return found


PARTS = {"table": table, "detection": detection, "inpainting": inpainting}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", choices=list(SETTINGS), default="digits")
    parser.add_argument("--part", choices=list(PARTS), default="table")
    asked = parser.parse_args()
    PARTS[asked.part](asked.data)
