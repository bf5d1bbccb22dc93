"""Draws the pictures of the pages from real fits: `PYTHONPATH=src python docs/make_pictures.py`.

Those of "How it works" are made here; those of the gallery by the code that its page shows.
"""

import os
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import harmonium as hm
from harmonium.report.pngs import as_bytes, as_heat, in_color, sheet, write_png
from harmonium.report.sheets import write_responses

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
EXAMPLES = DOCS.with_name("examples")
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
FAINTEST = -7.0  # nats; what lies below has the color of nothing


def main() -> None:
    """Every picture, into docs/pictures."""
    PICTURES.mkdir(exist_ok=True)
    os.chdir(PICTURES)
    draw_parts()
    draw_weights()
    draw_path()
    draw_images()
    draw_gallery()


def draw_gallery() -> None:
    """Run the code of the gallery, and the scripts of examples/ that it includes."""
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for block in CODE.findall(page):
        exec(compile(block, "gallery.md", "exec"), {})
        plt.close("all")
    for script in INCLUDED.findall(page):
        runpy.run_path(str(EXAMPLES / script))


def spiral(n_rows: int) -> np.ndarray:
    """Rows (n_rows, 2) on two arms of a spiral, seed 0."""
    rng = np.random.default_rng(0)
    turn = np.sqrt(rng.uniform(0.05, 1, n_rows)) * 3 * np.pi
    arm = rng.choice([-1.0, 1.0], n_rows)
    rows = arm[:, None] * turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1) / 4
    return rows + 0.08 * rng.normal(size=rows.shape)


def draw_parts() -> None:
    """Rows of a spiral, and what two bases and an energy make of them."""
    rows = spiral(4000)
    fits = {
        "Gaussian": hm.DensityEstimator(effort="quick", base="gaussian", marginals="affine"),
        "mixture": hm.DensityEstimator(effort="quick"),
        "Gaussian and energy": hm.DensityEstimator(base="gaussian", marginals="affine"),
    }
    x, y = np.meshgrid(*[np.linspace(-3, 3, 160)] * 2)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.1))
    axes[0].scatter(*rows[:1500].T, s=1, color="black")
    axes[0].set_title("rows", fontsize=10)
    for axis, (name, estimator) in zip(axes[1:], fits.items(), strict=True):
        density = estimator.fit(rows).score_samples(grid).reshape(x.shape)
        axis.pcolormesh(x, y, np.maximum(density, FAINTEST), cmap="viridis")
        score = estimator.chosen_.stages[-1].score
        axis.set_title(f"{name}: {score:.2f}", fontsize=10)
    for axis in axes:
        axis.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
    save(figure, "parts.png")


def normal(x: np.ndarray, mean: float, spread: float) -> np.ndarray:
    """The density of a normal distribution at x."""
    return np.exp(-(((x - mean) / spread) ** 2) / 2) / spread / np.sqrt(2 * np.pi)


def draw_weights() -> None:
    """A base, a model near it and one with a mode of its own, and weights of draws of the base."""
    rng = np.random.default_rng(0)
    x = np.linspace(-5, 8, 500)
    draws = rng.normal(0, 1.2, 400)
    models = {
        "near": lambda x: 0.6 * normal(x, -0.4, 0.9) + 0.4 * normal(x, 0.8, 0.7),
        "with a mode of its own": lambda x: 0.6 * normal(x, -0.4, 0.9) + 0.4 * normal(x, 5, 0.6),
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        weights = model(draws) / normal(draws, 0, 1.2)
        effective = weights.sum() ** 2 / (weights**2).sum()
        axis.plot(x, normal(x, 0, 1.2), color="gray", label="base")
        axis.plot(x, model(x), color="teal", label="model")
        axis.vlines(draws[:120], -0.02 * weights[:120], 0, color="darkorange", linewidth=0.7)
        axis.set_title(f"model {name}: {effective:.0f} of 400 draws effective", fontsize=10)
        axis.set(xlabel="x", yticks=[])
    axes[0].legend(frameon=False)
    save(figure, "weights.png")


def draw_path() -> None:
    """Densities between a base and a model with two modes."""
    x = np.linspace(-5, 5, 500)
    base = np.log(normal(x, 0, 1.5))
    target = np.log(0.3 * normal(x, -2.2, 0.5) + 0.7 * normal(x, 2.2, 0.4))
    figure, axis = plt.subplots(figsize=(6, 3.2))
    for place, beta in enumerate(np.linspace(0, 1, 6)):
        curve = np.exp((1 - beta) * base + beta * target)
        curve /= curve.sum() * (x[1] - x[0])
        color = plt.get_cmap("viridis")(0.9 * beta)
        axis.fill_between(x, 0.45 * place, 0.45 * place + curve, color=color, alpha=0.7)
        axis.text(-4.9, 0.45 * place + 0.06, f"β = {beta:.1f}", fontsize=9)
    axis.set(xlabel="x", yticks=[])
    save(figure, "path.png")


def draw_images() -> None:
    """Digits, draws, lower halves drawn given upper ones, odd ones with maps, and hidden units."""
    rng = np.random.default_rng(0)
    images = load_digits().images.astype(np.int64)
    images = images[rng.permutation(len(images))]
    kept, unseen = images[:1437], images[1437:]
    draw_sheets(hm.ImageDensity(n_updates=500).fit(kept), kept, unseen)


def draw_sheets(density: hm.ImageDensity, kept: np.ndarray, unseen: np.ndarray) -> None:
    """The two sheets of a fitted density; ten images in a line."""
    mask = np.zeros(density.image_shape_[:2], bool)
    mask[len(mask) // 2 :] = True
    filled = density.inpaint(unseen[:10], mask)[0, ..., 0]
    odd = unseen[np.argsort(density.anomaly_scores(unseen))[:10]]
    lines = [kept[:10], density.sample(20)[..., 0], np.where(mask, 0, unseen[:10]), filled, odd]
    shown = in_color(as_bytes(np.concatenate(lines)[..., None], density.density_.pixels.n_levels))
    heat = density.explain(odd).sum(axis=-1)
    maps = as_heat(heat, float(np.quantile(heat, 0.99)))
    write_png("images.png", sheet(np.concatenate([shown, maps]), 10, zoom=6))
    rows = kept.reshape(len(kept), -1)
    write_responses(Path("hidden.png"), density.density_, rows)


def save(figure: plt.Figure, name: str) -> None:
    """Write a picture and let go of the figure."""
    figure.savefig(name, dpi=110, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
